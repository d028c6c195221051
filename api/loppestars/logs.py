"""Logs: one JSON object a line on standard error, and no secret in any of them."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

_REDACTED = "[redacted]"
#: The token of a signed URL is as good as the object itself until it expires.
_TOKEN = re.compile(r"(token=)[^&\s\"'\\]+")


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; `extra={"fields": {…}}` adds to it.

    Nothing that is logged is meant to hold a secret. This is the second net: known keys and
    the tokens of signed URLs are replaced wherever they stand, tracebacks included.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        # A secret stands in a JSON string as json.dumps writes it.
        self._secrets = [json.dumps(secret)[1:-1] for secret in secrets]

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON, without the line's end."""
        time = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = _TOKEN.sub(rf"\1{_REDACTED}", json.dumps(line, default=str))
        for secret in self._secrets:
            text = text.replace(secret, _REDACTED)
        return text


def configure(secrets: Iterable[str]) -> None:
    """Send everything that is logged through `JsonFormatter`, uvicorn's own lines included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(secrets))
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    # It logs the query string; `request_log` has a line for each request already.
    logging.getLogger("uvicorn.access").disabled = True
    # These log URLs, and signed ones are secrets.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
