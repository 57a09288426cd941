"""Events by column: what a busy emitter sends instead of single events (docs/batches.md). Needs ``driftline[arrow]``.

Pure functions: no I/O, no clock. An event is a :class:`Row` as long as it waits; rows of one :class:`Shape` can share a
message.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import inf, isfinite
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from driftline import wire

CONTENT_TYPE = "application/vnd.apache.arrow.stream"
MAX_BYTES = 500_000
"""Largest message that driftline reads."""

MAX_ROWS = 2_000
"""Rows per message: more are hardly cheaper per row, and wait longer for their message to be full."""

SourceTopic = Literal["predictions", "outcomes"]

_PLAIN = frozenset({float, int, str, bool, type(None)})
_MAX_KINDS = 10_000
_known_kinds: set[tuple[type, ...]] = set()

_TIME = pa.timestamp("us", "UTC")
_KINDS: dict[frozenset[type], pa.DataType] = {
    frozenset(): pa.float64(),
    frozenset({float}): pa.float64(),
    frozenset({int}): pa.float64(),
    frozenset({float, int}): pa.float64(),
    frozenset({str}): pa.string(),
    frozenset({bool}): pa.bool_(),
}


class Shape(NamedTuple):
    """Names of the columns of an event: features, scores and segments, in the order in which they were given."""

    features: tuple[str, ...]
    scores: tuple[str, ...]
    segments: tuple[str, ...]


class Row(NamedTuple):
    """An event that can be a row; fields as in :mod:`driftline.wire`, what has names by its :class:`Shape`."""

    shape: Shape
    prediction_id: str
    event_time: datetime
    version: str
    role: str
    answer: wire.Label | None
    latency_ms: float | None
    features: tuple[wire.FeatureValue, ...]
    scores: tuple[float, ...]
    segments: tuple[str, ...]


OUTCOME = Shape((), (), ())
"""Shape of every outcome; its ``answer`` is the label."""


def prediction_row(
    prediction_id: str,
    *,
    version: str,
    event_time: datetime,
    features: Mapping[str, wire.FeatureValue],
    prediction: wire.Label | None,
    scores: Mapping[str, float] | None,
    latency_ms: float | None,
    segments: Mapping[str, str] | None,
    role: str,
) -> Row | None:
    """A prediction as a row; None when something about it is unusual: JSON then takes it, or says what is wrong."""
    values = tuple(features.values())
    if not _is_plain(values) or event_time.tzinfo is None or not (type(prediction_id) is type(version) is str):
        return None
    chances = tuple(scores.values()) if scores else ()
    tags = tuple(segments.values()) if segments else ()
    for chance in chances:
        if type(chance) is not float or not isfinite(chance):
            return None
    for tag in tags:
        if type(tag) is not str:
            return None
    if latency_ms is not None and (type(latency_ms) is not float or not isfinite(latency_ms)):
        return None
    if prediction is not None and not _is_plain((prediction,), nan=False):
        return None
    shape = Shape(tuple(features), tuple(scores) if scores else (), tuple(segments) if segments else ())
    return Row(shape, prediction_id, event_time, version, role, prediction, latency_ms, values, chances, tags)


def outcome_row(prediction_id: str, *, event_time: datetime, label: wire.Label) -> Row | None:
    """An outcome as a row; see :func:`prediction_row`."""
    if event_time.tzinfo is None or type(prediction_id) is not str or not _is_plain((label,), nan=False):
        return None
    return Row(OUTCOME, prediction_id, event_time, "", "", label, None, (), (), ())


def body(topic: SourceTopic, namespace: str, model: str, row: Row) -> bytes:
    """The row as an event in JSON.

    Raises:
        ValueError: JSON cannot hold it.
    """
    if topic == "outcomes":
        label: Any = row.answer
        return wire.outcome(namespace, model, row.prediction_id, event_time=row.event_time, label=label)
    return wire.prediction(
        namespace,
        model,
        row.prediction_id,
        version=row.version,
        event_time=row.event_time,
        features=dict(zip(row.shape.features, row.features, strict=True)),
        prediction=row.answer,
        scores=dict(zip(row.shape.scores, row.scores, strict=True)),
        latency_ms=row.latency_ms,
        segments=dict(zip(row.shape.segments, row.segments, strict=True)),
        role=row.role,  # type: ignore[arg-type]
    )


def messages(
    topic: SourceTopic, namespace: str, model: str, rows: Sequence[Row], partitions: int
) -> list[tuple[int, bytes, int]]:
    """Rows of one shape as batches: (partition, value, rows in it), the rows of each partition in their order.

    Raises:
        ValueError: a column cannot hold all of its values, e.g. numbers here and text there.
    """
    whole = _batch(topic, namespace, model, rows)
    prefix = f"{namespace}/{model}/".encode()
    homes = partitions_of([prefix + row.prediction_id.encode() for row in rows], partitions)
    found = []
    for partition in range(partitions):
        at = np.flatnonzero(homes == partition)
        for start in range(0, len(at), MAX_ROWS):
            part = whole.take(pa.array(at[start : start + MAX_ROWS]))
            found += [(partition, value, count) for value, count in _values(part)]
    return found


def _values(batch: Any) -> Iterator[tuple[bytes, int]]:
    """A batch as messages, halved until each is small enough."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    if sink.tell() <= MAX_BYTES or batch.num_rows == 1:
        yield sink.getvalue().to_pybytes(), batch.num_rows
        return
    half = batch.num_rows // 2
    yield from _values(batch.slice(0, half))
    yield from _values(batch.slice(half))


