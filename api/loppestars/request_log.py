"""The outermost layer: an id and a log line for each request, and the last answer to a bug."""

from __future__ import annotations

import logging
import time
import uuid
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loppestars.errors import error_body

_log = logging.getLogger("loppestars.request")


class RequestLog:
    """ASGI middleware. Handlers add fields to the line through `scope["state"]["log"]`.

    The line has the path without its query string, and nothing of the bodies.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, whatever happens, and log it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        fields: dict[str, Any] = {}
        scope.setdefault("state", {})["log"] = fields
        status = 0
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        failure: Exception | None = None
        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            failure = error
            fields["errorCode"] = "internal"
            if status == 0:
                text = f"unexpected error; the service's log has it as requestId {request_id}"
                answer = JSONResponse(error_body("internal", text), status_code=500)
                await answer(scope, receive, send_with_id)
        _log.log(
            logging.ERROR if failure else logging.INFO,
            "request",
            exc_info=failure,
            extra={
                "fields": {
                    "requestId": request_id,
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "durationMs": round((time.perf_counter() - started) * 1000, 1),
                    **fields,
                }
            },
        )
