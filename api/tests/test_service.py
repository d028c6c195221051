"""The service as it runs in the container: one process, from start to stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ANON_KEY, REPOSITORY, SERVICE_ROLE_KEY
from storage_stand_in import Fault, Operation, StandIn

from loppestars.settings import Settings

ORDER = {"imagePath": "stalls/astronaut.jpg", "userId": "user-1"}


def environment(settings: Settings, port: int) -> dict[str, str]:
    """The environment that the container is given."""
    return {
        **{name: value for name, value in os.environ.items() if "PROXY" not in name.upper()},
        "PYTHONPATH": str(REPOSITORY / "api"),
        "PORT": str(port),
        "SUPABASE_URL": settings.supabase_url,
        "SUPABASE_SERVICE_ROLE_KEY": settings.service_role_key,
        "SUPABASE_ANON_KEY": settings.anon_key,
        "GIT_COMMIT": "0123abc",
        "MODEL_DIR": str(settings.model_dir),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(settings: Settings, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the service until the block ends, with its output in a file."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "loppestars.main:app", "--port", str(port)]
    with log.open("wb") as output:
        running = subprocess.Popen(  # noqa: S603 - our own interpreter
            command, env=environment(settings, port), stdout=output, stderr=output
        )
    try:
        yield running, port
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()


def wait_for_health(running: subprocess.Popen[bytes], port: int) -> httpx.Response:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert running.poll() is None, "the service stopped while starting"
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError("the service did not answer in 20 s")


def lines(log: Path) -> list[dict[str, Any]]:
    """The log's lines; each one must be a JSON object."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_start_work_and_stop(settings: Settings, stand_in: StandIn, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with process(settings, log) as (running, port):
        assert wait_for_health(running, port).json()["version"] == "0123abc"
        base = f"http://127.0.0.1:{port}"
        done = httpx.post(f"{base}/process?debug=secret-query", json=ORDER, timeout=30)
        assert done.status_code == 200
        stand_in.faults[Operation.UPLOAD] = Fault.INTERNAL_ERROR
        assert httpx.post(f"{base}/process", json=ORDER, timeout=30).status_code == 502
        assert httpx.get(f"{base}/a%0Ab").status_code == 404
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) in (0, -signal.SIGTERM)

    requests = [line for line in lines(log) if line["message"] == "request"]
    assert [(line["method"], line["path"], line["status"]) for line in requests] == [
        ("GET", "/health", 200),
        ("POST", "/process", 200),
        ("POST", "/process", 502),
        ("GET", "/a\nb", 404),
    ]
    assert requests[1]["facesDetected"] == 1
    assert requests[1]["durationMs"] > 0
    assert requests[1]["requestId"] == done.headers["x-request-id"]
    assert requests[2]["errorCode"] == "storage_error"

    text = log.read_text()
    for secret in (SERVICE_ROLE_KEY, ANON_KEY, "token=", "eyJ", "secret-query"):
        assert secret not in text


@pytest.mark.parametrize(
    ("key", "code", "text"),
    [(SERVICE_ROLE_KEY, 0, '"healthy"'), ("", 1, "SUPABASE_SERVICE_ROLE_KEY is not set")],
)
def test_healthcheck_command(
    settings: Settings, tmp_path: Path, key: str, code: int, text: str
) -> None:
    settings = Settings(
        supabase_url=settings.supabase_url, service_role_key=key, model_dir=settings.model_dir
    )
    with process(settings, tmp_path / "log") as (running, port):
        wait_for_health(running, port)
        checked = healthcheck(settings, port)
    assert checked.returncode == code
    assert text in checked.stdout


def test_healthcheck_command_without_a_service(settings: Settings) -> None:
    port = free_port()
    checked = healthcheck(settings, port)
    assert checked.returncode == 1
    assert f"no answer on port {port}" in checked.stdout


def healthcheck(settings: Settings, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loppestars.healthcheck"],
        env=environment(settings, port),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
