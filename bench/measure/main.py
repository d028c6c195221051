"""The command line."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
import tempfile
from pathlib import Path

from measure import container, registry, report, scenarios, tool
from measure.changes import SCENARIOS
from measure.command import Done, Failed, output, run
from measure.machine import BUILDKIT, Machine, turn
from measure.variants import Ours, Seed, pins_of

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/benchmarks.md"

DESCRIPTION = """\
Builds the image of the design before this one (bench/seed) and ours side by side, and says how
long each takes, what it pushes and pulls, and what it builds again; on a machine that has built
before, and on one that has nothing but the registry's cache.

With the driver `docker-container`, the default where its image can be had, the builder is one of
its own, and nobody else's is touched. With the driver `docker` the engine's whole build cache is
pruned several times: that is what makes a machine a fresh one. Nothing is left but the installed
emulator in target/bench."""


def main() -> int:
    """Measure, print, write; returns the exit code."""
    arguments = _parse()
    names = arguments.scenario or [
        scenario.name for scenario in SCENARIOS if scenario.quick or not arguments.quick
    ]
    try:
        driver = arguments.driver or _driver()
        # A builder of its own disturbs nobody.
        with turn() if driver == "docker" else contextlib.nullcontext():
            results = _measure(arguments, names, driver)
    except Failed as failed:
        _say(f"error: {failed}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted: everything was removed")
        return 130
    section = report.markdown(results)
    print(section)
    if arguments.write:
        report.write(PAGE, section)
        _say(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="scenarios: "
        + ", ".join(f"{s.name} ({s.title})" for s in SCENARIOS)
        + "; the cold build always runs. Exit codes: 0 measured; 1 something failed; 2 usage; 130 interrupted.",
    )
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help="only these")
    parser.add_argument("--quick", action="store_true", help="fewer scenarios and no repetitions")
    parser.add_argument(
        "--repeat", type=int, metavar="N", help="repetitions of what is cheap (5; 1 with --quick)"
    )
    parser.add_argument(
        "--driver",
        choices=("docker", "docker-container"),
        help=f"what builds; docker-container where the image {BUILDKIT} can be had",
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md, too")
    arguments = parser.parse_args()
    known = [scenario.name for scenario in SCENARIOS]
    for name in arguments.scenario:
        if name not in known:
            parser.error(f"there is no scenario '{name}': {', '.join(known)}")
    if arguments.repeat is None:
        arguments.repeat = 1 if arguments.quick else 5
    if arguments.repeat < 1:
        parser.error("--repeat takes 1 or more")
    return arguments


def _measure(arguments: argparse.Namespace, names: list[str], driver: str) -> report.Results:
    chosen = [scenario for scenario in SCENARIOS if scenario.name in names]
    machine = Machine(ROOT, driver=driver)
    copy = None
    try:
        ours = Ours(machine, machine.copy("ours"))
        machine.configure(ours.root)
        seed = Seed(machine, machine.copy("seed"))
        seed.prepare(ROOT / "bench/seed")
        copy = ours.root
        _say("starting the emulator")
        machine.up(copy)
        registry.create_repository(machine.emulator_port, seed.repository)
        results = report.Results(
            facts=machine.facts(),
            command=shlex.join(["scripts/bench", *sys.argv[1:]]),
            repeat=arguments.repeat,
            seed=scenarios.measure(machine, seed, chosen, arguments.repeat, _say),
            ours=scenarios.measure(machine, ours, chosen, arguments.repeat, _say),
            base_layers=machine.base_layers(),
            clone=_clone_bytes(machine),
        )
        for variant in (seed, ours):
            digest = list(getattr(results, variant.name).values())[-1].builds[-1].digest
            results.layers[variant.name] = registry.layers(
                machine.emulator_port, variant.repository, digest
            )
            results.starts[variant.name] = container.start(
                machine, variant, digest, arguments.repeat
            )
        results.download, results.pip_keeps = _pip(seed)
        # Last, because what it deploys goes on running.
        results.tool = tool.measure(machine, ours, arguments.repeat, _say)
        return results
    finally:
        machine.remove(copy)


def _driver() -> str:
    if output(["docker", "image", "inspect", "--format", "{{.Id}}", BUILDKIT]):
        return "docker-container"
    return "docker-container" if output(["docker", "pull", "--quiet", BUILDKIT]) else "docker"


def _clone_bytes(machine: Machine) -> int:
    clone = machine.scratch / "clone"
    run(["git", "clone", "--quiet", "--no-local", str(ROOT), str(clone)])
    return sum(path.stat().st_size for path in clone.rglob("*") if path.is_file())


def _pip(seed: Seed) -> tuple[float, bool]:
    """How long the wheels' download takes, and whether pip would have kept them."""
    with tempfile.TemporaryDirectory() as directory:

        def download(number: int) -> Done:
            argv = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--no-deps",
                "--only-binary=:all:",
            ]
            argv += ["--python-version", "3.13", "--cache-dir", f"{directory}/cache"]
            argv += [
                "--dest",
                f"{directory}/{number}",
                *pins_of(seed.root / "api/requirements/heavy.txt"),
            ]
            return run(argv)

        first, second = download(1), download(2)
    return first.seconds, "Using cached" in second.stdout


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
