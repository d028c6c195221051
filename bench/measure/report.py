"""The results as Markdown: on the terminal, and in docs/benchmarks.md between two markers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measure.changes import COLD, SCENARIOS
from measure.command import Failed
from measure.container import Start
from measure.registry import Layer
from measure.scenarios import Key, Measured
from measure.tool import Times

BEGIN = "<!-- scripts/bench writes from here -->"
END = "<!-- to here -->"

TITLE = """# Benchmarks

What was measured, on which machine, and with which command to measure it again. Seconds depend on the machine; what
carries over are the ratios and the bytes.
"""


@dataclass
class Results:
    """Everything of one run."""

    facts: list[tuple[str, str]]
    command: str
    repeat: int
    seed: dict[Key, Measured]
    ours: dict[Key, Measured]
    #: Layers, with the base image's first; and how many those are.
    layers: dict[str, list[Layer]] = field(default_factory=dict)
    base_layers: int = 0
    starts: dict[str, Start] = field(default_factory=dict)
    tool: list[Times] = field(default_factory=list)
    #: Bytes of a clone of this repository, with its history.
    clone: int = 0
    #: Seconds for downloading the seed's wheels, and whether pip keeps them.
    download: float = 0.0
    pip_keeps: bool = True


def markdown(results: Results) -> str:
    """The section, without the markers."""
    parts = [
        _how(results),
        _builds(results),
        _images(results),
        _tool(results),
        _notes(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write(path: Path, section: str) -> None:
    """Put the section between the markers, and leave everything else as it is."""
    text = path.read_text() if path.exists() else f"{TITLE}\n{BEGIN}\n{END}\n"
    begin, end = text.find(BEGIN), text.find(END)
    if begin < 0 or end < begin:
        raise Failed(f"{path} has no lines `{BEGIN}` and `{END}` to write between")
    path.write_text(f"{text[:begin]}{BEGIN}\n{section}{text[end:]}")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose columns are numbers, all but the first."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def size(count: float) -> str:
    """Bytes for people; decimal, as registries count."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _how(results: Results) -> str:
    facts = table(("", ""), results.facts).replace("| --- | ---: |", "|---|---|", 1)
    return (
        "## Builds: the design before, and this one\n\n"
        f"Measured by `{results.command}`. *Seed* is the design that this repository replaces, rebuilt in "
        "[`bench/seed`](../bench/seed/README.md) with the same packages in the same versions; *ours* is "
        f"`cargo xtask build --push`, with the tool's own questions to AWS. Medians of {results.repeat} where a build "
        "is cheap, else one. Both push the image and write the registry cache; bytes are what went over the wire, all of it.\n\n"
        f"{facts}"
    )


def _builds(results: Results) -> str:
    sections = []
    for fresh, title in (
        (False, "On a machine that has built before"),
        (True, "On a fresh machine with nothing but the registry cache (a CI runner)"),
    ):
        rows = [
            row
            for scenario in (COLD, *SCENARIOS)
            if (
                row := _row(
                    scenario.title,
                    results.seed.get((scenario.name, fresh)),
                    results.ours.get((scenario.name, fresh)),
                )
            )
        ]
        if rows:
            head = (
                "",
                "seed",
                "ours",
                "ratio",
                "pushed: seed",
                "ours",
                "pulled: seed",
                "ours",
                "steps run: seed",
                "ours",
                "context: seed",
                "ours",
            )
            sections.append(f"### {title}\n\n{table(head, rows)}")
    return "\n\n".join(sections)


def _row(title: str, seed: Measured | None, ours: Measured | None) -> list[str] | None:
    if seed is None or ours is None:
        return None
    return [
        title,
        f"{seed.seconds:.1f} s",
        f"{ours.seconds:.1f} s",
        f"**{seed.seconds / ours.seconds:.1f}**",
        size(seed.pushed),
        size(ours.pushed),
        size(seed.pulled),
        size(ours.pulled),
        seed.steps,
        ours.steps,
        size(seed.context_bytes),
        size(ours.context_bytes),
    ]


def _images(results: Results) -> str:
    if not results.layers:
        return ""
    above = {
        name: sum(layer.size for layer in layers[results.base_layers :])
        for name, layers in results.layers.items()
    }
    kinds = {
        name: "zstd"
        if all("zstd" in layer.media_type for layer in layers[results.base_layers :])
        else "gzip"
        for name, layers in results.layers.items()
    }
    seed, ours = results.layers["seed"], results.layers["ours"]
    rows = [
        [
            "whole image",
            size(sum(layer.size for layer in seed)),
            size(sum(layer.size for layer in ours)),
            "",
        ],
        [
            "layers above the base image",
            size(above["seed"]),
            size(above["ours"]),
            f"{above['ours'] / above['seed']:.0%}",
        ],
        ["their compression", kinds["seed"], kinds["ours"], ""],
    ]
    if starts := results.starts:
        for title, value in (
            ("pull to an engine that has none of it", "pull"),
            ("container's start to healthy", "healthy"),
        ):
            was, now = getattr(starts["seed"], value), getattr(starts["ours"], value)
            rows.append([title, f"{was:.2f} s", f"{now:.2f} s", f"{now / was:.0%}"])
    context = results.ours.get((COLD.name, False))
    if context and results.clone:
        rows.append(
            ["build context, of a clone of " + size(results.clone),
             size(results.seed[COLD.name, False].context_bytes), size(context.context_bytes),
             f"{1 - context.context_bytes / results.clone:.1%} smaller than the clone"]
        )  # fmt: skip
    return f"### The image\n\nCompressed, from the manifests.\n\n{table(('', 'seed', 'ours', 'ours of seed'), rows)}"


def _tool(results: Results) -> str:
    if not results.tool:
        return ""
    rows = [
        [
            times.title,
            f"{times.median:.3f} s",
            f"{min(times.seconds):.3f} s",
            f"{len(times.seconds)}",
        ]
        for times in results.tool
    ]
    return (
        "### The tool and its deploys\n\nDeploys are to the local stand-in for AWS, which starts the real container.\n\n"
        f"{table(('', 'median', 'minimum', 'runs'), rows)}"
    )


def _notes(results: Results) -> str:
    if results.pip_keeps:
        return ""
    return (
        "pip's own cache keeps nothing where the package index, or a proxy before it, sends no caching headers. That was "
        f"so here, and cost the seed about {results.download:.0f} s each time it installed; with headers it "
        "would save most of that on a machine that has built before, and nothing on a fresh one."
    )
