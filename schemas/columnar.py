"""Batches: many predictions, or many outcomes, of one model by column in one Kafka message.

The value is one Arrow IPC stream: a schema whose metadata has ``namespace`` and ``model``, and one record batch. The
record says so by its header ``content-type``. The columns are the fields of :mod:`schemas.events`:

==================  ===================  ==========================================================================
column              type
==================  ===================  ==========================================================================
``prediction_id``   text
``event_time``      timestamp            with time zone, of ms, us or ns; cut to milliseconds
``version``         text                 predictions only, as all below
``role``            text                 null, or no such column: ``champion``
``prediction``      any                  null: none
``latency_ms``      number               null: not measured
``feature.NAME``    any                  null: a missing value
``score.CLASS``     number               null: no score of that class
``segment.TAG``     text                 null: no such tag
``label``           any                  outcomes only, beside ``prediction_id`` and ``event_time``
==================  ===================  ==========================================================================

*Text* is utf8 or large_utf8, or a dictionary of it; a *number* is any integer or float of up to 64 bits; *any* is text,
number or boolean. NaN is written as null would be in JSON: a missing value among features, an error among scores.
Columns of other names are not read.

**The law:** a batch that can be read is its rows, one after the other, each an event in JSON (:func:`bodies`): it is
counted, refused and stored row by row, as if each had come alone. What cannot be read is one dead letter.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from schemas.events import MAX_EVENT_BYTES, SourceTopic
from schemas.windows import from_ms

CONTENT_TYPE: Final = "application/vnd.apache.arrow.stream"
"""Value of the header ``content-type`` of a batch."""

CE_BATCHES: Final[dict[SourceTopic, str]] = {
    "predictions": "io.driftline.predictions.v1+arrow",
    "outcomes": "io.driftline.outcomes.v1+arrow",
}
"""``ce_type`` of a batch, where CloudEvents headers are sent."""

MAX_ROWS: Final = 10_000
MAX_COLUMNS: Final = 2_000
MAX_SPREAD: Final = 64_000_000
"""Bytes of a batch when each row has its own text and the names of all columns: a dictionary says a text only once."""
_LITTLE: Final = 1_000_000
FEATURE, SCORE, SEGMENT = "feature.", "score.", "segment."

Kind = Literal["text", "number", "boolean", "time"]
Headers = Iterable[tuple[str, bytes | None]] | None

_ANY: Final[tuple[Kind, ...]] = ("text", "number", "boolean")
_FIELDS: Final[dict[SourceTopic, dict[str, tuple[Kind, ...]]]] = {
    "predictions": {
        "prediction_id": ("text",),
        "event_time": ("time",),
        "version": ("text",),
        "role": ("text",),
        "prediction": _ANY,
        "latency_ms": ("number",),
    },
    "outcomes": {"prediction_id": ("text",), "event_time": ("time",), "label": _ANY},
}
_NAMED: Final[dict[str, tuple[Kind, ...]]] = {FEATURE: _ANY, SCORE: ("number",), SEGMENT: ("text",)}
_REQUIRED: Final[dict[SourceTopic, tuple[str, ...]]] = {
    "predictions": ("prediction_id", "event_time", "version"),
    "outcomes": ("prediction_id", "event_time", "label"),
}
_PER_MILLISECOND: Final = {"ms": 1, "us": 1_000, "ns": 1_000_000}
_CODED: Final = pa.dictionary(pa.int32(), pa.string())
_NULL: Final = msgspec.Raw(b"null")
"""What NaN is in JSON; Arrow's null may be left out instead."""

_BEYOND: Final = {float("inf"): msgspec.Raw(b"1e999"), float("-inf"): msgspec.Raw(b"-1e999")}
"""JSON has no infinity: a number that no decoder takes."""


