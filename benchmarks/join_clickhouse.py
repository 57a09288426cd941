"""``python -m benchmarks.join_clickhouse``: outcomes whose predictions are in ClickHouse only."""

from typing import Annotated

import typer

from benchmarks.joins import measure
from benchmarks.measure import CACHE, ROOT, Cache, Events, Out, Root, Rounds, report, result


def main(
    events: Events = 1_000_000,
    rounds: Rounds = 5,
    predictions: Annotated[int, typer.Option(min=10_000, help="Predictions in the table.")] = 20_000_000,
    root: Root = ROOT,
    cache: Cache = CACHE,
    out: Out = None,
) -> None:
    """Outcomes per second of the clock that stage 1 joins with predictions in ClickHouse; --events outcomes.

    The ids are hashes, spread evenly over 30 days and their 30 partitions of the table; stage 1 remembers 1,000 per
    source partition, so nearly every outcome is looked up. Every one finds its prediction: the pairs are checked.
    """
    found, others = measure("join_clickhouse", predictions, events, rounds, root, cache, cached=1_000)
    rates = [r.per_second for r in found]
    report([result("join_clickhouse", rates, "outcomes/s", events=events), *others], out)


if __name__ == "__main__":
    typer.run(main)
