#!/usr/bin/env python3
"""Whether it pays to carry the Dockerfile's cache mounts from one machine to the next.

    bench/cache_mounts.py [SCENARIO...] [--repeat 3] [--download-mbps 100] [--upload-mbps 50]

A registry cache has layers and no cache mounts: on a new machine they are empty. Each scenario is
built on fresh ones (as scripts/bench makes them) with the same cache in the registry, once without
and once with the mounts that the build before had left. Those are packed and unpacked as it
has to be done: by a build that mounts them, to and from a tar that is compressed as actions/cache
does it. How long the archive travels is not measured but computed, from MB a second.

    net = build without - build with - unpacking - download (- packing - upload)

Packing and upload come at the end of a job that has put something into the mounts. Prints one
table and a verdict a scenario. Needs what scripts/bench needs, and zstd, else gzip. In the
engine's own builder it removes only what has come since it began, and it holds the turn that
end-to-end tests wait for: so do not build by hand meanwhile.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import statistics
import sys
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from measure import registry, report  # noqa: E402
from measure.changes import replaced  # noqa: E402
from measure.command import Failed, output, run  # noqa: E402
from measure.machine import BUILDKIT, PREFIX, Machine, turn  # noqa: E402
from measure.variants import Ours  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = "api/requirements/{}.txt"
#: Title, what is changed, whose requirements that are, and whether there is a registry cache.
SCENARIOS = {
    "code": ("one line of Python", "code", "", True),
    "small": ("one small requirement", "small", "light", True),
    "heavy": ("a heavy requirement, another version", "heavy", "heavy", True),
    "cold": ("one line of Python, and no registry cache either", "code", "", False),
}

PACK = """\
FROM {base} AS pack
ARG MARK
RUN {mounts} tar -c -f /mounts.tar -C / {folders}
FROM scratch
COPY --from=pack /mounts.tar /
"""
UNPACK = """\
FROM {base}
ARG MARK
RUN {mounts} --mount=type=bind,source=mounts.tar,target=/mounts.tar tar -x -f /mounts.tar -C /
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"only these of {', '.join(SCENARIOS)}")
    parser.add_argument("--repeat", type=int, default=3, help="the median of so many is shown")
    parser.add_argument("--download-mbps", type=float, default=100, help="megabytes a second from where the archive is kept")
    parser.add_argument("--upload-mbps", type=float, default=50, help="megabytes a second to there")
    args = parser.parse_args()
    if unknown := set(args.scenario) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    if args.repeat < 1:
        parser.error("--repeat takes 1 or more")
    driver = "docker-container" if output(["docker", "image", "inspect", "--format", "{{.Id}}", BUILDKIT]) else "docker"
    try:
        with turn() if driver == "docker" else contextlib.nullcontext():
            measure(args, driver)
    except Failed as failed:
        sys.exit(f"error: {failed}")


class Tidy(Machine):
    """Is made fresh without taking from the engine's builder what others have in it."""

    def __init__(self, root, *, driver):
        super().__init__(root, driver=driver)
        self.theirs = self.records()

    def up(self, copy):
        super().up(copy)
        dockerfile = with_own_mounts((copy / "Dockerfile").read_text())
        # And a base image that nobody else has: so no step is known here already.
        if self.driver == "docker":
            self._own_base(copy)
            dockerfile = replaced("mkdir /native\n", "mkdir /native\ncp /own /native/\ncp /own /opt/\n")(dockerfile)
        (copy / "Dockerfile").write_text(dockerfile)

    def _own_base(self, copy):
        folder = self.scratch / "base"
        folder.mkdir()
        (folder / "Dockerfile").write_text(f"FROM {self.base_image}\nCOPY own /\n")
        (folder / "own").write_text(f"{time.time_ns()}\n")
        self.base_image = f"xtask.local/{PREFIX}:1"
        run(["docker", "buildx", "build", *self.builder_option(), "--tag", self.base_image, "--load", str(folder)])
        path = copy / "xtask.toml"
        path.write_text(re.sub(r"(?m)^BASE_IMAGE = .*$", f'BASE_IMAGE = {{ local-image = ["{self.base_image}"] }}', path.read_text()))

    def records(self):
        said = output(["docker", "buildx", "du", *self.builder_option(), "--format", "json"])
        return {json.loads(line)["ID"] for line in said.splitlines()}

    def fresh(self):
        if self.driver != "docker":
            return super().fresh()
        self._remove_images()
        if own := self.records() - self.theirs:
            run(["docker", "buildx", "prune", *self.builder_option(), "--all", "--force", "--filter", f"id={'|'.join(own)}"])

    def remove(self, copy):
        output(["docker", "image", "rm", "--force", f"xtask.local/{PREFIX}:1"])
        super().remove(copy)


