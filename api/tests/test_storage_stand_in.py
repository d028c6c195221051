"""The stand-in behaves as Storage does where the service, or its users, rely on it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import storage_stand_in
from storage_stand_in import PRIVATE_BUCKET, PUBLIC_BUCKET, StandIn

SERVICE = {
    "apikey": storage_stand_in.DEFAULT_SERVICE_ROLE_KEY,
    "authorization": f"Bearer {storage_stand_in.DEFAULT_SERVICE_ROLE_KEY}",
}
SIGN = f"/object/sign/{PRIVATE_BUCKET}"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[httpx.Client]:
    stand_in = StandIn(tmp_path)
    stand_in.put(PRIVATE_BUCKET, "a b.jpg", b"photo")
    stand_in.put(PRIVATE_BUCKET, "a;b.jpg", b"photo")
    with (
        storage_stand_in.running(stand_in) as url,
        httpx.Client(base_url=f"{url}/storage/v1") as client,
    ):
        yield client


def test_sign_and_download(storage: httpx.Client) -> None:
    response = storage.post(f"{SIGN}/a%20b.jpg", json={"expiresIn": 60}, headers=SERVICE)
    assert response.status_code == 200
    signed = response.json()["signedURL"]
    assert signed.startswith(f"{SIGN}/a b.jpg?token=")
    assert storage.get(signed).content == b"photo"
    for wrong in (signed[:-3], signed.replace("a b", "a;b"), signed.partition("?")[0]):
        response = storage.get(wrong)
        assert response.status_code == 400
        assert response.json()["statusCode"] == "400"


def test_signatures_are_for_the_path_as_decode_uri_leaves_it(storage: httpx.Client) -> None:
    plain = storage.post(f"{SIGN}/a;b.jpg", json={"expiresIn": 60}, headers=SERVICE)
    assert storage.get(plain.json()["signedURL"]).status_code == 200
    escaped = storage.post(f"{SIGN}/a%3Bb.jpg", json={"expiresIn": 60}, headers=SERVICE)
    assert escaped.status_code == 200
    response = storage.get(escaped.json()["signedURL"])
    assert response.json()["error"] == "InvalidSignature"


def test_signatures_expire(storage: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    response = storage.post(f"{SIGN}/a%20b.jpg", json={"expiresIn": 60}, headers=SERVICE)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 62)
    assert storage.get(response.json()["signedURL"]).json()["error"] == "ExpiredToken"


@pytest.mark.parametrize(
    ("headers", "status", "text"),
    [
        ({}, 401, "No API key found in request"),
        ({"apikey": "guess"}, 401, "Invalid API key"),
        ({"apikey": storage_stand_in.DEFAULT_ANON_KEY}, 400, "Invalid Compact JWS"),
        (
            {
                "apikey": storage_stand_in.DEFAULT_ANON_KEY,
                "authorization": f"Bearer {storage_stand_in.DEFAULT_ANON_KEY}",
            },
            400,
            "new row violates row-level security policy",
        ),
    ],
)
def test_keys(storage: httpx.Client, headers: dict[str, str], status: int, text: str) -> None:
    for path in (f"{SIGN}/a%20b.jpg", f"/object/{PUBLIC_BUCKET}/x.jpg"):
        response = storage.post(path, json={"expiresIn": 60}, headers=headers)
        assert response.status_code == status
        assert response.json()["message"] == text


def test_upload_and_upsert(storage: httpx.Client) -> None:
    path = f"/object/{PUBLIC_BUCKET}/user/x.jpg"
    first = storage.post(path, content=b"one", headers=SERVICE)
    assert first.status_code == 200
    assert first.json()["Key"] == f"{PUBLIC_BUCKET}/user/x.jpg"
    second = storage.post(path, content=b"two", headers=SERVICE)
    assert (second.status_code, second.json()["statusCode"]) == (400, "409")
    assert storage.post(path, content=b"two", headers={**SERVICE, "x-upsert": "true"}).is_success
    assert storage.get(f"/object/public/{PUBLIC_BUCKET}/user/x.jpg").content == b"two"


def test_what_is_not_there(storage: httpx.Client) -> None:
    missing = storage.post(f"{SIGN}/nobody.jpg", json={"expiresIn": 60}, headers=SERVICE)
    assert missing.status_code == 400
    assert missing.json() == {
        "statusCode": "404",
        "error": "not_found",
        "message": "Object not found",
        "code": "NoSuchKey",
    }
    private = storage.get(f"/object/public/{PRIVATE_BUCKET}/a%20b.jpg")
    assert private.json()["error"] == "Bucket not found"
    bucket = storage.post("/object/absent/x.jpg", content=b"x", headers=SERVICE)
    assert bucket.json()["error"] == "Bucket not found"


def test_nothing_leaves_the_root(storage: httpx.Client, tmp_path: Path) -> None:
    (tmp_path.parent / "outside.txt").write_text("secret")
    for path in ("..%2f..%2foutside.txt", "%2e%2e/%2e%2e/outside.txt"):
        response = storage.post(f"{SIGN}/{path}", json={"expiresIn": 60}, headers=SERVICE)
        assert response.json().get("error") in ("not_found", "Not Found"), response.text
    upload = storage.post(f"/object/{PUBLIC_BUCKET}/..%2f..%2fx", content=b"x", headers=SERVICE)
    assert upload.json()["error"] == "InvalidKey"


def test_command_line(tmp_path: Path) -> None:
    script = Path(storage_stand_in.__file__)
    environment = {**os.environ, "SUPABASE_SERVICE_ROLE_KEY": "k1", "SUPABASE_ANON_KEY": "k2"}
    running = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-I", script, "--bind", "127.0.0.1", "--port", "0", "--root", tmp_path],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert running.stdout is not None
        url = running.stdout.readline().removeprefix("listening on ").strip()
        headers = {"apikey": "k1", "authorization": "Bearer k1"}
        path = f"{url}/storage/v1/object/{PRIVATE_BUCKET}/x.jpg"
        assert httpx.post(path, content=b"x", headers=headers).is_success
        assert (tmp_path / PRIVATE_BUCKET / "x.jpg").read_bytes() == b"x"
        assert (tmp_path / PUBLIC_BUCKET).is_dir()
    finally:
        running.kill()
        running.communicate()
