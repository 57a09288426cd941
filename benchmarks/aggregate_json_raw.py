"""``python -m benchmarks.aggregate_json_raw``: one JSON event a message, raw rows whole."""

import typer

from benchmarks.aggregate import measure
from benchmarks.events import Shape
from benchmarks.measure import CACHE, ROOT, Cache, Events, Out, Root, Rounds, report


def main(
    events: Events = 4_000_000, rounds: Rounds = 5, root: Root = ROOT, cache: Cache = CACHE, out: Out = None
) -> None:
    """Events per second of CPU through stage 1, with raw rows in ClickHouse that keep all features.

    The same events and model as of aggregate_json, but for that. CPU is the aggregator's, not ClickHouse's.
    """
    report(measure("aggregate_json_raw", [Shape()], events, rounds, root, cache, peers=False), out)


if __name__ == "__main__":
    typer.run(main)
