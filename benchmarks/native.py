"""``python -m benchmarks.native``: CPU time of the native decoder and kernels, beside what is done without them."""

import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
import numpy as np
import typer
from driftline_native import Decoder
from rich.console import Console
from rich.table import Table

from benchmarks import events
from detectors import kernels
from detectors.sketch import LATENCY_EDGES, Sketch, group_categorical, group_latency, group_numeric
from schemas.events import Prediction
from streams.aggregate.models import Models

_EDGES = np.linspace(100.0, 900.0, 19)


def main(
    rows: Annotated[int, typer.Option(min=1_000, help="Events, and rows of each column.")] = 50_000,
    groups: Annotated[int, typer.Option(min=1, help="Groups that a column is counted by.")] = 12,
    repeats: Annotated[int, typer.Option(min=1, help="The best of so many is told.")] = 9,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Measure nanoseconds of CPU per event (decoding) and per value (counting)."""
    found = {
        name: (_best(with_c, rows, repeats), _best(without, rows, repeats))
        for name, with_c, without in _work(rows, groups)
    }
    if as_json:
        print(json.dumps([{"name": name, "unit": "ns", "native": a, "without": b} for name, (a, b) in found.items()]))
        return
    table = Table("", "native, ns", "without, ns", "ratio")
    for name, (native, without) in found.items():
        table.add_row(name, f"{native:.0f}", f"{without:.0f}", f"{without / native:.1f}")
    Console().print(table)


def _work(rows: int, groups: int) -> list[tuple[str, Callable[[], object], Callable[[], object]]]:
    """(What, with C, without)."""
    [shape] = events.shapes(1)
    values = list(events.Maker([shape]).predictions(0, events.spread(0, rows, rows, events.DAY_MS)))
    models = Models()
    models.learn(events.record(shape))
    decoder = Decoder([layout.plan for layout in models.layouts.values() if layout.plan is not None])
    typed = msgspec.json.Decoder(Prediction)
    random = np.random.default_rng(1)
    ids = random.integers(0, groups, rows)
    numbers = random.uniform(0, 1_000, rows)
    codes = random.integers(-1, 6, rows).astype(np.int32)

    def counted(count: Callable[[], Sequence[Sketch]], installed: bool) -> Callable[[], object]:
        def run() -> object:
            kernels.INSTALLED = installed
            try:
                return count()
            finally:
                kernels.INSTALLED = True

        return run

    counts: list[tuple[str, Callable[[], Sequence[Sketch]]]] = [
        ("count a number", lambda: group_numeric(numbers, ids, groups, _EDGES, low=50.0, high=950.0)),
        ("count a category", lambda: group_categorical(codes, ids, groups, 5)),
        (f"count a latency ({len(LATENCY_EDGES)} edges)", lambda: group_latency(numbers, ids, groups)),
    ]

    def objects() -> object:
        return deque(map(typed.decode, values), maxlen=1)  # each is let go at once: the least that they can cost

    return [
        ("decode", lambda: decoder.predictions(values, False), objects),
        ("decode, with texts", lambda: decoder.predictions(values, True), objects),
        *((name, counted(count, True), counted(count, False)) for name, count in counts),
    ]


def _best(run: Callable[[], object], rows: int, repeats: int) -> float:
    """Nanoseconds of CPU per row in the best of several runs."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds) / rows * 1e9


if __name__ == "__main__":
    typer.run(main)
