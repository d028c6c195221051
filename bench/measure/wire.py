"""A TCP relay in front of the registry that counts what goes through it.

Nothing is asked of anybody and nothing is interpreted: these are the bytes on the wire, HTTP and
all, of the image, of the cache and of every question whether a layer is already there.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass

CHUNK = 1 << 20


@dataclass(frozen=True)
class Traffic:
    """Bytes so far."""

    pushed: int
    pulled: int

    def since(self, earlier: Traffic) -> Traffic:
        """What came in between."""
        return Traffic(self.pushed - earlier.pushed, self.pulled - earlier.pulled)


class Relay:
    """Listens on a free port of this machine until it is closed."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._lock = threading.Lock()
        self._pushed = 0
        self._pulled = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def traffic(self) -> Traffic:
        """Bytes so far, both ways."""
        with self._lock:
            return Traffic(self._pushed, self._pulled)

    def close(self) -> None:
        """Take no further connections."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._upstream))
            except OSError:  # the client sees that nobody is there
                client.close()
                continue
            for source, sink, counter in (
                (client, server, self._count_pushed),
                (server, client, self._count_pulled),
            ):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_pump, args=(source, sink, counter), daemon=True).start()

    def _count_pushed(self, count: int) -> None:
        with self._lock:
            self._pushed += count

    def _count_pulled(self, count: int) -> None:
        with self._lock:
            self._pulled += count


def _pump(source: socket.socket, sink: socket.socket, counter) -> None:  # noqa: ANN001
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    with contextlib.suppress(OSError):
        while count := source.recv_into(buffer):
            counter(count)
            sink.sendall(view[:count])
    # The other direction may still be under way.
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
