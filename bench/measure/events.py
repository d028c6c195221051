"""BuildKit's event stream (`--progress rawjson`), as far as it is counted here.

The same rules as those of `cargo xtask build --format json`, which counts for itself.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

#: `[stage 2/5] RUN …`, `[linux/amd64 stage 2/5] …`, `[2/5] …`
STEP = re.compile(r"^\[(?:[^\]]* )?\d+/\d+\] (?P<instruction>\S+)")
#: A stage's first step has the position `internal`-like `1/N` and reads FROM.
CONTEXT = re.compile(r"^transferring context")


@dataclass(frozen=True)
class Steps:
    """What a build came to."""

    run: int
    cached: int
    context_bytes: int


def steps(stream: str) -> Steps:
    """Count what was run, what came out of a cache, and what was sent."""
    vertices: dict[str, dict[str, object]] = {}
    sent: dict[str, int] = {}
    for line in stream.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # text that buildx printed
        if not isinstance(event, dict):
            continue
        for vertex in event.get("vertexes") or ():
            vertices.setdefault(vertex["digest"], {}).update(vertex)
        for status in event.get("statuses") or ():
            if CONTEXT.match(status.get("id", "")):
                key = status["vertex"] + status["id"]
                sent[key] = max(sent.get(key, 0), status.get("current", 0))
    run = cached = 0
    for vertex in vertices.values():
        step = STEP.match(str(vertex.get("name", "")))
        if step is None or step["instruction"] == "FROM":
            continue
        if vertex.get("cached"):
            cached += 1
        elif vertex.get("completed"):
            run += 1
    return Steps(run, cached, sum(sent.values()))
