"""Rows of a table as the records that a service would have sent: predictions, and labels when they were known."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.table import Predictions
from schemas.events import Outcome, Prediction, encode, record_key
from schemas.spec import ModelSpec, milliseconds
from schemas.windows import from_ms

Record = tuple[bytes, bytes]
"""(key, body)."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of event time that is sent at a time: rows of the table, and places in :class:`Labels`."""

    rows: slice
    labels: slice


@dataclass(frozen=True, slots=True)
class Labels:
    """Rows that have a label, in the order in which the labels were known.

    Attributes:
        row: places in the table.
        time: ms since the epoch, ascending.
    """

    row: NDArray[np.int64]
    time: NDArray[np.int64]


def labels(table: Predictions, spec: ModelSpec) -> Labels:
    """When each label was known: its ``label_time``, or, where there is none, a label maturity after the prediction."""
    if table.label is None:
        return Labels(np.zeros(0, np.int64), np.zeros(0, np.int64))
    row = np.flatnonzero(table.label.is_valid().to_numpy(zero_copy_only=False))
    time = table.event_time[row] + milliseconds(spec.windows.label_maturity)
    if table.label_time is not None:
        given = table.label_time.is_valid().to_numpy(zero_copy_only=False)[row]
        time = np.where(given, table.label_time.fill_null(0).to_numpy()[row], time)
    order = np.argsort(time, kind="stable")
    return Labels(row[order], time[order])


def chunks(table: Predictions, known: Labels, spec: ModelSpec, rows: int) -> Iterator[Chunk]:
    """Cut event time at starts of windows, after at least ``rows`` rows each; together they hold everything."""
    grid, first, first_label = spec.grid(), 0, 0
    while first < len(table):
        last = min(first + rows, len(table))
        end = grid.end(grid.start(int(table.event_time[last - 1])))
        last = int(np.searchsorted(table.event_time, end))
        last_label = len(known.row) if last == len(table) else int(np.searchsorted(known.time, end))
        yield Chunk(slice(first, last), slice(first_label, last_label))
        first, first_label = last, last_label


def predictions(table: Predictions, names: tuple[str, str], rows: slice) -> Iterator[Record]:
    """The predictions of some rows.

    Args:
        table: what is replayed.
        names: (namespace, model).
        rows: which, from and to.
    """

    def part(column: pa.Array | None) -> Iterator[object]:
        return iter(repeat(None) if column is None else column.slice(rows.start, rows.stop - rows.start).to_pylist())

    features = tuple(table.features)
    tags, classes = tuple(table.segments), tuple(table.scores)
    columns = zip(
        table.event_time[rows].tolist(),
        table.prediction_id[rows],
        table.version[rows],
        zip(*map(part, table.features.values()), strict=True),
        zip(*map(part, table.segments.values()), strict=True) if tags else repeat(()),
        zip(*map(part, table.scores.values()), strict=True) if classes else repeat(()),
        part(table.prediction),
        part(table.latency_ms),
        strict=False,  # a column that is not there repeats for ever
    )
    for at, prediction_id, version, values, segments, scores, prediction, latency_ms in columns:
        event = Prediction(
            namespace=names[0],
            model=names[1],
            version=version,
            prediction_id=prediction_id,
            event_time=from_ms(at),
            features=dict(zip(features, values, strict=True)),
            prediction=prediction,
            scores={name: score for name, score in zip(classes, scores, strict=True) if score is not None},
            latency_ms=latency_ms,
            segments={tag: value for tag, value in zip(tags, segments, strict=True) if value is not None},
        )
        yield record_key(event), encode(event)


def outcomes(table: Predictions, known: Labels, names: tuple[str, str], places: slice) -> Iterator[Record]:
    """The labels at some places of ``known``; the other arguments are :func:`predictions`'."""
    if table.label is None:
        return
    row = known.row[places]
    for place, at, label in zip(
        row.tolist(), known.time[places].tolist(), table.label.take(pa.array(row)).to_pylist(), strict=True
    ):
        event = Outcome(
            namespace=names[0],
            model=names[1],
            prediction_id=table.prediction_id[place],
            event_time=from_ms(at),
            label=label,
        )
        yield record_key(event), encode(event)
