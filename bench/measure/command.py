"""Other programs, with their output where it belongs: in a log, or in the error."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class Failed(Exception):
    """Something that the benchmark needs did not work; the message says what and why."""


@dataclass(frozen=True)
class Done:
    """A program that ended well."""

    seconds: float
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Done:
    """Run to the end. Raises `Failed`, with the end of what it said, unless it exits with 0."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            argv,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        raise Failed(f"{argv[0]} can not be run: {error}") from error
    seconds = time.monotonic() - began
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise Failed(f"{shlex.join(argv)}: exit code {done.returncode}\n{said}")
    return Done(seconds, done.stdout, done.stderr)


def output(argv: Sequence[str], default: str = "") -> str:
    """What a program says, or `default` where it can not be asked."""
    try:
        return run(argv).stdout.strip() or default
    except Failed:
        return default
