#!/usr/bin/env python3
"""Whether the live view of a build keeps up, and what it costs.

    bench/live_view.py [--lines 10000] [--seconds 10] [--release] [--binary PATH] [--markdown]

A `docker` that is none writes the event stream of a build as BuildKit does, at a steady pace; the
tool runs on a pseudo terminal, as `cargo xtask build` does, and what it draws is read as a
terminal would. Each line of the build's output has a number, so that what is on the screen tells
how old it is. Prints one table. Needs Python 3.9 and Cargo on Linux, and no Docker.
"""

import argparse
import base64
import datetime
import fcntl
import json
import os
import platform
import pty
import re
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from measure import cargo

ROOT = Path(__file__).resolve().parent.parent
# So often a second the stand-in writes what is due.
BEATS = 100
NUMBER = re.compile(rb"number (\d+) ")

DOCKER = """\
#!/bin/sh
case "$1 $2" in
"info --format") echo '{"ServerVersion":"28.5.2","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],"ClientInfo":{"Context":"default","Plugins":[{"Name":"buildx","Version":"0.29.1"}]}}' ;;
"buildx inspect") exit 1 ;;
"image inspect") echo 1234567 ;;
"buildx build") exec "$PYTHON" "$BENCH" --play "$PLAY" "$@" ;;
esac
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=10_000, help="lines of output a second, at the most")
    parser.add_argument("--seconds", type=int, default=20, help="how long each build takes")
    parser.add_argument("--release", action="store_true", help="build it optimised")
    parser.add_argument("--binary", type=lambda path: Path(path).resolve(), help="run this one instead of building it")
    parser.add_argument("--markdown", action="store_true", help="print the section of docs/benchmarks.md")
    parser.add_argument("--play", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    if "--play" in sys.argv:
        return play(*sys.argv[sys.argv.index("--play") + 1:])
    args = parser.parse_args()
    binary = args.binary or cargo.build(ROOT, release=args.release)
    rows = []
    for name, lines, steps in [
        ("30 steps, 20 lines a second", 20, 30),
        ("300 steps, 20 lines a second", 20, 300),
        (f"30 steps, {args.lines:,} lines a second", args.lines, 30),
    ]:
        row = run(binary, args.seconds, lines, steps, "auto")
        quiet = run(binary, args.seconds, lines, steps, "quiet")
        rows.append((name, {**row, "view": row["share"] - quiet["share"]}))
    show(args, rows)


# ---- the stand-in for `docker buildx build` ---------------------------------------------------


def stream(seconds, lines, steps):
    """What is to be written, beat by beat: bytes, and the highest number in them."""
    start = datetime.datetime.now(datetime.timezone.utc)
    beats = seconds * BEATS

    def at(beat):
        return (start + datetime.timedelta(seconds=beat / BEATS)).isoformat().replace("+00:00", "Z")

    def status(**what):
        return json.dumps(what).encode() + b"\n"

    def vertex(step, **more):
        stage, of = divmod(step, 10)
        return {
            "digest": f"sha256:{step:064x}", "inputs": [f"sha256:{step - 1:064x}"] if step else [],
            "name": f"[stage-of-the-build-{stage} {of + 1}/10] RUN make --jobs 8 target-{step}", **more,
        }

    written, number = [], 0
    each = max(1, beats // steps)
    for beat in range(beats):
        out = []
        step = min(beat // each, steps - 1)
        if beat == 0:
            out.append(status(vertexes=[vertex(step) for step in range(steps)]))
        if beat % each == 0 and beat // each < steps:
            if step:
                done = {"started": at(beat - each), "completed": at(beat)}
                out.append(status(vertexes=[vertex(step - 1, **done)]))
            out.append(status(vertexes=[vertex(step, started=at(beat))]))
        due = lines * (beat + 1) // BEATS
        while number < due:
            number += 1
            text = f"compiling number {number} of many, with \x1b[32mcolours\x1b[0m and a path /srv/app/lib/{number}.o\n"
            data = base64.b64encode(text.encode()).decode()
            moment = at(beat + 1 - (due - number) / max(1, lines // BEATS))
            log = {"vertex": f"sha256:{step:064x}", "stream": 1, "data": data, "timestamp": moment}
            out.append(status(logs=[log]))
        written.append((b"".join(out), number))
    end = {"started": at(beats - each), "completed": at(beats)}
    written.append((status(vertexes=[vertex(steps - 1, **end)]), number))
    return written


def play(folder, *docker):
    """Writes the stream at its pace, and when it did."""
    plan = json.loads(Path(folder, "plan.json").read_text())
    beats = stream(plan["seconds"], plan["lines"], plan["steps"])
    times = []
    start = time.monotonic()
    for index, (text, number) in enumerate(beats):
        time.sleep(max(0.0, start + index / BEATS - time.monotonic()))
        before = time.monotonic()
        rest = memoryview(text)
        while rest:
            rest = rest[os.write(2, rest):]
        times.append((number, before, time.monotonic()))
    metadata = docker[docker.index("--metadata-file") + 1]
    Path(metadata).write_text(json.dumps({"containerimage.digest": "sha256:" + "ab" * 32}))
    played = {"start": start, "times": times, "end": time.monotonic()}
    Path(folder, "played.json").write_text(json.dumps(played))


# ---- the measurement --------------------------------------------------------------------------


def run(binary, seconds, lines, steps, how):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "xtask.toml").write_text('[image]\nname = "app"\n')
        Path(folder, "Dockerfile").write_text("FROM scratch\n")
        plan = {"seconds": seconds, "lines": lines, "steps": steps}
        Path(folder, "plan.json").write_text(json.dumps(plan))
        docker = Path(folder, "docker")
        docker.write_text(DOCKER)
        docker.chmod(0o755)
        environment = {
            "PATH": f"{folder}:{os.environ['PATH']}", "HOME": folder, "TERM": "xterm-256color",
            "PYTHON": sys.executable, "BENCH": str(Path(__file__).resolve()), "PLAY": folder,
        }
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        tool = subprocess.Popen(
            [binary, "build", "--progress", how], cwd=folder, env=environment,
            stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, start_new_session=True,
        )
        os.close(theirs)
        seen, drawn, cpu, memory = watch(tool, ours)
        ended = time.monotonic()
        if tool.wait() != 0:
            sys.exit(f"{binary} build ended with {tool.returncode}: {drawn[-2000:].decode(errors='replace')}")
        played = json.loads(Path(folder, "played.json").read_text())
        log = Path(folder, "target/xtask/build.log").read_text()
    if log.count(" | compiling number ") != lines * seconds:
        sys.exit("not every line is in the log")
    whole = played["end"] - played["start"]
    held = sum(after - before for _, before, after in played["times"])
    result = {
        "cpu": cpu, "share": cpu / whole * 100, "memory": memory,
        "held": held / whole * 100, "after": (ended - played["end"]) * 1000,
    }
    ages = list(aged(seen, played["times"])) or [0.0]
    return {**result, "age": statistics.median(ages) * 1000, "oldest": max(ages) * 1000}


def watch(tool, terminal):
    """Reads the terminal until the tool ends. Which number was seen when; CPU seconds; MB."""
    seen, drawn, cpu, memory = [], b"", 0.0, 0
    ticks = os.sysconf("SC_CLK_TCK")
    while True:
        ready, _, _ = select.select([terminal], [], [], 0.02)
        try:
            # The tool's own time: not that of the processes that it waited for.
            fields = Path(f"/proc/{tool.pid}/stat").read_text().rsplit(")", 1)[1].split()
            cpu = max(cpu, (int(fields[11]) + int(fields[12])) / ticks)
            memory = max(memory, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
        except (FileNotFoundError, ProcessLookupError):
            pass
        if not ready:
            if tool.poll() is not None:
                return seen, drawn, cpu, memory
            continue
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:
            return seen, drawn, cpu, memory
        numbers = NUMBER.findall(drawn[-40:] + piece)
        if numbers:
            seen.append((int(numbers[-1]), time.monotonic()))
        drawn = (drawn + piece)[-8192:]


def aged(seen, times):
    """How old each number was when it came onto the screen."""
    index = 0
    newest = 0
    for number, when in seen:
        if number <= newest:
            continue
        newest = number
        while times[index][0] < number:
            index += 1
        yield max(0.0, when - times[index][1])


def show(args, rows):
    kind = "the binary given" if args.binary else "release" if args.release else "debug, as `cargo xtask` builds it"
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    machine = f"{os.cpu_count()} × {model}, {platform.system()}, {kind}; load {os.getloadavg()[0]:.1f}"
    if args.markdown:
        print("## The live view\n")
        print(f"`bench/live_view.py` on {machine}. Each build takes {args.seconds} seconds.\n")
    else:
        print(f"live view: {machine}; builds of {args.seconds} s\n")
    head = ["build", "CPU, of the build's time", "of that the view", "builder held up", "line's age on the screen", "oldest",
            "ends after the builder", "memory"]
    table = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for name, row in rows:
        age, oldest = f"{row['age']:.0f} ms", f"{row['oldest']:.0f} ms"
        table.append([name, f"{row['share']:.1f} %", f"{row['view']:.1f} %", f"{row['held']:.1f} %", age, oldest,
                      f"{row['after']:.0f} ms", f"{row['memory']:.0f} MB"])
    for line in table:
        print("| " + " | ".join(line) + " |")
    if args.markdown:
        print("\nThe screen is drawn ten times a second. *CPU* is the tool's own time, its start included; *of that the view* is what "
              "`--progress quiet` spares. *Held up* is how long the builder waited for its lines to be taken. *Line's age* is how long ago the "
              "builder wrote the newest line of output that is on the screen when it comes there: the median, and the oldest.")


if __name__ == "__main__":
    main()
