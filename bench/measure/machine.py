"""What the builds run on: engine, builder, emulator, registry, and how all that is made fresh."""

from __future__ import annotations

import base64
import datetime
import fcntl
import json
import os
import platform
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from measure import cargo, registry
from measure.command import Failed, output, run
from measure.wire import Relay

#: Everything that is made in the engine carries it.
PREFIX = "xtask-bench"
#: The image of BuildKit that a builder of its own runs in.
BUILDKIT = "moby/buildkit:buildx-stable-1"
#: Where the emulator is installed in a working copy, and where that is kept between runs.
EMULATOR = Path("target/xtask/ministack/venv")
KEPT = Path("target/bench/ministack")


class Machine:
    """The parts that both variants share."""

    def __init__(self, root: Path, *, driver: str) -> None:
        #: The repository that is measured.
        self.locked = root
        self.driver = driver
        self.scratch = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-"))
        self.xtask = cargo.build(root)
        self.emulator_port = free_port()
        self.storage_port = free_port()
        self.relay = Relay(self.emulator_port)
        self.registry = f"127.0.0.1:{self.relay.port}"
        self.base_image = ""
        self._local_base = ""
        self._docker_config: Path | None = None

    def builder_name(self) -> str:
        """The builder that builds."""
        return "default" if self.driver == "docker" else PREFIX

    def builder_option(self) -> list[str]:
        """Names the builder, and never makes it the user's current one."""
        return ["--builder", self.builder_name()]

    def copy(self, name: str) -> Path:
        """A working copy of what git knows or would add, with one commit."""
        to = self.scratch / name
        listed = run(
            [
                "git",
                "-C",
                str(self.locked),
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ]
        )
        for file in listed.stdout.split("\0"):
            source = self.locked / file
            if file and source.is_file():
                target = to / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        run(["git", "-C", str(to), "init", "--quiet"])
        return to

    def configure(self, copy: Path) -> None:
        """Give the copy ports of its own, and the registry behind the relay."""
        path = copy / "xtask.toml"
        text = (
            path.read_text()
            .replace("4566", str(self.emulator_port))
            .replace("5080", str(self.storage_port))
        )
        text, count = re.subn(
            r'^registry = "127\.0\.0\.1:\d+"$', f'registry = "{self.registry}"', text, flags=re.M
        )
        if count != 1:
            raise Failed("xtask.toml has no registry on this machine")
        if self.driver != "docker":
            text += (
                f'\n[env.local.builder]\nname = "{PREFIX}"\ndriver = "{self.driver}"\n'
                'driver-options = ["network=host"]\n'
            )
        path.write_text(text)

    def up(self, copy: Path) -> None:
        """Start the emulator, and have a base image."""
        # Its installation takes longer than its start: one is kept for all runs.
        installed = copy / EMULATOR
        installed.parent.mkdir(parents=True)
        for kept in (self.locked / KEPT, self.locked / EMULATOR):
            if (kept / "installed").exists():
                installed.symlink_to(kept, target_is_directory=True)
                break
        run([str(self.xtask), "local", "up"], directory=copy)
        config = (copy / "xtask.toml").read_text()
        names = re.search(r"BASE_IMAGE = \{ local-image = \[(?P<names>[^]]*)\]", config)
        if names is None:
            raise Failed("xtask.toml names no base images")
        for name in re.findall(r'"([^"]+)"', names["names"]):
            if output(["docker", "image", "inspect", "--format", "{{.Id}}", name]):
                self._local_base = self.base_image = name
                break
        else:
            raise Failed("there is no base image, although `xtask local up` went well")
        if self.driver != "docker":
            self._push_base(copy)

    def _push_base(self, copy: Path) -> None:
        """A builder of its own has no local images: it pulls the base image from the registry."""
        registry.create_repository(self.emulator_port, f"{PREFIX}-base")
        self.base_image = f"{self.registry}/{PREFIX}-base:1"
        environment = self.docker_environment()
        run(["docker", "tag", self._local_base, self.base_image])
        run(["docker", "push", "--quiet", self.base_image], environment=environment)
        path = copy / "xtask.toml"
        text = re.sub(
            r"^BASE_IMAGE = .*$", f'BASE_IMAGE = "{self.base_image}"', path.read_text(), flags=re.M
        )
        path.write_text(text)

    def docker_environment(self) -> dict[str, str]:
        """A Docker configuration of its own that is logged in to the registry."""
        if self._docker_config is None:
            user = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker"))
            self._docker_config = self.scratch / "docker-config"
            self._docker_config.mkdir()
            auth = base64.b64encode(b"AWS:bench").decode()
            config = {
                "auths": {self.registry: {"auth": auth}},
                "cliPluginsExtraDirs": [str(user / "cli-plugins")],
            }
            (self._docker_config / "config.json").write_text(json.dumps(config))
        environment = {
            "DOCKER_CONFIG": str(self._docker_config),
            "BUILDX_CONFIG": os.environ.get("BUILDX_CONFIG", str(Path.home() / ".docker/buildx")),
        }
        host = output(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
        return environment | ({"DOCKER_HOST": host} if host else {})

    def build_secrets(self) -> list[str]:
        """The same build secrets that xtask.toml hands to our build."""
        options = []
        for name, variable in (("ca-bundle", "SSL_CERT_FILE"), ("pip-conf", "PIP_CONFIG_FILE")):
            if value := os.environ.get(variable):
                options += ["--secret", f"id={name},src={value}"]
        return options

    def fresh(self) -> None:
        """Make the builder forget everything: all that is left is the registry's cache."""
        self._remove_images()
        if self.driver == "docker":
            run(["docker", "buildx", "prune", "--builder", "default", "--all", "--force"])
        else:
            self._new_builder()

    def _remove_images(self) -> None:
        form = "{{.Repository}} {{.Tag}} {{.Digest}}"
        listed = output(["docker", "image", "ls", "--digests", "--format", form])
        for line in listed.splitlines():
            repository, tag, digest = line.split()
            if repository.startswith(f"{self.registry}/"):
                # What a task pulled by digest has no tag.
                name = f"{repository}@{digest}" if tag == "<none>" else f"{repository}:{tag}"
                run(["docker", "image", "rm", "--force", name])

    def base_layers(self) -> int:
        """How many layers of an image are the base image's."""
        said = output(
            ["docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}", self._local_base]
        )
        return len(json.loads(said))

    def remove(self, copy: Path | None) -> None:
        """End and remove everything that was made; the emulator's installation is kept."""
        if copy is not None:
            output([str(self.xtask), "local", "down", "--config", str(copy / "xtask.toml")])
            installed, kept = copy / EMULATOR, self.locked / KEPT
            if (installed / "installed").exists() and not installed.is_symlink():
                shutil.rmtree(kept, ignore_errors=True)
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(installed, kept)
        if self.driver == "docker":
            self.fresh()
        else:
            self._remove_images()
            output(["docker", "buildx", "rm", PREFIX])
        self.relay.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def facts(self) -> list[tuple[str, str]]:
        """What the numbers depend on."""
        engine = output(["docker", "version", "--format", "{{.Server.Version}}"], "unknown")
        buildx = output(["docker", "buildx", "version"], "unknown").split()
        store = output(["docker", "info", "--format", "{{.DriverStatus}}"])
        return [
            ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")),
            ("commit", output(["git", "-C", str(self.locked), "rev-parse", "--short=12", "HEAD"])),
            ("processor", f"{_processor()}, {len(os.sched_getaffinity(0))} cores"),
            ("memory", _memory()),
            ("system", f"{platform.system()} {platform.release()}"),
            (
                "engine",
                f"{engine}{' with the containerd image store' if 'containerd' in store else ''}",
            ),
            ("buildx", buildx[1] if len(buildx) > 1 else "unknown"),
            ("builder", f"driver {self.driver}, BuildKit {self._buildkit()}"),
            ("base image", self._local_base),
            ("registry", "of the emulator, on the same machine"),
        ]

    def _buildkit(self) -> str:
        said = output(["docker", "buildx", "inspect", self.builder_name()])
        found = re.search(r"^BuildKit version:\s+(\S+)", said, re.M)
        if found is None or "unknown" in found[1]:
            return "of the engine"
        return found[1]

    def _new_builder(self) -> None:
        output(["docker", "buildx", "rm", PREFIX])
        run(["docker", "buildx", "create", "--name", PREFIX, "--driver", "docker-container",
             "--driver-opt", "network=host", "--bootstrap"])  # fmt: skip


@contextmanager
def turn() -> Iterator[None]:
    """Wait for and take the machine's turn: what prunes the builder's cache runs by itself.

    The end-to-end tests take the same.
    """
    path = Path(tempfile.gettempdir(), "xtask-e2e.lock")
    lock: IO[str]
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another benchmark or end-to-end test to end", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*: (.+)$", text, re.M)
    return found[1] if found else platform.machine()


def _memory() -> str:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{pages / 2**30:.0f} GiB"
