"""What is changed between two builds, the same in both variants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: Pure Python and of no use to anything here: requirement and hash. One for the warm builder, and
#: one for the fresh machine, so that neither finds what the other has left.
SMALL = (
    ("itsdangerous==2.2.0", "c6242fc49e35958c8b15141343aa660db5fc54d4f13a1db01a3f5891b98700ef"),
    ("blinker==1.9.0", "ba0efaa9080b619ff2f3459d1d500c57bddea4a6b424b60a91141db6fd2f08bc"),
)

#: An earlier version of NumPy with the hashes of its wheels for Python 3.13 on Linux. The fresh
#: machine goes back to the locked one, which nobody has by then.
HEAVY = (
    "numpy==2.5.4",
    (
        "6ffa07666f8da0eef81d149934a626d0d95fbd6838432a33e66245423a9062c0",
        "1c2e71b04c6cad90026e544501bbe0ab9290fa8a4d845e7e8c0d124fb429c988",
    ),
)

#: Debian packages without dependencies.
SYSTEM = ("tini", "tree")


@dataclass(frozen=True)
class Scenario:
    """Something that happens to a project."""

    name: str
    title: str
    #: Runs on a builder that has built before. The first build of all has no such.
    warm: bool = True
    #: Each of its repetitions takes seconds and finds nothing of the one before.
    cheap: bool = False
    quick: bool = False


COLD = Scenario("cold", "cold: nothing anywhere", warm=False, quick=True)

SCENARIOS = (
    Scenario("none", "no change", cheap=True, quick=True),
    Scenario("code", "one line of Python", cheap=True, quick=True),
    Scenario("docs", "only documentation", cheap=True),
    Scenario("small", "one small requirement", quick=True),
    Scenario("heavy", "a heavy requirement, another version"),
    Scenario("system", "one more Debian package"),
)

Edit = Callable[[str], str]


def line(text: str) -> Edit:
    """Adds a line at the end."""
    return lambda content: f"{content.rstrip()}\n{text}\n"


def replaced(old: str, new: str) -> Edit:
    """Puts something in place of what has to be there."""

    def edit(content: str) -> str:
        if old not in content:
            raise ValueError(f"there is no {old!r} to replace")
        return content.replace(old, new, 1)

    return edit
