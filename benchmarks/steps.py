"""``python -m benchmarks.steps``: CPU time of stage 1's steps in this process, without Kafka and ClickHouse."""

import cProfile
import json
import pstats
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from time import process_time
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer
from confluent_kafka import Message
from rich.console import Console
from rich.table import Table

from benchmarks.aggregate_columnar import HEADERS, ROWS, batch
from benchmarks.events import DAY_MS, Maker, Shape, record, spread, times
from streams.aggregate.batch import Batch
from streams.aggregate.checkpoint import KEPT_WINDOWS
from streams.aggregate.index import Index
from streams.aggregate.judge import Judge
from streams.aggregate.models import Models
from streams.aggregate.raw import prediction_table
from streams.aggregate.rows import Work
from streams.aggregate.sketches import sketch
from streams.aggregate.state import State
from warehouse.client import Warehouse


class Form(StrEnum):
    """How events come: one per message, or by column."""

    json = "json"
    columnar = "columnar"


class NoWarehouse(Warehouse):
    """Nothing is asked of it: memory holds every id."""

    def __init__(self) -> None:
        """No client."""


def main(
    form: Annotated[Form, typer.Argument(help="One event per message, or 2,000 by column.")] = Form.columnar,
    rows: Annotated[int, typer.Option(min=ROWS, help="Events of each round, which are counted at once.")] = 250_000,
    repeats: Annotated[int, typer.Option(min=1, help="The best of so many is told of each step.")] = 7,
    profile: Annotated[bool, typer.Option(help="Also print the functions that take longest, by cProfile.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Microseconds of CPU per event of each step, from consumed messages to the bytes of an insert.

    The same events and model as of aggregate_json and aggregate_columnar, one partition, raw rows with ids only. What a
    whole process takes besides (librdkafka, HTTP, checkpoints) is in those.
    """
    [shape] = [Shape(raw_features=False)]
    models = Models()
    models.learn(record(shape))
    rounds = [_messages(form, shape, number * rows, rows) for number in range(repeats)]
    found = defaultdict[str, list[float]](list)
    profiler = cProfile.Profile(process_time) if profile else None
    _count(rounds, models, found, profiler)
    best = {name: min(taken) / rows * 1e6 for name, taken in found.items()}
    if as_json:
        print(json.dumps([{"name": name, "unit": "us", "value": value} for name, value in best.items()]))
        return
    table = Table("step", "us of CPU per event")
    for name, value in [*best.items(), ("all", sum(best.values()))]:
        table.add_row(name, f"{value:.3f}")
    Console().print(table)
    if profiler:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(45)


def _count(
    rounds: Sequence[list[Message]], models: Models, found: dict[str, list[float]], profiler: cProfile.Profile | None
) -> None:
    """Take each round's messages through all steps, as a member does."""
    warehouse = NoWarehouse()
    index = Index(models, 2 * sum(map(len, rounds)) * ROWS, (0, 0))
    states = {0: State(0, "bench", 0, [0, 0], {}, index, set(), 0.0)}
    judge = Judge(models, 1, warehouse)

    @contextmanager
    def step(name: str) -> Iterator[None]:
        if profiler:
            profiler.enable()
        began = process_time()
        yield
        found[name].append(process_time() - began)
        if profiler:
            profiler.disable()

    for messages in rounds:
        work = Work()
        with step("batch"):
            batches = list(Batch.of_messages("predictions", messages, {0: states[0].positions[0]}))
        with step("judge"):
            for batch in batches:
                judge.judge([batch], states, work, 0.0)
        with step("sketch"):
            counted = sketch(work, models)
        with step("raw rows"):
            table = prediction_table(work.predictions, models, {0: 1})
        assert table is not None  # noqa: S101  for the type checker
        with step("bytes of rows"):
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with pa.RecordBatchFileWriter(pa.BufferOutputStream(), table.schema, options=options) as writer:
                writer.write(table)
        with step("merge"):
            states[0].add(counted[0])
            states[0].committed(1, KEPT_WINDOWS)


def _messages(form: Form, shape: Shape, first: int, rows: int) -> list[Message]:
    """Messages as they are consumed, from the event ``first`` on."""
    maker, stamp = Maker([shape]), int(times(first + rows, first + rows + 1, 10_000_000, DAY_MS)[0])
    if form is Form.json:
        values = maker.predictions(first, spread(first, first + rows, 10_000_000, DAY_MS))
        return [
            Message(topic="p", partition=0, offset=first + place, value=value, timestamp=(1, stamp))
            for place, value in enumerate(values)
        ]
    at = times(first, first + rows, 10_000_000, DAY_MS)
    found = []
    for start in range(0, rows, ROWS):
        end = min(start + ROWS, rows)
        numbers = np.arange(first + start, first + end)
        ids = [f"p{number:09d}" for number in numbers.tolist()]
        body = batch(shape, ids, at[start:end], numbers % shape.templates)
        offset = first + start // ROWS
        found.append(Message(topic="p", partition=0, offset=offset, value=body, headers=HEADERS, timestamp=(1, stamp)))
    return found


if __name__ == "__main__":
    typer.run(main)
