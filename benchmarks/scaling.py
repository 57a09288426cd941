"""``python -m benchmarks.scaling``: two aggregators against one, on the same topic."""

import typer

from app import wiring
from benchmarks.aggregate import SPAN, count
from benchmarks.events import Shape, truth
from benchmarks.load import fill
from benchmarks.measure import CACHE, ROOT, Cache, Events, Out, Root, Rounds, report, result
from benchmarks.world import world


def main(
    events: Events = 4_000_000, rounds: Rounds = 5, root: Root = ROOT, cache: Cache = CACHE, out: Out = None
) -> None:
    """Events per second of the clock with two aggregators over that with one.

    The broker and ClickHouse share the cores with them: on two cores the factor is below what two machines give. With
    two, the clock starts when both have their partitions.
    """
    wiring.configure_logging(quiet=True)
    models = [Shape(raw_features=False)]
    expected = truth(models, events)
    rates: dict[int, list[float]] = {1: [], 2: []}
    # The topic of aggregate_json: whoever comes first fills it.
    holds = {"name": "aggregate_json", "events": events, "models": [repr(shape) for shape in models]}
    with world(root / "aggregate_json", cache, holds, lambda found: fill(found, models, events, SPAN)) as running:
        for round_ in range(1, rounds + 1):
            for processes, found in rates.items():
                found.append(count(running, processes).per_second)
                running.check(models, expected)
            print(f"scaling, round {round_} of {rounds}: {rates[1][-1]:,.0f} events/s, with two {rates[2][-1]:,.0f}")
    factors = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    results = [result("scaling", factors, "times the events/s of one process", events=events)]
    results += [result(f"scaling_{n}", found, "events/s", events=events) for n, found in rates.items()]
    report(results, out)


if __name__ == "__main__":
    typer.run(main)
