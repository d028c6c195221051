#!/usr/bin/env python3
"""Makes Docker Engine's configuration turn on the containerd image store.

With it the plain `docker` driver of buildx can export a registry cache, which
the classic image store can not. Every other key of the file stays as it is.

usage: daemon_json.py [--check] PATH

Exit code 0: the image store is on (or, with --check, already was); 1: with
--check, it is not on; 2: the file is not what Docker Engine can read. PATH need
not exist. It is replaced in one step, so that an engine starting at the same
time never sees half a file.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

FEATURES = "features"
IMAGE_STORE = "containerd-snapshotter"


class Unreadable(Exception):
    """The file is not a configuration; the message says where and why."""


def parse(text: str, path: Path) -> dict[str, Any]:
    """The configuration in `text`; an empty file is an empty configuration."""
    if not text.strip():
        return {}
    try:
        configuration = json.loads(text)
    except json.JSONDecodeError as error:
        raise Unreadable(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    if not isinstance(configuration, dict):
        raise Unreadable(f"{path}: must be a JSON object")
    if not isinstance(configuration.get(FEATURES, {}), dict):
        raise Unreadable(f'{path}: "{FEATURES}" must be a JSON object')
    return configuration


def is_on(configuration: dict[str, Any]) -> bool:
    """Whether the configuration turns the containerd image store on."""
    return configuration.get(FEATURES, {}).get(IMAGE_STORE) is True


def merged(configuration: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the image store on and nothing else changed."""
    return {**configuration, FEATURES: {**configuration.get(FEATURES, {}), IMAGE_STORE: True}}


def replace(path: Path, text: str) -> None:
    """Writes `text` to `path` in one step, keeping the mode of what was there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def main(arguments: list[str]) -> int:
    check = arguments[:1] == ["--check"]
    paths = arguments[1:] if check else arguments
    if len(paths) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    # A link is followed: what it points to is replaced, not the link.
    path = Path(paths[0]).resolve()
    try:
        configuration = parse(path.read_text(encoding="utf-8") if path.exists() else "", path)
    except (Unreadable, UnicodeDecodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        print("\nhint: Docker Engine does not start with it either: mend it, or move it away", file=sys.stderr)
        return 2
    if is_on(configuration):
        return 0
    if check:
        return 1
    replace(path, json.dumps(merged(configuration), indent=4) + "\n")
    kept = ", ".join(sorted(set(configuration) - {FEATURES}))
    print(f"{path}: {FEATURES}.{IMAGE_STORE} is now true" + (f"; kept: {kept}" if kept else ""))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
