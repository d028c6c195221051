"""Runs snippets of bash with files of `scripts/lib` sourced, as the scripts do."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "scripts" / "lib"


def bash(
    libraries: str,
    snippet: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
) -> subprocess.CompletedProcess[str]:
    """Sources `libraries` (names with blanks between), then runs `snippet`.

    `arguments` are $1 and so on. Standard input is a pipe, never a terminal.
    """
    sources = "".join(f". '{LIBRARY / name}.sh'\n" for name in libraries.split())
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{sources}{snippet}", "bash", *arguments],
        env={**os.environ, **(environment or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def explain(result: subprocess.CompletedProcess[str]) -> str:
    """Everything about a run, for the message of a failed test."""
    return f"exit code {result.returncode}\nstdout:\n{result.stdout}\nstderr:\n{result.stderr}"


def executable(path: Path, text: str) -> None:
    """Writes a program."""
    path.write_text(text)
    path.chmod(0o755)
