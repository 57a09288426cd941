"""What a large installation needs, by the figures that were measured: arithmetic, no measurement."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from benchmarks.measure import number

Results = Mapping[str, Mapping[str, Any]]

EVENTS = 1_000_000
MODELS = 10_000
FEATURES, SEGMENTS = 10, 4
LOAD = 0.5
"""Share of the measured rate that a process is planned for: the rest is for catching up."""

OUTCOMES = 0.5
"""Outcomes per prediction."""

EVENT_BYTES, BATCH_BYTES = 500, 150
"""A record in Kafka with its key and overhead: one event as JSON, and an event's part of a columnar batch."""

PARTIAL_BYTES = 300
CHECKPOINT_SECONDS = 10.0
REPLICAS = 3

SKETCHES = FEATURES * (SEGMENTS + 1) + (SEGMENTS + 1) + 6
"""Of a model's open window: features by segment, pairs by segment, score, latency and tallies."""


class Cell(NamedTuple):
    """An installation among several: topics, aggregators and a monitor of its own, for its share of the models."""

    cells: int
    partitions: int

    @property
    def events(self) -> float:
        """Events per second of one."""
        return EVENTS / self.cells

    @property
    def models(self) -> int:
        """Models of one."""
        return MODELS // self.cells

    @property
    def partial_rows(self) -> float:
        """Rows of ``partials`` per second of all: each partition has counts of each of its models."""
        return self.cells * self.partitions * self.models * SKETCHES / CHECKPOINT_SECONDS


def processes(per_core: float) -> int:
    """Aggregators that count all events, each on a core of its own."""
    return math.ceil(EVENTS / (LOAD * per_core))


def inputs(results: Results) -> str:
    """The measured figures that the plan is made of."""
    lines = ["| measured | per core |", "|---|---:|"]
    for name in ("aggregate_json", "aggregate_json_raw", "aggregate_columnar", "join_cached", "peer_consume"):
        found = results.get(name)
        value = f"{number(found['value'])} {found['unit'].split(' per ')[0]}" if found else "not measured"
        lines.append(f"| `{name}` | {value} |")
    return "\n".join(lines)


def plan(results: Results) -> str:
    """What it takes, for JSON and for columnar batches, and in how many cells."""
    lines = [
        f"For {EVENTS:,} predictions/s of {MODELS:,} models with {FEATURES} features in {SEGMENTS} segments, and "
        f"{OUTCOMES:g} outcomes for each:",
        "",
        "| | JSON, ids kept | JSON, features kept | columnar |",
        "|---|---:|---:|---:|",
    ]
    names = ("aggregate_json", "aggregate_json_raw", "aggregate_columnar")
    rates = [results[name]["value"] if name in results else None for name in names]
    joined = results.get("join_cached")
    joins = math.ceil(OUTCOMES * EVENTS / (LOAD * joined["value"])) if joined else 0
    counts = [processes(rate) if rate else None for rate in rates]
    sizes = (EVENT_BYTES, EVENT_BYTES, BATCH_BYTES)
    lines += [
        _row("aggregators for predictions", counts),
        _row("and for outcomes", [joins or None] * 3),
        _row("partitions of each source topic, at least", [n and 2 ** math.ceil(math.log2(n + joins)) for n in counts]),
        _row("MB/s into Kafka", [EVENTS * size / 1e6 for size in sizes]),
        _row(f"MB/s that brokers write ({REPLICAS} replicas)", [REPLICAS * EVENTS * size / 1e6 for size in sizes]),
        _row("TB on the brokers' disks for 14 days", [REPLICAS * EVENTS * size * 14 * 86_400 / 1e12 for size in sizes]),
        _row("raw rows/s into ClickHouse", [EVENTS * (1 + OUTCOMES)] * 3),
        "",
        "| cells | models each | events/s each | partitions each | `partials` rows/s, all cells | MB/s of them |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for cell in (Cell(1, 64), Cell(10, 8), Cell(25, 4)):
        rows = cell.partial_rows
        values = (cell.cells, cell.models, cell.events, cell.partitions, rows, rows * PARTIAL_BYTES / 1e6)
        lines.append("| " + " | ".join(f"{value:,.0f}" for value in values) + " |")
    return "\n".join(lines)


def _row(name: str, values: list[float | None] | list[float] | list[int | None]) -> str:
    return f"| {name} | " + " | ".join("not measured" if value is None else f"{value:,.0f}" for value in values) + " |"
