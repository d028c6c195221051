"""The two designs: a working copy each, how it is changed, and how it is built."""

from __future__ import annotations

import json
import re
import shutil
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from measure import events
from measure.changes import HEAVY, SMALL, SYSTEM, Edit, line, replaced
from measure.command import Failed, run
from measure.machine import Machine

REQUIREMENT = re.compile(r"^(?P<pin>[A-Za-z0-9._-]+==[^ \\]+)(?: ; (?P<marker>[^\\]+))? ?\\?$")


@dataclass(frozen=True)
class Built:
    """A build that went well and is in the registry."""

    seconds: float
    steps: events.Steps
    digest: str


class Variant(ABC):
    """A design, in a working copy of its own that is a git repository."""

    name: str
    #: In the registry.
    repository: str

    def __init__(self, machine: Machine, root: Path) -> None:
        self.machine = machine
        self.root = root
        self._count = 0

    @abstractmethod
    def build(self) -> Built:
        """Build, push, write the registry cache."""

    @abstractmethod
    def _small(self, requirement: str, sha256: str) -> None: ...

    @abstractmethod
    def _heavy(self, *, bump: bool) -> None: ...

    @abstractmethod
    def _system(self, packages: tuple[str, ...]) -> None: ...

    def change(self, scenario: str, *, fresh: bool) -> None:
        """Change what the scenario is about, and commit it."""
        self._count += 1
        mark = f"{time.time_ns()}"
        match scenario:
            case "none":
                return
            case "cold" | "code":
                self._edit("api/loppestars/api.py", line(f"# {mark}"))
            case "docs":
                self._edit("docs/guide.md", line(f"<!-- {mark} -->"))
            case "small":
                self._small(*SMALL[int(fresh)])
            case "heavy":
                self._heavy(bump=not fresh)
            case "system":
                self._system(SYSTEM if fresh else SYSTEM[:1])
            case _:
                raise ValueError(scenario)
        self._commit(f"{scenario} {mark}")

    def reference(self, tag: str = "latest") -> str:
        """The image's name in the registry."""
        return f"{self.machine.registry}/{self.repository}:{tag}"

    def _edit(self, name: str, edit: Edit) -> None:
        path = self.root / name
        path.write_text(edit(path.read_text()))

    def _commit(self, message: str) -> None:
        git = [
            "git",
            "-C",
            str(self.root),
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@localhost",
        ]
        run([*git, "add", "--all"])
        run([*git, "commit", "--quiet", "--message", message])


class Ours(Variant):
    """This repository, through `cargo xtask build --push`."""

    name = "ours"
    repository = "loppestars"

    def build(self) -> Built:
        """`cargo xtask build --push`."""
        done = run(
            [str(self.machine.xtask), "build", "--push", "--env", "local", "--format", "json"],
            directory=self.root,
        )
        report = json.loads(done.stdout)
        # Nothing is built where the repository has an image of the same inputs.
        build = report["build"] or {}
        steps = events.Steps(
            build.get("run-steps", 0), build.get("cached-steps", 0), build.get("context-bytes", 0)
        )
        return Built(done.seconds, steps, report["digest"])

    def _small(self, requirement: str, sha256: str) -> None:
        self._edit("api/requirements/light.txt", line(f"{requirement} --hash=sha256:{sha256}"))

    def _heavy(self, *, bump: bool) -> None:
        path = self.root / "api/requirements/heavy.txt"
        locked = self.machine.locked / "api/requirements/heavy.txt"
        if not bump:
            shutil.copyfile(locked, path)
            return
        pin, hashes = HEAVY
        lines = [
            f"{pin} ; python_full_version >= '3.12' \\",
            *(f"--hash=sha256:{h} \\" for h in hashes),
        ]
        text = "\n".join(lines).removesuffix(" \\")
        # The entry of the Python that the image has, with its hashes.
        old = re.compile(
            r"^numpy==\S+ ; python_full_version >= '3\.12' \\\n(?:    --hash=\S+(?: \\)?\n)+", re.M
        )
        content, count = old.subn(text + "\n", path.read_text())
        if count != 1:
            raise Failed(f"{path} has no NumPy for Python 3.12 and newer")
        path.write_text(content)

    def _system(self, packages: tuple[str, ...]) -> None:
        section = "[env.local.args]\n"
        names = " ".join(packages)
        text = (self.root / "xtask.toml").read_text()
        text = re.sub(r"^SYSTEM_PACKAGES = .*\n", "", text, flags=re.M)
        text = replaced(section, f'{section}SYSTEM_PACKAGES = "{names}"\n')(text)
        (self.root / "xtask.toml").write_text(text)


