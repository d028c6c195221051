"""Asks the service in this container for its health: `python -m loppestars.healthcheck`.

Exit code 0: healthy. 1: not, and the reason is on standard output, where `docker inspect` shows
it. `PORT` is the port that the service listens on, 8080 unless it is set.
"""

from __future__ import annotations

import http.client
import os
import sys

_TIMEOUT_SECONDS = 3


def main() -> int:
    """Ask, print the answer, and return the exit code."""
    port = os.environ.get("PORT") or "8080"
    connection = None
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=_TIMEOUT_SECONDS)
        connection.request("GET", "/health")
        response = connection.getresponse()
        print(response.read(4096).decode(errors="replace"))
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"no answer on port {port}: {error}")
        return 1
    finally:
        if connection is not None:
            connection.close()
    return 0 if response.status == http.client.OK else 1


if __name__ == "__main__":
    sys.exit(main())