def with_own_mounts(dockerfile):
    """Mounts that no other build uses."""
    return re.sub(r"type=cache,target=([^,\s]+)", rf"type=cache,id={PREFIX}\1,target=\1", dockerfile)


def measure(args, driver):
    machine, copy = Tidy(ROOT, driver=driver), None
    try:
        ours = Ours(machine, machine.copy("ours"))
        machine.configure(ours.root)
        copy = ours.root
        machine.up(copy)
        mounts = Mounts(machine, (copy / "Dockerfile").read_text())
        change(ours, SCENARIOS["code"], "before")
        ours.build()
        cache = manifest(machine, "before")
        mounts.pack("before")
        rows = []
        for name in args.scenario or SCENARIOS:
            times = defaultdict(list)
            # What the first build of all would push, the others would find in the registry.
            prepare(machine, ours, SCENARIOS[name], cache)
            ours.build()
            for number in range(2 * args.repeat):
                carried = number % 2 == 1
                prepare(machine, ours, SCENARIOS[name], cache)
                machine.fresh()
                if carried:
                    times["unpack"].append(mounts.unpack("before"))
                times["with" if carried else "without"].append(ours.build().seconds)
                if carried and SCENARIOS[name][2]:
                    times["pack"].append(mounts.pack("after"))
                    if mounts.size("after") < 0.9 * mounts.size("before"):
                        raise Failed("the mounts have lost most of what was unpacked into them")
            row = {key: statistics.median(all_of) for key, all_of in times.items()}
            rows.append((SCENARIOS[name][0], balance(args, row, mounts.size("before"), mounts.size("after"))))
            print(f"{name}: {dict(times)}", file=sys.stderr, flush=True)
        show(args, machine, rows, mounts.size("before"))
    finally:
        machine.remove(copy)


def prepare(machine, ours, scenario, cache):
    """Change what the scenario is about, and let the build find the cache of the one before."""
    tag = f"cache-{time.time_ns()}"
    change(ours, scenario, tag)
    if scenario[3]:
        manifest(machine, tag, cache)


def change(ours, scenario, tag):
    _, edit, requirements, _ = scenario
    for name in ("heavy", "light"):
        # The comment makes it another file, also when the same change was built before.
        mark = f"# {time.time_ns()}\n" if name == requirements else ""
        (ours.root / REQUIREMENTS.format(name)).write_text((ROOT / REQUIREMENTS.format(name)).read_text() + mark)
    path = ours.root / "xtask.toml"
    path.write_text(re.sub(r'(?m)^tag = ".*"$', f'tag = "{tag}"', path.read_text()))
    ours.change(edit, fresh=False)


def manifest(machine, tag, put=None):
    """Get what a tag of the repository names, as type and content; or let it name that."""
    url = f"http://127.0.0.1:{machine.emulator_port}/v2/{Ours.repository}/manifests/{tag}"
    kind, content = put or (registry.MANIFESTS, None)
    headers = {"Content-Type" if put else "Accept": kind, "Authorization": "Basic QVdTOmJlbmNo"}
    request = urllib.request.Request(url, data=content, headers=headers, method="PUT" if put else "GET")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.headers["Content-Type"], answer.read()
    except OSError as error:
        raise Failed(f"{url}: {error}") from error


