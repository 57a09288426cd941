"""How the cost of an event changes with something that it should not depend on."""

from collections.abc import Sequence
from pathlib import Path

from app import wiring
from benchmarks.aggregate import count
from benchmarks.events import Shape, truth
from benchmarks.load import fill
from benchmarks.measure import Result, result
from benchmarks.world import world


def compare(
    name: str,
    worlds: Sequence[tuple[str, Sequence[Shape]]],
    events: int,
    rounds: int,
    root: Path,
    cache: Path,
    *,
    span: int,
) -> list[Result]:
    """CPU per event in the last world over that in the first, and both by themselves, in microseconds.

    Args:
        name: of the measurement.
        worlds: what to call each, and its models.
        events: in each.
        rounds: of each.
        root: folder of the data.
        cache: folder of downloads.
        span: event time of all events, in ms.

    Raises:
        SystemExit: the counts are not the truth.
    """
    wiring.configure_logging(quiet=True)
    costs: dict[str, list[float]] = {}
    for label, models in worlds:
        holds = {"name": label, "events": events, "models": [repr(shape) for shape in models]}
        expected = truth(models, events)
        with world(root / name / label, cache, holds, lambda w, m=models: fill(w, m, events, span)) as running:  # type: ignore[misc]
            for round_ in range(1, rounds + 1):
                counted = count(running)
                running.check(models, expected)
                costs.setdefault(label, []).append(1e6 / counted.per_core)
                print(f"{name}, {label}, round {round_} of {rounds}: {costs[label][-1]:.2f} us of CPU an event")
    first, last = costs[worlds[0][0]], costs[worlds[-1][0]]
    ratios = [dear / cheap for cheap, dear in zip(sorted(first), sorted(last), strict=True)]
    return [
        result(name, ratios, "times the CPU per event", events=events),
        *(result(f"{name}_{label}", found, "us of CPU per event", events=events) for label, found in costs.items()),
    ]
