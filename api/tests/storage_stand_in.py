#!/usr/bin/env python3
"""A stand-in for Supabase Storage that speaks its HTTP API. Standard library only.

    SUPABASE_SERVICE_ROLE_KEY=… SUPABASE_ANON_KEY=… \\
        python3 api/tests/storage_stand_in.py --bind 127.0.0.1 --port 8081 --root DIR

Objects are files: DIR/BUCKET/PATH. A bucket is a folder in DIR; `stall-photos` (private) and
`stall-photos-processed` (public) are made if they are missing. What it answers, and with which
status codes and bodies, is taken from Storage's own sources, oddities included: an error's status
line says 400 where its `statusCode` says 404, and a signature is for the path as `decodeURI`
leaves it. In front stands the API gateway, which wants a known `apikey` for everything but public
and signed URLs.

Not here: other roles and policies than "the service role may do all, `anon` nothing", listing,
moving, deleting, resumable uploads, image transformations.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import mimetypes
import os
import re
import secrets
import shutil
import socket
import sys
import threading
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PREFIX = "/storage/v1"
DEFAULT_SERVICE_ROLE_KEY = "local-service-role-key"
DEFAULT_ANON_KEY = "local-anon-key"
PRIVATE_BUCKET = "stall-photos"
PUBLIC_BUCKET = "stall-photos-processed"
MAX_OBJECT_BYTES = 50 * 1024 * 1024

_VALID_KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$=@;:+,?-]+")
#: What JavaScript's decodeURI leaves encoded.
_RESERVED_ESCAPE = re.compile(r"%(?:2[346BCF]|3[ABDF]|40)", re.IGNORECASE)


class Operation(Enum):
    """What a client can ask for."""

    SIGN = "sign"
    SIGNED_DOWNLOAD = "signed download"
    UPLOAD = "upload"
    PUBLIC_DOWNLOAD = "public download"

    @property
    def downloads(self) -> bool:
        """Whether the answer is an object."""
        return self in (Operation.SIGNED_DOWNLOAD, Operation.PUBLIC_DOWNLOAD)


class Fault(Enum):
    """A way to fail that tests can switch on."""

    INTERNAL_ERROR = "500 with Storage's error body"
    BAD_GATEWAY_PAGE = "502 with a page of HTML, as a proxy in front answers"
    SLOW = "the answer's head comes, then nothing for a while"
    TRUNCATED = "the connection ends in the middle of the body"
    DISCONNECT = "the connection ends before any answer"
    WRONG_CONTENT = "200 with something else than what was asked for"
    REDIRECT = "302 to another host"


@dataclass
class StandIn:
    """One project's Storage. `seen` has every request's operation and path, for tests."""

    root: Path
    service_role_key: str = DEFAULT_SERVICE_ROLE_KEY
    anon_key: str = DEFAULT_ANON_KEY
    public_buckets: frozenset[str] = frozenset({PUBLIC_BUCKET})
    slow_seconds: float = 5.0
    #: Send objects in chunks, without a Content-Length.
    chunked: bool = False
    faults: dict[Operation, Fault] = field(default_factory=dict)
    seen: list[tuple[Operation, str]] = field(default_factory=list)
    seen_headers: list[tuple[Operation, dict[str, str]]] = field(default_factory=list)
    _signing_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def __post_init__(self) -> None:
        self._make_buckets()

    def reset(self) -> None:
        """Forget everything: objects, faults, and what was seen."""
        self.faults, self.seen, self.seen_headers = {}, [], []
        self.slow_seconds, self.chunked = 5.0, False
        for bucket in self.root.iterdir():
            shutil.rmtree(bucket)
        self._make_buckets()

    def _make_buckets(self) -> None:
        for bucket in {PRIVATE_BUCKET, *self.public_buckets}:
            (self.root / bucket).mkdir(parents=True, exist_ok=True)

    def put(self, bucket: str, path: str, content: bytes) -> None:
        """Store an object directly, as another client would have."""
        target = self.root / bucket / path
        target.parent.mkdir(parents=True, exist_ok=True)
        # A name of its own: two uploads of one object may be under way.
        partial = self.root / f".upload-{uuid.uuid4().hex}"
        partial.write_bytes(content)
        partial.replace(target)

    def find(self, bucket: str, path: str) -> Path | None:
        """The file of an object, if there is one."""
        file = self.root / bucket / path
        inside = file.resolve().is_relative_to((self.root / bucket).resolve())
        return file if inside and file.is_file() else None

    def sign(self, claims: dict[str, Any]) -> str:
        """A JSON Web Token (HS256), as Storage puts into signed URLs."""
        head = _base64url(json.dumps({"alg": "HS256"}).encode())
        body = _base64url(json.dumps(claims).encode())
        return f"{head}.{body}.{self._signature(f'{head}.{body}')}"

    def verify(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that this stand-in signed; None for any other."""
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(signed).encode()):
            return None
        body = signed.partition(".")[2]
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return claims

    def _signature(self, signed: str) -> str:
        digest = hmac.new(self._signing_key, signed.encode(), hashlib.sha256).digest()
        return _base64url(digest)


