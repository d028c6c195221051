"""What a caller can get wrong, and how it is told."""

from __future__ import annotations

import struct
from collections.abc import Callable

import httpx
import photos
import pytest
from storage_stand_in import PRIVATE_BUCKET, StandIn

from loppestars.body_limit import MAX_BODY_BYTES

ORDER = {"imagePath": "stalls/astronaut.jpg", "userId": "user-1"}


def refusal(client: httpx.Client, order: object) -> tuple[int, str, str]:
    """The status, code and message of a request that must be refused."""
    return refused(client.post("/process", json=order))


def refused(response: httpx.Response) -> tuple[int, str, str]:
    body = response.json()
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"code", "message"}
    assert "Traceback" not in response.text
    assert "/loppestars/" not in response.text
    return response.status_code, body["error"]["code"], body["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../secrets.jpg",
        "stalls/../../other/x.jpg",
        "stalls/./x.jpg",
        "stalls//x.jpg",
        "stalls/",
        "..",
        "..\\x.jpg",
        "%2e%2e/x.jpg",
        "x.jpg?token=1",
        "x.jpg#fragment",
        "line\nbreak.jpg",
        "null\0.jpg",
        "bjørn.jpg",
        "x" * 513,
        17,
        None,
        ["x.jpg"],
    ],
)
def test_image_path(client: httpx.Client, stand_in: StandIn, path: object) -> None:
    status, code, message = refusal(client, {**ORDER, "imagePath": path})
    assert (status, code) == (422, "invalid_request")
    assert message.startswith("imagePath: ")
    assert stand_in.seen == []


@pytest.mark.parametrize("user", ["", "../other", "a/b", ".", "..", "a b", "x" * 129, "ü", 7, None])
def test_user_id(client: httpx.Client, stand_in: StandIn, user: object) -> None:
    status, code, message = refusal(client, {**ORDER, "userId": user})
    assert (status, code) == (422, "invalid_request")
    assert message.startswith("userId: ")
    assert stand_in.seen == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "swirl"),
        ("mode", None),
        ("pixelateSize", 1),
        ("pixelateSize", 513),
        ("pixelateSize", 16.5),
        ("pixelateSize", "16"),
        ("blurStrength", -3),
        ("blurStrength", 10**30),
        ("blurStrength", True),
        ("downscaleForDetection", "yes"),
        ("downscaleForDetection", 1),
        ("image_path", "x.jpg"),
        ("imagePaths", []),
    ],
)
def test_parameters(client: httpx.Client, field: str, value: object) -> None:
    status, code, message = refusal(client, {**ORDER, field: value})
    assert (status, code) == (422, "invalid_request")
    assert message.startswith(f"{field}: ")


def test_everything_wrong_is_told_at_once(client: httpx.Client) -> None:
    _, _, message = refusal(client, {"imagePath": "/x", "mode": "swirl"})
    assert [part.split(":")[0] for part in message.split("; ")] == ["imagePath", "userId", "mode"]


@pytest.mark.parametrize("body", [b"", b"[]", b'"text"', b"null"])
def test_no_object(client: httpx.Client, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = client.post("/process", content=body, headers=headers)
    assert refused(response)[:2] == (422, "invalid_request")


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b'{"imagePath": }', b"[" * 9000])
def test_no_json(client: httpx.Client, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = client.post("/process", content=body, headers=headers)
    assert refused(response)[:2] == (400, "invalid_json")


def test_body_too_large(client: httpx.Client) -> None:
    response = client.post("/process", content=b" " * (MAX_BODY_BYTES + 1))
    assert refused(response)[:2] == (413, "body_too_large")
    # Without a Content-Length, too.
    response = client.post("/process", content=(b" " * 1000 for _ in range(100)))
    assert refused(response)[:2] == (413, "body_too_large")


def test_unknown_route_and_method(client: httpx.Client) -> None:
    assert refused(client.get("/nowhere"))[:2] == (404, "not_found")
    assert refused(client.get("/process"))[:2] == (405, "method_not_allowed")


def test_missing_photo(client: httpx.Client) -> None:
    order = {**ORDER, "imagePath": "stalls/nobody.jpg"}
    assert refusal(client, order)[:2] == (404, "photo_not_found")


def _truncated_jpeg() -> bytes:
    content = photos.ASTRONAUT.read_bytes()
    return content[: len(content) * 2 // 3]


def _bomb_jpeg() -> bytes:
    """A small JPEG whose header says 65,500 x 65,500."""
    content = photos.ASTRONAUT.read_bytes()
    frame = content.index(b"\xff\xc0")
    size = struct.pack(">HH", 65_500, 65_500)
    return content[: frame + 5] + size + content[frame + 9 :]


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda: b"", 422, "not_an_image"),
        (lambda: b"<html>hello</html>", 422, "not_an_image"),
        (lambda: b"GIF89a" + b"\0" * 100, 422, "not_an_image"),
        (lambda: b"\xff\xd8\xff" + b"\0" * 100, 422, "not_an_image"),
        (_truncated_jpeg, 422, "truncated_image"),
        (lambda: photos.encoded(photos.astronaut(), ".png")[:-20], 422, "truncated_image"),
        (lambda: photos.encoded(photos.astronaut(), ".webp")[:-20], 422, "truncated_image"),
        (_bomb_jpeg, 413, "too_many_pixels"),
        (lambda: photos.png_claiming(100_000, 100_000), 413, "too_many_pixels"),
        (lambda: photos.png_claiming(8001, 8000), 413, "too_many_pixels"),
        (lambda: photos.png_claiming(2**31 - 1, 1), 413, "too_many_pixels"),
        (lambda: photos.png_claiming(9000, 1000), 422, "unsupported_dimensions"),
        (lambda: photos.png_claiming(0, 0), 422, "not_an_image"),
        (lambda: photos.png_claiming(1000, 1000), 422, "corrupt_image"),
    ],
)
def test_what_is_no_usable_photo(
    client: httpx.Client, stand_in: StandIn, make: Callable[[], bytes], status: int, code: str
) -> None:
    stand_in.put(PRIVATE_BUCKET, "bad", make())
    assert refusal(client, {**ORDER, "imagePath": "bad"})[:2] == (status, code)
    # And the service goes on.
    assert client.post("/process", json=ORDER).status_code == 200


def test_tiny_pictures_are_pictures(client: httpx.Client, stand_in: StandIn) -> None:
    for width, height in ((1, 1), (8, 1), (3, 20)):
        stand_in.put(
            PRIVATE_BUCKET, "tiny.png", photos.encoded(photos.texture(width, height), ".png")
        )
        response = client.post("/process", json={**ORDER, "imagePath": "tiny.png"})
        assert response.status_code == 200, response.text


def test_photo_too_large(serve: Callable[..., httpx.Client], stand_in: StandIn) -> None:
    size = len(photos.ASTRONAUT.read_bytes())
    assert serve(max_photo_bytes=size).post("/process", json=ORDER).status_code == 200
    client = serve(max_photo_bytes=size - 1)
    assert refusal(client, ORDER)[:2] == (413, "photo_too_large")
    # Also when Storage does not say the length first.
    stand_in.chunked = True
    assert refusal(client, ORDER)[:2] == (413, "photo_too_large")
