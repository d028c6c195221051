#!/usr/bin/env python3
"""How long `du` and `prune --dry-run` take on a large repository, and how much memory.

    bench/scale.py [--images 20000] [--revisions 500] [--delay-ms 30] [--runs 3] [--release]

Starts a stand-in for AWS on this machine (aws_stand_in.py), builds the tool as `cargo xtask`
does, runs it, and replays the very calls that it made, one after the other over one
connection and with nothing read out of the answers: what a loop around one client would take
at least. Prints one table. Needs Python 3.9 and Cargo, and neither Docker nor AWS.
"""

import argparse
import asyncio
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import aws_stand_in  # noqa: E402
from measure import cargo  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent

CONFIG = """\
default-env = "bench"
[image]
name = "app"
[prune]
keep-revisions = {revisions}
[env.bench]
account = "{account}"
region = "{region}"
endpoint-url = "http://127.0.0.1:{port}"
made-up-credentials = true
repository = "{repository}"
cluster = "{cluster}"
services = ["service-0"]
container = "app"
"""

# The limits of ECS that a large account meets first, as (at once, more every second): what
# --throttle enforces. Amazon ECS developer guide, "Request throttling for the Amazon ECS API".
LIMITS = {"DescribeTaskDefinition": (50, 20), "ListTaskDefinitions": (50, 20), "DescribeServices": (100, 20)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--revisions", type=int, default=500)
    parser.add_argument("--a-family", type=int, default=10, help="revisions of a family that are kept")
    parser.add_argument("--delay-ms", type=int, default=30, help="how long each call takes")
    parser.add_argument("--runs", type=int, default=3, help="the median of so many is shown")
    parser.add_argument("--release", action="store_true", help="build it optimised")
    parser.add_argument("--binary", type=lambda path: Path(path).resolve(), help="run this one instead of building it")
    parser.add_argument("--throttle", action="store_true", help="also refuse calls as ECS does")
    args = parser.parse_args()

    binary = args.binary or cargo.build(ROOT, release=args.release)
    answers = aws_stand_in.Answers(args.images, args.revisions, args.a_family)
    rows = []
    for name, command in COMMANDS.items():
        rows.append(measure(binary, answers, args, name, command))
    show(args, rows)


COMMANDS = {
    "du": ["du", "--format", "json"],
    "prune --dry-run": ["prune", "--registry-only", "--dry-run", "--format", "json"],
}


def measure(binary, answers, args, name, command):
    with Serving(answers, args) as stand_in, tempfile.TemporaryDirectory() as folder:
        config = CONFIG.format(
            revisions=args.a_family, account=aws_stand_in.ACCOUNT, region=aws_stand_in.REGION,
            port=stand_in.port, repository=aws_stand_in.REPOSITORY, cluster=aws_stand_in.CLUSTER,
        )
        Path(folder, "xtask.toml").write_text(config)
        # Whether there is a Docker Engine is not what is measured.
        docker = Path(folder, "docker")
        docker.write_text("#!/bin/sh\nexit 1\n")
        docker.chmod(0o755)
        seconds, cpu, memory = [], [], []
        for _ in range(args.runs):
            stand_in.calls.clear()
            took, busy, peak, report = run(binary, folder, command)
            seconds.append(took)
            cpu.append(busy)
            memory.append(peak)
        calls = list(stand_in.calls)
        check(name, report, args)
        one_by_one = replay(stand_in.port, calls)
        return {
            "name": name, "calls": len(calls), "one by one": one_by_one,
            "seconds": statistics.median(seconds), "cpu": statistics.median(cpu), "memory": max(memory),
            "at once": stand_in.most, "throttled": sum(stand_in.throttled.values()),
        }


class Serving(aws_stand_in.StandIn):
    """The stand-in on a thread of its own."""

    def __init__(self, answers, args):
        super().__init__(answers, args.delay_ms / 1000, LIMITS if args.throttle else None)
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.port = None

    def __enter__(self):
        def serve():
            asyncio.set_event_loop(self.loop)
            self.server, self.port = self.loop.run_until_complete(self.start())
            self.ready.set()
            self.loop.run_forever()
        threading.Thread(target=serve, daemon=True).start()
        self.ready.wait()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)


def run(binary, folder, command):
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    for name in ("XTASK_ENV", "XTASK_CONFIG", "GITHUB_ACTIONS"):
        environment.pop(name, None)
    out = Path(folder, "out")
    with out.open("w") as stdout, Path(folder, "err").open("w") as stderr:
        start = time.monotonic()
        child = subprocess.Popen([binary, *command], cwd=folder, env=environment, stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(child.pid, 0)
        took = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {child.returncode}:\n{Path(folder, 'err').read_text()}")
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, json.loads(out.read_text())


def check(name, report, args):
    """A fast answer has to be the right one, too."""
    if name == "du":
        total = next(row for row in report["rows"] if row["area"] == "registry" and row["what"] == "total")
        assert total["count"] == args.images, total
        assert len(report["registry"][0]["in-use"]["by"]) == args.revisions, "revisions in use"
    else:
        plan = report["registry"][0]
        assert len(plan["delete"]) + len(plan["keep"]) == args.images
        assert plan["delete"], "something goes"


def replay(port, calls):
    """The same calls, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    start = time.monotonic()
    for target, body in calls:
        headers = {"x-amz-target": target} if "." in target else {}
        for _ in range(100):
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                break
    return time.monotonic() - start


def show(args, rows):
    print(f"{args.images} images, {args.revisions} revisions, {args.delay_ms} ms a call"
          f"{', throttled as ECS does' if args.throttle else ''}; median of {args.runs}")
    print(f"{machine()}\n")
    print("| command | calls | one after the other | `cargo xtask` | times faster | of it CPU | at once | refused | peak memory |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        print(f"| `{row['name']}` | {row['calls']} | {row['one by one']:.1f} s | {row['seconds']:.2f} s "
              f"| {row['one by one'] / row['seconds']:.1f} | {row['cpu']:.2f} s | {row['at once']} | {row['throttled']} "
              f"| {row['memory'] / 1e6:.0f} MB |")


def machine():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        model = platform.processor() or platform.machine()
    return f"{os.cpu_count()} × {model}, {platform.system()}"


if __name__ == "__main__":
    main()
