"""`GET /health`: what a load balancer is told, and a person who asks why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from loppestars.detector import MODEL_FILES
from loppestars.settings import Settings

Serve = Callable[..., httpx.Client]
ORDER = {"imagePath": "stalls/astronaut.jpg", "userId": "user-1"}


def test_healthy(client: httpx.Client) -> None:
    response = client.get("/health")
    assert response.status_code == 200
    assert response.json() == {"status": "healthy", "version": "0123abc", "modelLoaded": True}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"supabase_url": ""}, "SUPABASE_URL is not set"),
        ({"supabase_url": "project.supabase.co"}, "SUPABASE_URL is not an http(s) URL"),
        ({"supabase_url": "http://host:port"}, "SUPABASE_URL is not an http(s) URL"),
        ({"service_role_key": ""}, "SUPABASE_SERVICE_ROLE_KEY is not set"),
        ({"service_role_key": "two\nlines"}, "SUPABASE_SERVICE_ROLE_KEY has characters"),
        ({"source_bucket": "a/b"}, "SOURCE_BUCKET is not a bucket name"),
        ({"storage_bucket": ".."}, "STORAGE_BUCKET is not a bucket name"),
    ],
)
def test_configuration_missing(serve: Serve, changes: dict[str, str], reason: str) -> None:
    client = serve(**changes)
    response = client.get("/health")
    assert response.status_code == 503
    body = response.json()
    assert body["status"] == "unhealthy"
    assert body["modelLoaded"] is True
    assert [text for text in body["reasons"] if text.startswith(reason)]
    refused = client.post("/process", json=ORDER)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "not_ready"
    assert reason in refused.json()["error"]["message"]


def test_model_missing(serve: Serve, tmp_path: Path) -> None:
    response = serve(model_dir=tmp_path / "nowhere").get("/health")
    assert response.status_code == 503
    assert response.json()["modelLoaded"] is False
    assert "nowhere/deploy.prototxt: No such file" in response.json()["reasons"][0]


@pytest.mark.parametrize("broken", list(MODEL_FILES))
def test_model_corrupt(serve: Serve, model_dir: Path, tmp_path: Path, broken: str) -> None:
    for name in MODEL_FILES:
        content = bytearray((model_dir / name).read_bytes())
        if name == broken:
            content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(content)
    client = serve(model_dir=tmp_path)
    response = client.get("/health")
    assert response.status_code == 503
    assert response.json()["modelLoaded"] is False
    assert f"{broken} is not the expected file" in response.json()["reasons"][0]
    assert client.post("/process", json=ORDER).json()["error"]["code"] == "not_ready"


def test_every_problem_is_told_at_once(serve: Serve, tmp_path: Path) -> None:
    changes = {"supabase_url": "", "service_role_key": "", "model_dir": tmp_path}
    assert len(serve(**changes).get("/health").json()["reasons"]) == 3


def test_settings_from_environment() -> None:
    settings = Settings.from_environment(
        {
            "SUPABASE_URL": "https://project.example/ ",
            "SUPABASE_SERVICE_ROLE_KEY": "service",
            "SUPABASE_ANON_KEY": "anon",
            "SOURCE_BUCKET": "",
            "STORAGE_BUCKET": "results",
            "GIT_COMMIT": "",
            "MODEL_DIR": "/models",
        }
    )
    assert settings.problems() == []
    assert settings.supabase_url == "https://project.example"
    assert settings.source_bucket == "stall-photos"
    assert settings.storage_bucket == "results"
    assert settings.version == "unknown"
    assert settings.model_dir == Path("/models")
    assert "service" not in repr(settings)
    assert settings.secrets() == ("service", "anon")
