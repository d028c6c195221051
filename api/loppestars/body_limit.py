"""Keeps request bodies small: what this service is sent is a few hundred bytes of JSON."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loppestars.errors import error_body

MAX_BODY_BYTES = 16 * 1024


class BodyLimit:
    """ASGI middleware: reads the body up to the limit first, and answers 413 beyond it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its body, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        messages: list[Message] = []
        size = 0
        while True:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                scope["state"]["log"]["errorCode"] = "body_too_large"
                text = f"the request's body has more than {MAX_BODY_BYTES} bytes"
                answer = JSONResponse(
                    error_body("body_too_large", text),
                    status_code=413,
                    headers={"connection": "close"},
                )
                await answer(scope, receive, send)
                return
            if message["type"] != "http.request" or not message.get("more_body", False):
                break
        messages.reverse()

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)