def _batch(topic: SourceTopic, namespace: str, model: str, rows: Sequence[Row]) -> Any:
    # By place: zip(*rows) makes an iterator per row, which costs more than all else here.
    table: list[list[Any]] = [[row[place] for row in rows] for place in range(len(Row._fields))]
    _, ids, times, versions, roles, answers, latencies, values, scores, segments = table
    columns = {"prediction_id": pa.array(ids, pa.string()), "event_time": pa.array(times, _TIME)}
    if topic == "outcomes":
        columns["label"] = _column(answers)
    else:
        columns |= {"version": _column(versions), "role": _column(roles)}
        for name, column in (("prediction", answers), ("latency_ms", latencies)):
            if column.count(None) < len(column):
                columns[name] = _column(column)
        names = rows[0].shape
        groups = (("feature.", names.features, values), ("score.", names.scores, scores))
        for prefix, given, held in (*groups, ("segment.", names.segments, segments)):
            for place, name in enumerate(given):
                columns[prefix + name] = _column([row[place] for row in held])
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    return batch.replace_schema_metadata({"namespace": namespace, "model": model})


def _column(values: Sequence[Any]) -> Any:
    """A column of numbers, texts or booleans; texts that recur are written once.

    Raises:
        ValueError: the values are of several kinds, or too large.
    """
    kinds = frozenset(map(type, values)) - {type(None)}
    if kinds not in _KINDS:
        raise ValueError(f"a column of {sorted(kind.__name__ for kind in kinds)}")
    try:
        column = pa.array(values, _KINDS[kinds])
    except OverflowError as error:
        raise ValueError(str(error)) from error
    if kinds == {str}:
        coded = column.dictionary_encode()
        return coded if 2 * len(coded.dictionary) < len(column) else column
    return column


def _is_plain(values: tuple[Any, ...], *, nan: bool = True) -> bool:
    """Whether all are finite numbers (or nan, a missing value), texts, booleans or None."""
    kinds = tuple(map(type, values))
    if kinds not in _known_kinds:
        if not _PLAIN.issuperset(kinds):
            return False
        if len(_known_kinds) < _MAX_KINDS:
            _known_kinds.add(kinds)
    if inf in values or -inf in values:
        return False
    return nan or all(value == value for value in values)  # noqa: PLR0124  nan differs from itself


_WORD = 4
_M = np.uint32(0x5BD1E995)
_SEED = np.uint32(0x9747B28C)


def partitions_of(keys: Sequence[bytes], partitions: int) -> Any:
    """Partition of each key: murmur2, as librdkafka's ``murmur2_random`` has it, one step for all keys at once."""
    lengths = np.fromiter(map(len, keys), np.uint32, len(keys))
    full = lengths // _WORD
    width = int(full.max()) + 1
    words = np.array(keys, dtype=f"S{width * _WORD}").view("<u4").reshape(len(keys), width)
    hashes = _SEED ^ lengths
    for column in range(width - 1):
        mixed = words[:, column] * _M
        mixed ^= mixed >> 24
        hashes = np.where(full > column, (hashes * _M) ^ (mixed * _M), hashes)
    tails = words[np.arange(len(keys)), full]
    hashes = np.where(lengths % _WORD > 0, (hashes ^ tails) * _M, hashes)
    hashes ^= hashes >> 13
    hashes *= _M
    hashes ^= hashes >> 15
    return (hashes & np.uint32(0x7FFFFFFF)) % np.uint32(partitions)
