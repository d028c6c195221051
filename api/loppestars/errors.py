"""The errors a caller is told about."""

from __future__ import annotations


class ApiError(Exception):
    """An expected failure: an HTTP status, a code for programs, and a sentence for people.

    The message goes to the caller and into the log, so it never holds a key, a signed URL or
    what another service answered.
    """

    def __init__(
        self, status: int, code: str, message: str, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        #: Seconds after which the same request may go through, if known.
        self.retry_after = retry_after


def error_body(code: str, message: str) -> dict[str, dict[str, str]]:
    """The body of every response that is not a success."""
    return {"error": {"code": code, "message": message}}