class Mounts:
    """All cache mounts of a Dockerfile, and archives of them."""

    def __init__(self, machine, dockerfile):
        self.machine = machine
        mounts = list(dict.fromkeys(re.findall(r"--mount=type=cache\S+", dockerfile)))
        folders = [re.search(r"target=/([^,]+)", mount)[1] for mount in mounts]
        self.parts = {"base": machine.base_image, "mounts": " ".join(mounts), "folders": " ".join(folders)}
        self.compressed = [["zstd", "-q", "-T0", "--long=30"], ".zst"] if shutil.which("zstd") else [["gzip"], ".gz"]

    def pack(self, name):
        """Seconds that it takes to get an archive out of the builder."""
        (program, ending), folder = self.compressed, self.folder(name)
        (folder / f"mounts.tar{ending}").unlink(missing_ok=True)
        seconds = self.build(folder, PACK, f"type=local,dest={folder}")
        return seconds + run([*program, str(folder / "mounts.tar")]).seconds

    def unpack(self, name):
        """Seconds that it takes to get an archive into the builder."""
        (program, ending), folder = self.compressed, self.folder(name)
        (folder / "mounts.tar").unlink(missing_ok=True)
        seconds = run([*program, "-d", "-k", str(folder / f"mounts.tar{ending}")]).seconds
        return seconds + self.build(folder, UNPACK, "type=cacheonly")

    def size(self, name):
        archive = self.folder(name) / f"mounts.tar{self.compressed[1]}"
        return archive.stat().st_size if archive.exists() else 0

    def folder(self, name):
        folder = self.machine.scratch / f"mounts-{name}"
        folder.mkdir(exist_ok=True)
        return folder

    def build(self, folder, dockerfile, to):
        (folder / "Dockerfile").write_text(dockerfile.format(**self.parts))
        (folder / ".dockerignore").write_text("*\n!mounts.tar\n" if dockerfile is UNPACK else "*\n")
        argv = ["docker", "buildx", "build", *self.machine.builder_option(), "--output", to]
        argv += ["--build-arg", f"MARK={time.time_ns()}", str(folder)]
        return run(argv, environment=self.machine.docker_environment()).seconds


def balance(args, times, fetched, kept):
    """Adds to the seconds that were measured those of the transfer, and what all of it comes to."""
    saved = times["without"] - times["with"]
    download = fetched / args.download_mbps / 1e6
    unpacked = saved - times["unpack"] - download
    if "pack" not in times:
        return {**times, "saved": saved, "download": download, "unpacked": unpacked, "net": unpacked}
    upload = kept / args.upload_mbps / 1e6
    net = unpacked - times["pack"] - upload
    return {**times, "saved": saved, "download": download, "unpacked": unpacked, "upload": upload, "net": net}


def verdict(title, row):
    said = f"saves {row['net']:.1f} s" if row["net"] > 0 else f"costs {-row['net']:.1f} s more than it saves"
    without_packing = f"; it would be {row['unpacked']:+.1f} s if nothing were packed again" if "pack" in row else ""
    return f"- {title}: carrying the mounts {said}{without_packing}"


def show(args, machine, rows, size):
    facts = {**dict(machine.facts()), "load": f"{os.getloadavg()[0]:.1f}"}
    print("; ".join(f"{name} {facts[name]}" for name in ("date", "processor", "engine", "buildx", "builder", "load")))
    print(f"Median of {args.repeat}; an archive of {report.size(size)}; "
          f"{args.download_mbps:g} MB/s down, {args.upload_mbps:g} MB/s up\n")
    columns = ("without", "with", "saved", "unpack", "download", "pack", "upload", "net")
    lines = [[title, *(f"{row[name]:.1f} s" if name in row else "none" for name in columns)] for title, row in rows]
    print(report.table(("", *columns), lines), end="\n\n")
    print("\n".join(verdict(title, row) for title, row in rows))


if __name__ == "__main__":
    main()