class Seed(Variant):
    """`bench/seed`, through the commands of the documentation that it is rebuilt from."""

    name = "seed"
    repository = "loppestars-seed"

    def prepare(self, seed: Path) -> None:
        """Lay the design over the working copy."""
        for name in ("Dockerfile", ".dockerignore"):
            shutil.copyfile(seed / name, self.root / name)
        # The same packages in the same versions, so that only the design differs.
        pins = [
            pin
            for name in ("heavy", "light")
            for pin in pins_of(self.root / f"api/requirements/{name}.txt")
        ]
        (self.root / "requirements.txt").write_text("\n".join(pins) + "\n")
        self._commit("seed")

    def build(self) -> Built:
        """The documented command, and the options that only observe."""
        cache = f"type=registry,ref={self.reference('buildcache')}"
        metadata = self.machine.scratch / "seed-metadata.json"
        argv = ["docker", "buildx", "build", *self.machine.builder_option()]
        argv += ["--platform", "linux/amd64"]
        argv += ["--cache-from", cache, "--cache-to", f"{cache},mode=max"]
        for name, value in (
            ("SUPABASE_URL", "https://example.supabase.co"),
            ("SUPABASE_SERVICE_ROLE_KEY", "made-up"),
            ("SUPABASE_ANON_KEY", "made-up"),
            ("SOURCE_BUCKET", "stall-photos"),
            ("STORAGE_BUCKET", "stall-photos-processed"),
        ):
            argv += ["--build-arg", f"{name}={value}"]
        argv += ["--tag", self.reference(), "--push", "--file", "Dockerfile"]
        # What this kind of machine needs.
        argv += [
            "--build-arg",
            f"BASE_IMAGE={self.machine.base_image}",
            *self.machine.build_secrets(),
        ]
        # What only observes.
        argv += ["--progress", "rawjson", "--metadata-file", str(metadata), "."]
        done = run(argv, directory=self.root, environment=self.machine.docker_environment())
        digest = json.loads(metadata.read_text())["containerimage.digest"]
        return Built(done.seconds, events.steps(done.stderr), digest)

    def _small(self, requirement: str, sha256: str) -> None:
        del sha256  # it pins without hashes
        self._edit("requirements.txt", line(requirement))

    def _heavy(self, *, bump: bool) -> None:
        locked = next(
            pin
            for pin in pins_of(self.machine.locked / "api/requirements/heavy.txt")
            if pin.startswith("numpy==")
        )
        old, new = (locked, HEAVY[0]) if bump else (HEAVY[0], locked)
        self._edit("requirements.txt", replaced(old, new))

    def _system(self, packages: tuple[str, ...]) -> None:
        text = (self.root / "Dockerfile").read_text()
        for package in SYSTEM:
            text = text.replace(f"        {package} \\\n", "")
        anchor = "        wget \\\n"
        if anchor not in text and "        wget\n" not in text:
            raise Failed("the seed's Dockerfile has no list of packages that ends with wget")
        for package in packages:
            text = text.replace("        wget", f"        {package} \\\n        wget", 1)
        (self.root / "Dockerfile").write_text(text)


def pins_of(path: Path) -> list[str]:
    """The pins of a locked file for the Python that the image has, without hashes."""
    pins = []
    for text in path.read_text().splitlines():
        found = REQUIREMENT.match(text)
        if found and "< '3.12'" not in (found["marker"] or ""):
            pins.append(found["pin"])
    return pins