class StandInServer(ThreadingHTTPServer):
    """Serves one `StandIn`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], stand_in: StandIn) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self.stand_in = stand_in
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news here; anything else is a bug and is shown."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: StandInServer
    protocol_version = "HTTP/1.1"
    server_version = "storage-stand-in"
    timeout = 60

    def do_GET(self) -> None:
        """Public and signed downloads."""
        path, _, query = self.path.partition("?")
        for pattern, operation, serve in (
            (r"/object/sign/([^/]+)/(.+)", Operation.SIGNED_DOWNLOAD, self._signed_download),
            (r"/object/public/([^/]+)/(.+)", Operation.PUBLIC_DOWNLOAD, self._public_download),
        ):
            if match := re.fullmatch(PREFIX + pattern, path):
                bucket, name = (urllib.parse.unquote(part) for part in match.groups())
                self._note(operation, f"{bucket}/{name}")
                serve(bucket, name, urllib.parse.parse_qs(query))
                return
        self._error(404, "404", "Not Found", f"Route GET:{path} not found")

    def do_POST(self) -> None:
        """Signing and uploads."""
        path = self.path.partition("?")[0]
        body = self._body()
        if body is None:
            return
        for pattern, operation, serve in (
            (r"/object/sign/([^/]+)/(.+)", Operation.SIGN, self._sign),
            (r"/object/([^/]+)/(.+)", Operation.UPLOAD, self._upload),
        ):
            if match := re.fullmatch(PREFIX + pattern, path):
                bucket, name = (urllib.parse.unquote(part) for part in match.groups())
                self._note(operation, f"{bucket}/{name}")
                if self._authorised():
                    serve(bucket, name, body)
                return
        self._error(404, "404", "Not Found", f"Route POST:{path} not found")

    def _sign(self, bucket: str, name: str, body: bytes) -> None:
        expires_in = _json_field(body, "expiresIn")
        if not isinstance(expires_in, int) or expires_in < 1:
            self._error(400, "400", "Error", "body must have required property 'expiresIn'")
            return
        if self._found(bucket, name) is None:
            return
        raw = self.path.partition("?")[0].removeprefix(f"{PREFIX}/object/sign/")
        url = _decode_uri(raw)
        now = int(time.time())
        claims = {"url": url, "scope": "download", "iat": now, "exp": now + expires_in}
        token = self.server.stand_in.sign(claims)
        answer = json.dumps({"signedURL": f"/object/sign/{url}?token={token}"}).encode()
        self._answer(Operation.SIGN, "application/json", answer)

    def _signed_download(self, bucket: str, name: str, query: dict[str, list[str]]) -> None:
        claims = self.server.stand_in.verify(query.get("token", [""])[0])
        if claims is None:
            self._error(400, "400", "InvalidJWT", "signature verification failed")
        elif claims["url"] != f"{bucket}/{name}":
            self._error(400, "400", "InvalidSignature", "Invalid signature")
        elif claims["exp"] < time.time():
            self._error(400, "400", "ExpiredToken", "The provided token has expired.")
        elif file := self._found(bucket, name):
            self._answer(Operation.SIGNED_DOWNLOAD, _content_type(name), file.read_bytes())

    def _public_download(self, bucket: str, name: str, _query: dict[str, list[str]]) -> None:
        if bucket not in self.server.stand_in.public_buckets:
            self._error(400, "404", "Bucket not found", "Bucket not found", "NoSuchBucket")
        elif file := self._found(bucket, name):
            self._answer(Operation.PUBLIC_DOWNLOAD, _content_type(name), file.read_bytes())

    def _upload(self, bucket: str, name: str, body: bytes) -> None:
        stand_in = self.server.stand_in
        if not _VALID_KEY.fullmatch(name) or ".." in name.split("/"):
            self._error(400, "400", "InvalidKey", f"Invalid key: {name}")
        elif not (stand_in.root / bucket).is_dir():
            self._error(400, "404", "Bucket not found", "Bucket not found", "NoSuchBucket")
        elif self.headers.get("x-upsert") != "true" and stand_in.find(bucket, name):
            text = "The resource already exists"
            self._error(400, "409", "Duplicate", text, "KeyAlreadyExists")
        elif stand_in.faults.get(Operation.UPLOAD) is not None:
            self._answer(Operation.UPLOAD, "application/json", b"{}")
        else:
            stand_in.put(bucket, name, body)
            answer = {"Id": str(uuid.uuid4()), "Key": f"{bucket}/{name}"}
            self._answer(Operation.UPLOAD, "application/json", json.dumps(answer).encode())

    def _authorised(self) -> bool:
        """The gateway's check of `apikey`, then Storage's own of the bearer token."""
        stand_in = self.server.stand_in
        keys = (stand_in.service_role_key, stand_in.anon_key)
        apikey = self.headers.get("apikey")
        bearer = re.sub(r"^Bearer\s+", "", self.headers.get("authorization", ""), flags=re.I)
        if apikey is None:
            self._json(401, {"message": "No API key found in request"})
        elif apikey not in keys:
            hint = "Double check your Supabase `anon` or `service_role` API key."
            self._json(401, {"message": "Invalid API key", "hint": hint})
        elif bearer not in keys:
            self._error(400, "403", "Unauthorized", "Invalid Compact JWS", "AccessDenied")
        elif bearer != stand_in.service_role_key:
            text = "new row violates row-level security policy"
            self._error(400, "403", "Unauthorized", text, "AccessDenied")
        else:
            return True
        return False

    def _found(self, bucket: str, name: str) -> Path | None:
        """The object's file, or None after the answer that says it is missing."""
        file = self.server.stand_in.find(bucket, name)
        if file is None:
            self._error(400, "404", "not_found", "Object not found", "NoSuchKey")
        return file

    def _body(self) -> bytes | None:
        """The request's body, or None after the answer that says why it is not taken."""
        length = self.headers.get("content-length", "")
        if not length.isdecimal():
            self.close_connection = True
            text = "You must provide the Content-Length HTTP header."
            self._error(400, "400", "MissingContentLength", text)
        elif int(length) > MAX_OBJECT_BYTES:
            self.close_connection = True
            text = "The object exceeded the maximum allowed size"
            self._error(400, "413", "Payload too large", text, "EntityTooLarge")
        else:
            return self.rfile.read(int(length))
        return None

    def _note(self, operation: Operation, path: str) -> None:
        self.server.stand_in.seen.append((operation, path))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.stand_in.seen_headers.append((operation, headers))

    def _answer(self, operation: Operation, content_type: str, content: bytes) -> None:
        """A success, unless a fault is switched on for the operation."""
        fault = self.server.stand_in.faults.get(operation)
        if fault is None and self.server.stand_in.chunked and operation.downloads:
            self._send_chunked(content_type, content)
        elif fault is None:
            self._send(200, content_type, content)
        else:
            self._fail(fault, content_type, content)

    def _fail(self, fault: Fault, content_type: str, content: bytes) -> None:
        if fault is Fault.INTERNAL_ERROR:
            self._error(500, "500", "Internal", "Internal Server Error", "InternalError")
        elif fault is Fault.BAD_GATEWAY_PAGE:
            self._send(502, "text/html", b"<html><h1>502 Bad Gateway</h1></html>")
        elif fault is Fault.WRONG_CONTENT:
            self._send(200, "text/html", b"<html>Down for maintenance</html>")
        elif fault is Fault.REDIRECT:
            self._send(302, "text/plain", b"", {"location": "http://127.0.0.1:9/elsewhere"})
        elif fault is Fault.SLOW:
            self._head(200, content_type, len(content))
            self.wfile.flush()
            time.sleep(self.server.stand_in.slow_seconds)
            self.close_connection = True
        else:
            if fault is Fault.TRUNCATED:
                self._head(200, content_type, len(content) + 1)
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
            self.close_connection = True

    def _error(
        self, status: int, meant: str, error: str, message: str, code: str | None = None
    ) -> None:
        body = {"statusCode": meant, "error": error, "message": message, "code": code or error}
        self._json(status, body)

    def _json(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, "application/json; charset=utf-8", json.dumps(body).encode())

    def _send(
        self, status: int, content_type: str, content: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self._head(status, content_type, len(content), headers)
        self.wfile.write(content)

    def _send_chunked(self, content_type: str, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", content_type)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for start in range(0, len(content), 8192):
            piece = content[start : start + 8192]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _head(
        self, status: int, content_type: str, length: int, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """One line a request, without the tokens in query strings."""
        line = re.sub(r"\?\S*", "?…", format % args)
        print(f"{self.address_string()} {line}", file=sys.stderr)


@contextmanager
def running(stand_in: StandIn, bind: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve a stand-in on a thread of its own. Gives the URL that stands for SUPABASE_URL."""
    server = StandInServer((bind, port), stand_in)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://{bind}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A stand-in for Supabase Storage.")
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8081, help="port to listen on, 0: any")
    parser.add_argument("--root", type=Path, required=True, help="where the buckets are")
    arguments = parser.parse_args()
    stand_in = StandIn(
        arguments.root,
        os.environ.get("SUPABASE_SERVICE_ROLE_KEY", "") or DEFAULT_SERVICE_ROLE_KEY,
        os.environ.get("SUPABASE_ANON_KEY", "") or DEFAULT_ANON_KEY,
    )
    try:
        server = StandInServer((arguments.bind, arguments.port), stand_in)
    except OSError as error:
        print(f"can not listen on {arguments.bind}:{arguments.port}: {error}", file=sys.stderr)
        return 1
    print(f"listening on http://{arguments.bind}:{server.server_address[1]}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
    return 0


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decode_uri(path: str) -> str:
    """JavaScript's decodeURI: everything is decoded but the escapes of reserved characters."""
    pieces = re.split(f"({_RESERVED_ESCAPE.pattern})", path, flags=re.IGNORECASE)
    return "".join(
        piece if _RESERVED_ESCAPE.fullmatch(piece) else urllib.parse.unquote(piece)
        for piece in pieces
    )


def _json_field(body: bytes, name: str) -> object:
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content.get(name) if isinstance(content, dict) else None


def _content_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


if __name__ == "__main__":
    sys.exit(main())
