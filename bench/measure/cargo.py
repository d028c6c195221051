"""The tool that is measured, as Cargo builds it."""

from __future__ import annotations

import json
from pathlib import Path

from measure.command import run


def build(root: Path, *, release: bool = False) -> Path:
    """Build it, and say where its program is."""
    argv = ["cargo", "build", "--quiet", "--locked", "--package", "xtask"]
    argv += ["--message-format", "json"] + (["--release"] if release else [])
    messages = map(json.loads, run(argv, directory=root).stdout.splitlines())
    return next(Path(message["executable"]) for message in messages if message.get("executable"))
