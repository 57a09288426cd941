"""``python -m benchmarks.cost_per_window``: windows of 30 days against windows of an hour."""

import typer

from benchmarks.cost import compare
from benchmarks.events import DAY_MS, Shape
from benchmarks.measure import CACHE, ROOT, Cache, Events, Out, Root, Rounds, report


def main(
    events: Events = 1_000_000, rounds: Rounds = 5, root: Root = ROOT, cache: Cache = CACHE, out: Out = None
) -> None:
    """CPU per event with windows of 30 days over that with windows of an hour.

    Everything else is as in aggregate_json: the same events of one day.
    """
    worlds = [(width, [Shape(width=width, raw_features=False)]) for width in ("PT1H", "P30D")]
    report(compare("cost_per_window", worlds, events, rounds, root, cache, span=DAY_MS), out)


if __name__ == "__main__":
    typer.run(main)
