"""Fixtures: the model, Storage's stand-in, and the service on a real socket."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import photos
import pytest
import storage_stand_in
import uvicorn
from storage_stand_in import PRIVATE_BUCKET, PUBLIC_BUCKET, StandIn

from loppestars.api import create_app
from loppestars.detector import FaceDetector
from loppestars.settings import Settings

REPOSITORY = Path(__file__).parents[2]
SERVICE_ROLE_KEY = "test-service-role-7f3a"
ANON_KEY = "test-anon-19cd"


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The verified model. Tests fail without it: `api/models/fetch.py` provides it."""
    return Path(os.environ.get("MODEL_DIR") or REPOSITORY / "target" / "models")


@pytest.fixture(scope="session")
def detector(model_dir: Path) -> FaceDetector:
    return FaceDetector.load(model_dir)


@pytest.fixture(scope="session")
def _stand_in(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    return StandIn(tmp_path_factory.mktemp("storage"), SERVICE_ROLE_KEY, ANON_KEY)


@pytest.fixture(scope="session")
def _settings(_stand_in: StandIn, model_dir: Path) -> Iterator[Settings]:
    with storage_stand_in.running(_stand_in) as url:
        yield Settings(
            supabase_url=url,
            service_role_key=SERVICE_ROLE_KEY,
            anon_key=ANON_KEY,
            source_bucket=PRIVATE_BUCKET,
            storage_bucket=PUBLIC_BUCKET,
            version="0123abc",
            model_dir=model_dir,
        )


@pytest.fixture(scope="session")
def _client(_settings: Settings) -> Iterator[httpx.Client]:
    with _serving(_settings) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


@pytest.fixture
def stand_in(_stand_in: StandIn) -> StandIn:
    """Storage as new, with the astronaut's photo in it. `settings` has its URL."""
    _stand_in.reset()
    _stand_in.put(PRIVATE_BUCKET, "stalls/astronaut.jpg", photos.ASTRONAUT.read_bytes())
    return _stand_in


@pytest.fixture
def settings(_settings: Settings, stand_in: StandIn) -> Settings:
    """Settings for a service that uses the stand-in."""
    return _settings


@pytest.fixture
def client(_client: httpx.Client, stand_in: StandIn) -> httpx.Client:
    """A client of a service with the plain settings; one service serves all the tests."""
    return _client


@pytest.fixture
def serve(settings: Settings) -> Iterator[Callable[..., httpx.Client]]:
    """Starts a service of the test's own with some settings changed, and gives a client for it."""
    with ExitStack() as running:

        def start(**changes: Any) -> httpx.Client:
            url = running.enter_context(_serving(replace(settings, **changes)))
            return running.enter_context(httpx.Client(base_url=url, timeout=60))

        yield start


@contextmanager
def _serving(settings: Settings) -> Iterator[str]:
    config = uvicorn.Config(create_app(settings), port=0, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive(), "the service stopped while starting"
        assert time.monotonic() < deadline, "the service did not start in 20 s"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the service did not stop in 20 s"
