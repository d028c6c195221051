"""Runs the scenarios, and keeps what came of each build."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from measure.changes import COLD, Scenario
from measure.machine import Machine
from measure.variants import Built, Variant
from measure.wire import Traffic


@dataclass
class Measured:
    """All repetitions of one scenario."""

    scenario: Scenario
    #: On a machine that has nothing but the registry's cache.
    fresh: bool
    builds: list[Built] = field(default_factory=list)
    traffic: list[Traffic] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """The median."""
        return statistics.median(built.seconds for built in self.builds)

    @property
    def pushed(self) -> int:
        """The median, in bytes."""
        return int(statistics.median(traffic.pushed for traffic in self.traffic))

    @property
    def pulled(self) -> int:
        """The median, in bytes."""
        return int(statistics.median(traffic.pulled for traffic in self.traffic))

    @property
    def steps(self) -> str:
        """Of the last repetition: how many were run, of how many."""
        steps = self.builds[-1].steps
        return f"{steps.run}/{steps.run + steps.cached}"

    @property
    def context_bytes(self) -> int:
        """Of the last repetition."""
        return self.builds[-1].steps.context_bytes


Key = tuple[str, bool]


def measure(
    machine: Machine,
    variant: Variant,
    scenarios: Iterable[Scenario],
    repeat: int,
    say: Callable[[str], None],
) -> dict[Key, Measured]:
    """All scenarios of a variant, on a builder that is warm and on fresh ones.

    Each build writes the registry's cache, so a fresh machine finds what the build before it has
    left, as a runner finds what the last one on the main branch has left.
    """
    results: dict[Key, Measured] = {}

    def once(scenario: Scenario, *, fresh: bool) -> None:
        variant.change(scenario.name, fresh=fresh)
        if fresh:
            machine.fresh()
        before = machine.relay.traffic()
        built = variant.build()
        traffic = machine.relay.traffic().since(before)
        measured = results.setdefault((scenario.name, fresh), Measured(scenario, fresh))
        measured.builds.append(built)
        measured.traffic.append(traffic)
        where = " on a fresh machine" if fresh and scenario is not COLD else ""
        say(
            f"{variant.name}: {scenario.title}{where}: {built.seconds:.1f} s, "
            f"{built.steps.run} steps run, {traffic.pushed:,} bytes pushed, {traffic.pulled:,} pulled"
        )

    machine.fresh()
    once(COLD, fresh=False)
    for fresh in (False, True):
        for scenario in scenarios:
            for _ in range(repeat if scenario.cheap else 1):
                once(scenario, fresh=fresh)
    return results
