"""How long a container takes from its start until the service answers."""

from __future__ import annotations

import http.client
import statistics
import time
from dataclasses import dataclass

from measure.command import Failed, run
from measure.machine import PREFIX, Machine, free_port
from measure.variants import Variant

PATIENCE = 60.0


@dataclass(frozen=True)
class Start:
    """Medians, in seconds."""

    pull: float
    healthy: float


def start(machine: Machine, variant: Variant, digest: str, repeat: int) -> Start:
    """Pull the image to a machine that has none of it, and start it some times."""
    name = f"{machine.registry}/{variant.repository}@{digest}"
    machine.fresh()
    environment = machine.docker_environment()
    pulled = run(["docker", "pull", "--quiet", name], environment=environment)
    try:
        times = [_start_once(name) for _ in range(repeat)]
    finally:
        run(["docker", "image", "rm", "--force", name])
    return Start(pulled.seconds, statistics.median(times))


def _start_once(image: str) -> float:
    port = free_port()
    made = run(
        ["docker", "create", "--label", PREFIX, "--publish", f"127.0.0.1:{port}:8080",
         "--env", "SUPABASE_URL=https://example.supabase.co",
         "--env", "SUPABASE_SERVICE_ROLE_KEY=made-up", image]
    )  # fmt: skip
    container = made.stdout.strip()
    try:
        began = time.monotonic()
        run(["docker", "start", container])
        while not _healthy(port):
            if time.monotonic() - began > PATIENCE:
                raise Failed(
                    f"{image} does not answer: {run(['docker', 'logs', container]).stderr}"
                )
            time.sleep(0.005)
        return time.monotonic() - began
    finally:
        run(["docker", "rm", "--force", "--volumes", container])


def _healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
