"""``python -m benchmarks.join_cached``: outcomes whose predictions are in memory."""

import typer

from benchmarks.joins import measure
from benchmarks.measure import CACHE, ROOT, Cache, Events, Out, Root, Rounds, report, result


def main(
    events: Events = 1_000_000, rounds: Rounds = 5, root: Root = ROOT, cache: Cache = CACHE, out: Out = None
) -> None:
    """Outcomes per second of CPU that stage 1 joins with predictions in memory; --events of both.

    The predictions, spread over 30 days, are read from ClickHouse when the process takes its partitions; the clock runs
    from the first to the last counted outcome. Every outcome finds its prediction: the pairs are checked.
    """
    found, others = measure("join_cached", events, events, rounds, root, cache, cached=max(1_000, events))
    rates = [r.per_core for r in found]
    report([result("join_cached", rates, "outcomes/s per core", events=events), *others], out)


if __name__ == "__main__":
    typer.run(main)
