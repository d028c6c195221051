"""What Storage can do wrong: callers get a 502 in time, and never what Storage said."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import httpx
import pytest
from conftest import ANON_KEY
from storage_stand_in import Fault, Operation, StandIn
from test_bad_input import ORDER, refused

Serve = Callable[..., httpx.Client]

ALWAYS_BAD = [
    Fault.INTERNAL_ERROR,
    Fault.BAD_GATEWAY_PAGE,
    Fault.SLOW,
    Fault.TRUNCATED,
    Fault.DISCONNECT,
    Fault.REDIRECT,
]


@pytest.mark.parametrize("operation", [Operation.SIGN, Operation.SIGNED_DOWNLOAD, Operation.UPLOAD])
@pytest.mark.parametrize("fault", ALWAYS_BAD)
def test_fault(serve: Serve, stand_in: StandIn, operation: Operation, fault: Fault) -> None:
    client = serve(upstream_stall_seconds=0.5)
    stand_in.slow_seconds = 6
    stand_in.faults[operation] = fault
    started = time.monotonic()
    status, code, message = refused(client.post("/process", json=ORDER))
    assert time.monotonic() - started < 5
    assert status == 502
    assert code == {
        Fault.SLOW: "storage_timeout",
        Fault.TRUNCATED: "storage_unreachable",
        Fault.DISCONNECT: "storage_unreachable",
    }.get(fault, "storage_error")
    assert "token" not in message
    assert "Internal Server Error" not in message
    # Storage recovers, and so does the service.
    stand_in.faults.clear()
    assert client.post("/process", json=ORDER).status_code == 200


def test_wrong_content(client: httpx.Client, stand_in: StandIn) -> None:
    stand_in.faults[Operation.SIGN] = Fault.WRONG_CONTENT
    assert refused(client.post("/process", json=ORDER))[:2] == (502, "storage_error")
    stand_in.faults = {Operation.SIGNED_DOWNLOAD: Fault.WRONG_CONTENT}
    assert refused(client.post("/process", json=ORDER))[:2] == (422, "not_an_image")


def test_the_whole_download_has_a_limit_too(serve: Serve, stand_in: StandIn) -> None:
    client = serve(upstream_stall_seconds=10, upstream_total_seconds=0.5)
    stand_in.slow_seconds = 6
    stand_in.faults[Operation.SIGNED_DOWNLOAD] = Fault.SLOW
    started = time.monotonic()
    assert refused(client.post("/process", json=ORDER))[:2] == (502, "storage_timeout")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("key", ["not-a-key", ANON_KEY])
def test_wrong_key(serve: Serve, key: str) -> None:
    status, code, message = refused(serve(service_role_key=key).post("/process", json=ORDER))
    assert (status, code) == (502, "storage_refused")
    assert key not in message


@pytest.mark.parametrize("bucket", ["source_bucket", "storage_bucket"])
def test_no_such_bucket(serve: Serve, bucket: str) -> None:
    status, code, message = refused(serve(**{bucket: "absent"}).post("/process", json=ORDER))
    assert (status, code) in [(502, "storage_refused"), (404, "photo_not_found")]
    assert bucket == "source_bucket" or "absent" in message


def test_nobody_listens(serve: Serve) -> None:
    client = serve(supabase_url="http://127.0.0.1:9")
    assert refused(client.post("/process", json=ORDER))[:2] == (502, "storage_unreachable")


def test_many_at_once(serve: Serve, stand_in: StandIn) -> None:
    """Up to the limit all succeed, `/health` answers meanwhile, and beyond it callers wait."""
    client = serve(max_in_flight=4, workers=2)
    outcomes: list[int] = []

    def one() -> None:
        outcomes.append(client.post("/process", json=ORDER).status_code)

    def all_of(count: int) -> None:
        threads = [threading.Thread(target=one) for _ in range(count)]
        for thread in threads:
            thread.start()
        started = time.monotonic()
        assert client.get("/health").status_code == 200
        assert time.monotonic() - started < 1.5
        for thread in threads:
            thread.join()

    all_of(4)
    assert outcomes == [200] * 4
    outcomes.clear()

    # Held back by Storage, four are in the house; the fifth is asked to come back.
    stand_in.faults[Operation.SIGN] = Fault.SLOW
    stand_in.slow_seconds = 4
    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 4
    while len(stand_in.seen) < 4 * 3 + 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    response = client.post("/process", json=ORDER)
    assert refused(response)[:2] == (503, "busy")
    assert response.headers["retry-after"] == "2"
    for thread in threads:
        thread.join()
    stand_in.faults.clear()
    assert client.post("/process", json=ORDER).status_code == 200
