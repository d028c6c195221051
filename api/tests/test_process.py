"""`POST /process`, from the photo in one bucket to the anonymised one in the other."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

import cv2
import httpx
import numpy as np
import numpy.typing as npt
import photos
import pytest
from conftest import ANON_KEY, SERVICE_ROLE_KEY
from photos import FACE
from storage_stand_in import PRIVATE_BUCKET, PUBLIC_BUCKET, Operation, StandIn

from loppestars.anonymise import Box, region_of
from loppestars.detector import FaceDetector
from loppestars.image_codec import Image

PHOTO = "stalls/astronaut.jpg"


def process(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    """Process a photo, which must succeed, and give the answer."""
    order = {"imagePath": PHOTO, "userId": "user-1", **fields}
    response = client.post("/process", json=order)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def result_of(answer: dict[str, Any]) -> bytes:
    """The processed photo, fetched from where the answer says, as anybody could."""
    response = httpx.get(answer["processedImageUrl"])
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/jpeg"
    return response.content


def outside(image: Image, region: Box) -> Image:
    """The pixels outside a region. JPEG's blocks carry an edge 16 pixels further."""
    mask = np.ones(image.shape[:2], dtype=bool)
    top, left = max(0, region.top - 16), max(0, region.left - 16)
    mask[top : region.bottom + 16, left : region.right + 16] = False
    return image[mask]


@pytest.mark.parametrize("mode", ["pixelate", "blur"])
@pytest.mark.parametrize("parameter", [None, 2, 512])
def test_the_face_is_gone_and_nothing_else(
    client: httpx.Client, detector: FaceDetector, mode: str, parameter: int | None
) -> None:
    name = "pixelateSize" if mode == "pixelate" else "blurStrength"
    answer = process(client, mode=mode, **({} if parameter is None else {name: parameter}))
    before, after = photos.astronaut(), photos.pixels(result_of(answer))

    assert answer["success"] is True
    assert answer["mode"] == mode
    assert answer["facesDetected"] == 1 == len(detector.find(before))
    assert detector.find(after) == []
    assert after.shape == before.shape

    region = region_of(FACE, 512, 512)
    difference = np.abs(after.astype(int) - before.astype(int))
    assert np.mean(outside(difference, region)) < 2
    assert np.quantile(outside(difference, region), 0.999) < 30
    face = (slice(FACE.top, FACE.bottom), slice(FACE.left, FACE.right))
    assert np.mean(difference[face]) > 15
    assert _likeness(before[face], before[face]) > 0.99
    assert _likeness(before[face], after[face]) < 0.3


def _likeness(one: Image, other: Image) -> float:
    """How alike two pictures are in what tells faces apart, from -1 to 1.

    That is the part finer than a tenth of the width: eyes, nose and mouth, but not light and hair.
    """
    first, second = _detail(one), _detail(other)
    strength = float(np.std(first) * np.std(second))
    return float(np.mean(first * second)) / strength if strength else 0.0


def _detail(image: Image) -> npt.NDArray[np.float64]:
    small = cv2.resize(image, (10, 13), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    detail = np.asarray(image, np.float64) - np.asarray(coarse, np.float64)
    return np.asarray(detail - np.mean(detail), np.float64)


def test_a_photo_without_faces_stays_as_it_is(client: httpx.Client, stand_in: StandIn) -> None:
    picture = photos.texture(640, 480)
    stand_in.put(PRIVATE_BUCKET, "empty.jpg", photos.encoded(picture))
    answer = process(client, imagePath="empty.jpg")
    assert answer["facesDetected"] == 0
    difference = photos.pixels(result_of(answer)).astype(int) - picture.astype(int)
    assert np.mean(np.abs(difference)) < 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_metadata_dropped(
    client: httpx.Client, stand_in: StandIn, detector: FaceDetector, orientation: int
) -> None:
    # Not square, so that a picture left on its side has the wrong shape.
    upright = photos.astronaut()[:400]
    stored = photos.stored_with_orientation(upright, orientation)
    assert b"Exif" in stored
    stand_in.put(PRIVATE_BUCKET, "phone.jpg", stored)

    answer = process(client, imagePath="phone.jpg")
    content = result_of(answer)
    after = photos.pixels(content)
    assert answer["facesDetected"] == 1
    assert after.shape == upright.shape
    assert detector.find(after) == []
    difference = np.abs(after.astype(int) - upright.astype(int))
    assert np.mean(outside(difference, region_of(FACE, 512, 400))) < 2

    assert b"Exif" not in content
    # Beside the picture's own tables there is the JFIF header only.
    markers = [marker for marker, _ in photos.jpeg_segments(content)]
    assert [marker for marker in markers if 0xE0 <= marker <= 0xFE] == [0xE0]


@pytest.mark.parametrize("kind", [".png", ".webp"])
def test_other_kinds_become_jpeg(client: httpx.Client, stand_in: StandIn, kind: str) -> None:
    stand_in.put(PRIVATE_BUCKET, f"photo{kind}", photos.encoded(photos.astronaut(), kind))
    answer = process(client, imagePath=f"photo{kind}")
    assert answer["facesDetected"] == 1
    assert answer["processedImageUrl"].endswith(".jpg")
    assert result_of(answer).startswith(b"\xff\xd8\xff")


def test_quick_detection(client: httpx.Client) -> None:
    assert process(client, downscaleForDetection=True)["facesDetected"] == 1


def test_where_the_result_goes(client: httpx.Client, stand_in: StandIn) -> None:
    first = process(client)
    path = unquote(urlsplit(first["processedImageUrl"]).path)
    name = path.removeprefix(f"/storage/v1/object/public/{PUBLIC_BUCKET}/")
    assert re.fullmatch(r"user-1/astronaut-[0-9a-f]{16}\.jpg", name)
    assert stand_in.find(PUBLIC_BUCKET, name) is not None
    # A retry writes the same object again.
    assert process(client) == first
    # Another way of processing is another object.
    assert process(client, mode="blur")["processedImageUrl"] != first["processedImageUrl"]


@pytest.mark.parametrize(
    "path", ["a b/c'd (1).jpg", "semi;colon,comma+plus&amp=eq@at:colon$.jpg", "deep/er/er/x.jpg"]
)
def test_paths_that_need_care_in_a_url(client: httpx.Client, stand_in: StandIn, path: str) -> None:
    stand_in.put(PRIVATE_BUCKET, path, photos.ASTRONAUT.read_bytes())
    answer = process(client, imagePath=path)
    assert (Operation.SIGNED_DOWNLOAD, f"{PRIVATE_BUCKET}/{path}") in stand_in.seen
    result_of(answer)


def test_the_service_role_key_goes_only_where_it_is_needed(
    client: httpx.Client, stand_in: StandIn
) -> None:
    process(client)
    sent = dict(stand_in.seen_headers)
    for operation in (Operation.SIGN, Operation.UPLOAD):
        assert sent[operation]["apikey"] == SERVICE_ROLE_KEY
        assert sent[operation]["authorization"] == f"Bearer {SERVICE_ROLE_KEY}"
    download = sent[Operation.SIGNED_DOWNLOAD]
    assert download["apikey"] == ANON_KEY
    assert SERVICE_ROLE_KEY not in str(download)
    assert sent[Operation.UPLOAD]["x-upsert"] == "true"
    assert sent[Operation.UPLOAD]["content-type"] == "image/jpeg"
