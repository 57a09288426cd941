"""``python -m benchmarks.aggregate_columnar``: many predictions in one Kafka message, as columns."""

from collections.abc import Sequence

import typer

from benchmarks.aggregate import measure
from benchmarks.events import Shape
from benchmarks.measure import CACHE, ROOT, Cache, Events, Out, Root, Rounds, report
from benchmarks.world import World


def fill_columnar(world: World, models: Sequence[Shape], events: int, span: int) -> None:
    """The events of :func:`benchmarks.load.fill`, as the SDK sends them when it is busy."""
    raise SystemExit("the SDK of this version sends no columnar batches")


def main(
    events: Events = 4_000_000, rounds: Rounds = 5, root: Root = ROOT, cache: Cache = CACHE, out: Out = None
) -> None:
    """Events per second of CPU through stage 1, sent by the SDK as columnar batches (Arrow IPC).

    The same events and model as of aggregate_json; raw rows with ids only.
    """
    models = [Shape(raw_features=False)]
    found = measure("aggregate_columnar", models, events, rounds, root, cache, filled=fill_columnar, peers=False)
    report(found, out)


if __name__ == "__main__":
    typer.run(main)