class BadBatch(ValueError):
    """The bytes are no batch. ``reason`` as of a dead letter; the text has the place, the find and the way out."""

    def __init__(self, reason: Literal["undecodable", "invalid", "too_large"], detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Column(NamedTuple):
    """A column as it is read: text as utf8 or a dictionary<int32> of it, numbers as float64, times as int64 of ms."""

    kind: Kind
    values: pa.Array


class Batch(NamedTuple):
    """A readable batch; columns by name, those that are not read left out; ``spread``: see :data:`MAX_SPREAD`."""

    topic: SourceTopic
    namespace: str
    model: str
    rows: int
    columns: dict[str, Column]
    spread: int


def is_batch(headers: Headers) -> bool:
    """Whether a record says that it is a batch."""
    return any(name == "content-type" and value == CONTENT_TYPE.encode() for name, value in headers or ())


def read(topic: SourceTopic, value: bytes) -> Batch:
    """Read a batch, hostile bytes included: sizes and types are checked before, every value is validated after.

    Args:
        topic: what the rows are.
        value: of the record, uncompressed; at most ``MAX_EVENT_BYTES``.

    Raises:
        BadBatch: it cannot be read.
    """
    if len(value) > MAX_EVENT_BYTES:
        raise BadBatch("too_large", _detail("$", f"{len(value):,} bytes", f"at most {MAX_EVENT_BYTES:,}", _SMALLER))
    try:
        schema = _check_messages(value)
        with pa.ipc.open_stream(value) as stream:
            known = _checked.get((topic, schema))
            if known is None:
                known = _check_schema(topic, stream.schema)
                _remember((topic, schema), known)
            batch = stream.read_next_batch()
        if not batch.num_rows:
            raise BadBatch("invalid", _detail("$", "no rows", "one at least", "Send no empty batches."))
        if batch.num_rows > MAX_ROWS:
            raise BadBatch("too_large", _detail("$", f"{batch.num_rows:,} rows", f"at most {MAX_ROWS:,}", _SMALLER))
        batch.validate(full=True)
        spread = len(value) + _spread(batch, known)
        if spread > MAX_SPREAD:
            found = f"{spread:,} bytes when every row has its own text and the names of all columns"
            raise BadBatch("too_large", _detail("$", found, f"at most {MAX_SPREAD:,}", _SMALLER))
    except BadBatch:
        raise
    # Whatever Arrow, or the look at its messages, makes of bytes that are none: nothing else is called here.
    except (pa.ArrowException, ArithmeticError, EOFError, LookupError, OSError, ValueError, struct.error) as error:
        problem = f"no Arrow IPC stream ({str(error)[:120].strip() or type(error).__name__})"
        raise BadBatch("undecodable", _detail("$", problem, "one schema and one record batch", _SDK)) from error
    columns = {
        name: Column(kind, batch.column(place) if ready else _converted(kind, batch.column(place)))
        for name, place, kind, ready in known.columns
    }
    return Batch(topic, known.namespace, known.model, batch.num_rows, columns, spread)


def join(batches: Sequence[Batch]) -> Batch:
    """Batches of one topic and model, with the same columns of the same types, as one: their rows in their order."""
    [first, *others] = batches
    if not others:
        return first
    columns = {
        name: Column(column.kind, pa.concat_arrays([batch.columns[name].values for batch in batches]))
        for name, column in first.columns.items()
    }
    rows, spread = (sum(getattr(batch, name) for batch in batches) for name in ("rows", "spread"))
    return Batch(first.topic, first.namespace, first.model, rows, columns, spread)


def bodies(batch: Batch, rows: Sequence[int] | None = None) -> list[bytes]:
    """The events of a batch, one JSON body per row; ``rows``: of these only."""
    chosen = None if rows is None else pa.array(rows, pa.int64())
    columns = {name: _values(column, chosen) for name, column in batch.columns.items()}
    plain = {name: columns[name] for name in _FIELDS[batch.topic] if name in columns}
    nested = [
        (field, [(name.removeprefix(prefix), columns[name]) for name in columns if name.startswith(prefix)])
        for prefix, field in ((FEATURE, "features"), (SCORE, "scores"), (SEGMENT, "segments"))
    ]
    if batch.topic == "outcomes":
        nested = []
    found = []
    for row in range(batch.rows if rows is None else len(rows)):
        event: dict[str, Any] = {"namespace": batch.namespace, "model": batch.model}
        for name, values in plain.items():
            if values[row] is not None or name in _REQUIRED[batch.topic]:
                event[name] = values[row]
        for field, members in nested:
            # A missing value of a feature is said; a score or a tag that is null is not there.
            said = {name: values[row] for name, values in members if field == "features" or values[row] is not None}
            if said or field == "features":
                event[field] = said
        found.append(msgspec.json.encode(event))
    return found


def _values(column: Column, chosen: Any) -> list[Any]:
    values = column.values if chosen is None else column.values.take(chosen)
    found: list[Any] = values.to_pylist()
    match column.kind:
        case "number":
            return [value if value is None else _number(value) for value in found]
        case "time":
            return [value if value is None else _instant(value) for value in found]
    return found


def _number(value: float) -> Any:
    return _BEYOND.get(value, value) if value == value else _NULL  # noqa: PLR0124


def _instant(ms: int) -> Any:
    """A time in JSON; the bare number, which is refused, where the calendar has no such day."""
    try:
        return from_ms(ms)
    except OverflowError:
        return ms


class _Known(NamedTuple):
    """What a schema says.

    Attributes:
        columns: those that are read: name, place, kind, and whether values are as :class:`Column` has them.
    """

    namespace: str
    model: str
    columns: list[tuple[str, int, Kind, bool]]


_checked: Final[dict[tuple[SourceTopic, bytes], _Known]] = {}
"""Schemas that were found good, as they are written: one sender's batches have the same again and again."""

_MOST_CHECKED, _LARGEST_CHECKED = 1_000, 20_000


def _remember(schema: tuple[SourceTopic, bytes], known: _Known) -> None:
    if len(schema[1]) <= _LARGEST_CHECKED:
        if len(_checked) >= _MOST_CHECKED:
            _checked.clear()
        _checked[schema] = known


def _spread(batch: pa.RecordBatch, known: _Known) -> int:
    """Bytes of the names, and of texts that are in dictionaries, when every row has its own; more if it is little."""
    names = batch.num_rows * sum(len(name.encode()) for name, *_ in known.columns)
    texts = (batch.column(place) for _, place, kind, ready in known.columns if kind == "text" and not ready)
    coded = [column for column in texts if pa.types.is_dictionary(column.type)]
    most = names + batch.num_rows * sum(column.dictionary.nbytes for column in coded)
    if most <= _LITTLE:
        return int(most)
    lengths = (pc.binary_length(column.dictionary).take(column.indices) for column in coded)
    return int(names + sum(pc.sum(each).as_py() or 0 for each in lengths))


def _check_messages(value: bytes) -> bytes:
    """One schema, dictionaries, one record batch, and nothing compressed: what is read is no larger than the value.

    Returns:
        The schema as it is written.
    """
    source = pa.BufferReader(value)
    kinds: list[str] = []
    schema = b""
    for message in pa.ipc.MessageReader.open_stream(source):
        metadata = message.metadata.to_pybytes()
        if message.type == "schema":
            schema = schema or metadata
        elif _is_compressed(metadata, message.type == "dictionary"):
            raise BadBatch("invalid", _detail("$", "compressed buffers", "none", _UNCOMPRESSED))
        kinds.append(message.type)
        if len(kinds) > MAX_COLUMNS:
            break
    if kinds[:1] != ["schema"] or kinds[-1:] != ["record batch"] or set(kinds[1:-1]) - {"dictionary"}:
        found = ", ".join(dict.fromkeys(kinds)) or "no message"
        raise BadBatch("invalid", _detail("$", found, "one schema, dictionaries, and one record batch", _SDK))
    if behind := len(value) - source.tell():
        raise BadBatch("invalid", _detail("$", f"{behind:,} bytes behind the end", "one stream", _SDK))
    return schema


def _is_compressed(metadata: bytes, is_dictionary: bool) -> bool:
    """Whether a message's header (a flatbuffer; Format/Message.fbs of Arrow) declares a body compression."""
    (root,) = struct.unpack_from("<I", metadata)
    header = _follow(metadata, root, 2)
    if header and is_dictionary:
        header = _follow(metadata, header, 1)
    return bool(header and _field(metadata, header, 3))


def _field(data: bytes, table: int, index: int) -> int:
    """Place of a field of a flatbuffer's table; 0 when it is not there."""
    (back,) = struct.unpack_from("<i", data, table)
    vtable = table - back
    size, *_ = struct.unpack_from("<H", data, vtable)
    if 4 + 2 * index >= size:
        return 0
    (offset,) = struct.unpack_from("<H", data, vtable + 4 + 2 * index)
    return table + int(offset) if offset else 0


def _follow(data: bytes, table: int, index: int) -> int:
    """The table that a field refers to; 0 when it is not there."""
    place = _field(data, table, index)
    return place + int(struct.unpack_from("<I", data, place)[0]) if place else 0


def _check_schema(topic: SourceTopic, schema: pa.Schema) -> _Known:
    metadata = {name: (schema.metadata or {}).get(name.encode(), b"").decode() for name in ("namespace", "model")}
    for name, text in metadata.items():
        if not 1 <= len(text) <= 200:
            found = f"{len(text)} characters" if text else "nothing"
            raise BadBatch("invalid", _detail(f"metadata {name}", found, "1 to 200 characters", _METADATA))
    if len(schema.names) > MAX_COLUMNS:
        raise BadBatch("too_large", _detail("$", f"{len(schema.names)} columns", f"at most {MAX_COLUMNS}", _FEWER))
    kinds: dict[str, Kind] = {}
    for field in schema:
        kind, allowed = _kind(field.type), _allowed(topic, field.name)
        if kind is None:
            raise BadBatch("invalid", _wrong_type(field, ("text", "number", "boolean", "time")))
        if field.name in kinds:
            raise BadBatch("invalid", _detail(_column_name(field.name), "there twice", "once", _SDK))
        if allowed and kind not in allowed:
            raise BadBatch("invalid", _wrong_type(field, allowed))
        if allowed:
            kinds[field.name] = kind
    for name in _REQUIRED[topic]:
        if name not in kinds:
            raise BadBatch("invalid", _detail(_column_name(name), "missing", "a column", _SDK))
    places = {name: place for place, name in enumerate(schema.names)}
    columns = [(name, places[name], kind, _is_ready(schema.field(name).type)) for name, kind in kinds.items()]
    return _Known(**metadata, columns=columns)


def _allowed(topic: SourceTopic, name: str) -> tuple[Kind, ...]:
    """Kinds that a column may have; none when it is not read."""
    if name in _FIELDS[topic] or topic == "outcomes":
        return _FIELDS[topic].get(name, ())
    return next((kinds for prefix, kinds in _NAMED.items() if name.startswith(prefix)), ())


def _kind(kind: pa.DataType) -> Kind | None:
    types = pa.types
    if types.is_dictionary(kind):
        return "text" if _is_text(kind.value_type) else None
    if _is_text(kind):
        return "text"
    if types.is_boolean(kind):
        return "boolean"
    if types.is_timestamp(kind):
        return "time" if kind.tz and kind.unit in _PER_MILLISECOND else None
    return "number" if types.is_integer(kind) or types.is_floating(kind) else None


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_ready(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_float64(kind) or pa.types.is_boolean(kind))


def _converted(kind: Kind, values: pa.Array) -> pa.Array:
    found = values.type
    if pa.types.is_dictionary(found) and values.dictionary.null_count:
        values = values.cast(pa.string())
    elif kind == "number" and found != pa.float64():
        values = values.cast(pa.float64(), safe=False)
    elif kind == "text" and pa.types.is_large_string(found):
        values = values.cast(pa.string())
    elif kind == "text" and pa.types.is_dictionary(found) and found != _CODED:
        indices = values.indices.cast(pa.int32())
        values = pa.DictionaryArray.from_arrays(indices, values.dictionary.cast(pa.string()))
    elif kind == "time":
        values = _milliseconds(values)
    return values


def _milliseconds(values: pa.Array) -> pa.Array:
    counts = values.view(pa.int64())
    factor = _PER_MILLISECOND[values.type.unit]
    if factor == 1:
        return counts
    # numpy's division rounds down, Arrow's towards zero, and there is time before 1970.
    whole = counts.fill_null(0).to_numpy() // factor
    return pa.array(whole, mask=counts.is_null().to_numpy(zero_copy_only=False))


_SMALLER = "Send smaller batches; the SDK cuts its own."
_FEWER = "Send the features that the spec declares."
_SDK = "docs/batches.md lists the columns; the SDK's batches have them."
_METADATA = "Put it into the metadata of the Arrow schema."
_UNCOMPRESSED = "Let Kafka compress: set compression.type of the producer."


def _wrong_type(field: pa.Field, allowed: Sequence[str]) -> str:
    expected = " or ".join(allowed)
    return _detail(_column_name(field.name), f"type {str(field.type)[:80]}", expected, "Cast the column.")


def _column_name(name: str) -> str:
    return f"column {name[:80]!r}"


def _detail(place: str, found: str, expected: str, way_out: str) -> str:
    """As every explanation of a dead letter reads (see ``streams.aggregate.explain``)."""
    return f"{place}: {found}; expected {expected}. {way_out}"
