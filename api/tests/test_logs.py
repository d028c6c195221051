"""The log's lines, and the last answer to a bug."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable

import httpx
import pytest
from test_bad_input import ORDER, refused

from loppestars import api
from loppestars.logs import JsonFormatter


def request_record(caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """The one request's record. It is written after the answer is sent: wait for it."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = [record for record in caplog.records if record.name == "loppestars.request"]
        if found:
            assert len(found) == 1
            return found[0]
        time.sleep(0.01)
    raise AssertionError("the request was not logged in 5 s")


def test_a_bug_is_a_500_without_details(
    serve: Callable[..., httpx.Client],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the dog ate ?token=abc.def.ghi")

    monkeypatch.setattr(api, "anonymise_photo", broken)
    client = serve()
    # Starting a service has replaced all of the root logger's handlers.
    monkeypatch.setattr(logging.root, "handlers", [caplog.handler])
    response = client.post("/process", json=ORDER)
    status, code, message = refused(response)
    assert (status, code) == (500, "internal")
    assert "dog" not in message
    assert response.headers["x-request-id"] in message

    record = request_record(caplog)
    assert record.levelname == "ERROR"
    line = json.loads(JsonFormatter(()).format(record))
    assert line["status"] == 500
    assert line["requestId"] == response.headers["x-request-id"]
    assert "RuntimeError: the dog ate ?token=[redacted]" in line["exception"]


def test_secrets_are_replaced_wherever_they_stand() -> None:
    record = logging.LogRecord(
        "x", logging.INFO, "f", 1, "key %s at %s", ('se"cret', "/sign/a?token=a.b-c_d&x=1"), None
    )
    text = JsonFormatter(['se"cret']).format(record)
    assert json.loads(text)["message"] == "key [redacted] at /sign/a?token=[redacted]&x=1"


def test_libraries_that_log_urls_are_silent(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.post("/process", json=ORDER).status_code == 200
    request_record(caplog)
    assert {record.name for record in caplog.records} == {"loppestars.request"}
