"""What the tool costs and how fast it deploys.

Its start, what it adds to the command that it runs, and deploys until the service is verified."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measure.command import Failed, run
from measure.machine import Machine
from measure.variants import Ours


@dataclass(frozen=True)
class Times:
    """Repetitions of one thing, in seconds."""

    title: str
    seconds: list[float]

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.seconds)


def measure(machine: Machine, ours: Ours, repeat: int, say: Callable[[str], None]) -> list[Times]:
    """All of it, in the order in which it is to be shown."""
    say("measuring the tool and its deploys")
    return [
        *_starts(machine, say),
        *_overhead(machine, ours, repeat),
        *_deploys(machine, ours, repeat),
    ]


def _starts(machine: Machine, say: Callable[[str], None]) -> list[Times]:
    """By hyperfine."""
    if shutil.which("hyperfine") is None:
        say("without hyperfine (Debian: apt-get install hyperfine) the tool's start is left out")
        return []
    export = machine.scratch / "hyperfine.json"
    commands = ["cargo xtask --version", f"{machine.xtask} --version"]
    argv = [
        "hyperfine",
        "--shell=none",
        "--warmup",
        "3",
        "--export-json",
        str(export),
        *commands,
    ]
    run(argv, directory=machine.locked)
    found = json.loads(export.read_text())["results"]
    titles = ["`cargo xtask --version`", "`target/debug/xtask --version`"]
    return [Times(title, result["times"]) for title, result in zip(titles, found, strict=True)]


def _overhead(machine: Machine, ours: Ours, repeat: int) -> list[Times]:
    """`cargo xtask build` and the very command that it prints, by turns; nothing has changed."""
    tool = [str(machine.xtask), "build", "--env", "local"]
    run(tool, directory=ours.root)
    printed = run([*tool, "--dry-run"], directory=ours.root).stdout
    found = re.search(r"^\S*\s*((?:\w+=\S+ )*)(docker buildx build .*)$", printed, re.M)
    if found is None:
        raise Failed(f"no `docker buildx build` in what the dry run printed:\n{printed}")
    variables = dict(word.split("=", 1) for word in shlex.split(found[1]))
    bare = shlex.split(found[2])
    bare[bare.index("--metadata-file") + 1] = str(machine.scratch / "bare-metadata.json")
    environment = machine.docker_environment() | variables
    times = (
        Times("`cargo xtask build`, no change", []),
        Times("the `docker buildx build` that it prints", []),
    )
    for _ in range(max(repeat, 3)):
        times[0].seconds.append(run(tool, directory=ours.root).seconds)
        times[1].seconds.append(run(bare, directory=ours.root, environment=environment).seconds)
    return list(times)


def _deploys(machine: Machine, ours: Ours, repeat: int) -> list[Times]:
    tool = [str(machine.xtask), "deploy", "--env", "local", "--format", "json"]
    run(tool, directory=ours.root)
    times = (
        Times("`cargo xtask deploy`, no change", []),
        Times(
            "`cargo xtask deploy`, one line of Python, until it serves and is verified",
            [],
        ),
    )
    for _ in range(max(repeat, 3)):
        times[0].seconds.append(_deploy(tool, ours.root, "unchanged"))
    for _ in range(max(repeat, 3)):
        ours.change("code", fresh=False)
        times[1].seconds.append(_deploy(tool, ours.root, "succeeded"))
    return list(times)


def _deploy(tool: list[str], directory: Path, verdict: str) -> float:
    done = run(tool, directory=directory)
    if (said := json.loads(done.stdout)["verdict"]) != verdict:
        raise Failed(f"a deploy that should be {verdict} was {said}")
    return done.seconds
