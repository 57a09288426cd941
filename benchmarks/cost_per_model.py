"""``python -m benchmarks.cost_per_model``: 100 models against one."""

from typing import Annotated

import typer

from benchmarks.cost import compare
from benchmarks.events import HOUR_MS, shapes
from benchmarks.measure import CACHE, ROOT, Cache, Events, Out, Root, Rounds, report


def main(
    events: Events = 1_000_000,
    rounds: Rounds = 5,
    models: Annotated[int, typer.Option(min=2, help="How many models the second topic has.")] = 100,
    root: Root = ROOT,
    cache: Cache = CACHE,
    out: Out = None,
) -> None:
    """CPU per event with many models over that with one.

    The models have different schemas, and their events are interleaved one by one, over two windows. Everything else is
    as in aggregate_json.
    """
    worlds = [(f"models_{count}", shapes(count, raw_features=False)) for count in (1, models)]
    report(compare("cost_per_model", worlds, events, rounds, root, cache, span=2 * HOUR_MS), out)


if __name__ == "__main__":
    typer.run(main)
