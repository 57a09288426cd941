"""A batch is read as its schema says, and bytes that are none end in a reason, not in a crash."""

import json
from typing import Any

import pyarrow as pa
import pytest
from batch_world import DICTIONARY, NUMBER, TEXT, TIME, arrow, batch_of_rows
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.columnar import CONTENT_TYPE, MAX_ROWS, BadBatch, bodies, is_batch, join, read
from schemas.events import MAX_EVENT_BYTES

KINDS = {
    "prediction_id": TEXT, "event_time": TIME, "version": DICTIONARY, "feature.x": NUMBER, "feature.origin": DICTIONARY,
    "score.late": NUMBER, "segment.origin": TEXT, "latency_ms": NUMBER, "role": TEXT, "prediction": TEXT,
}  # fmt: skip
ROW: dict[str, Any] = {"prediction_id": "a", "event_time": 1_357_000_000_000, "version": "v1"}
FULL = ROW | {
    "feature.x": 1.5, "feature.origin": "JFK", "score.late": 0.25, "segment.origin": "EWR", "latency_ms": 3.0,
    "role": "shadow", "prediction": "late",
}  # fmt: skip


def events(value: bytes, topic: Any = "predictions") -> list[Any]:
    return [json.loads(body) for body in bodies(read(topic, value))]


def test_rows_are_the_events_of_the_contract() -> None:
    plain, whole = events(batch_of_rows([ROW, FULL], KINDS))
    common = {"namespace": "default", "model": "delay", "prediction_id": "a", "event_time": "2013-01-01T00:26:40Z"}
    assert plain == common | {"version": "v1", "features": {"x": None, "origin": None}}
    assert whole == common | {
        "version": "v1", "role": "shadow", "prediction": "late", "latency_ms": 3.0,
        "features": {"x": 1.5, "origin": "JFK"}, "scores": {"late": 0.25}, "segments": {"origin": "EWR"},
    }  # fmt: skip
    label = batch_of_rows([{**ROW, "label": True}], {"prediction_id": TEXT, "event_time": TIME, "label": pa.bool_()})
    assert events(label, "outcomes") == [common | {"label": True}]


def test_what_json_cannot_say_is_refused_where_null_would_be_taken() -> None:
    [row] = bodies(read("predictions", batch_of_rows([FULL | {"feature.x": float("inf")}], KINDS)))
    assert b'"x":1e999' in row
    [row] = bodies(read("predictions", batch_of_rows([FULL | {"score.late": float("nan")}], KINDS)))
    assert b'"late":null' in row
    [row] = bodies(read("predictions", batch_of_rows([FULL | {"event_time": 2**60}], KINDS)))
    assert b'"event_time":1152921504606846976' in row
    [row] = bodies(read("predictions", batch_of_rows([{"version": "v1"}], KINDS)))
    assert b'"prediction_id":null,"event_time":null' in row


@pytest.mark.parametrize(
    ("unit", "number", "text"),
    [
        ("ms", 1_357_000_000_001, "2013-01-01T00:26:40.001000Z"),
        ("us", 1_357_000_000_001_999, "2013-01-01T00:26:40.001000Z"),
        ("ns", -1, "1969-12-31T23:59:59.999000Z"),
    ],
)
def test_times_are_cut_to_milliseconds(unit: str, number: int, text: str) -> None:
    kinds = {**KINDS, "event_time": pa.timestamp(unit, "Europe/Berlin")}
    assert events(batch_of_rows([ROW | {"event_time": number}], kinds))[0]["event_time"].startswith(text[:23])


def test_every_way_to_write_text_and_numbers_is_one() -> None:
    texts = [pa.string(), pa.large_string(), pa.dictionary(pa.uint8(), pa.string())]
    numbers = [pa.float64(), pa.float32(), pa.int8(), pa.uint64()]
    found = []
    for text in [*texts, pa.dictionary(pa.int64(), pa.large_string())]:
        for number in numbers:
            columns = {name: pa.array([FULL[name]], TEXT).cast(TEXT) for name in ("prediction_id", "version")}
            columns |= {"event_time": pa.array([FULL["event_time"]], TIME)}
            columns |= {"feature.x": pa.array([2], number), "feature.origin": pa.array(["JFK"]).dictionary_encode()}
            columns["feature.origin"] = columns["feature.origin"].cast(text)
            found.append(events(arrow(columns))[0]["features"])
    assert found == [{"x": 2.0, "origin": "JFK"}] * 16


def wrong(**changed: Any) -> bytes:
    kinds = {"prediction_id": TEXT, "event_time": TIME, "version": TEXT}
    columns = {name: pa.array([ROW[name]], kind) for name, kind in kinds.items()}
    columns |= changed.pop("columns", {})
    return arrow({name: column for name, column in columns.items() if column is not None}, **changed)


LIST = pa.array([[1]])


def spread(rows: int, **columns: int) -> bytes:
    """Little that is much: columns of one text of so many bytes, once in a dictionary, or so long a name."""
    kinds = {"prediction_id": DICTIONARY, "event_time": TIME, "version": DICTIONARY}
    name = "feature." + "n" * columns.pop("name", 1)
    same = ROW | {column: "x" * size for column, size in columns.items()} | {name: True}
    return batch_of_rows([same] * rows, kinds | {name: pa.bool_()} | dict.fromkeys(columns, DICTIONARY))


ONLY_A_SCHEMA = wrong()[: 8 + int.from_bytes(wrong()[4:8], "little")]
BAD: list[tuple[str, bytes, str]] = [
    ("undecodable", b"", "$: no message; expected one schema"),
    ("undecodable", b"x" * 100, "$: no Arrow IPC stream"),
    ("invalid", ONLY_A_SCHEMA, "$: schema; expected one schema, dictionaries, and one record batch"),
    ("invalid", wrong(namespace=""), "metadata namespace: nothing; expected 1 to 200 characters"),
    ("invalid", wrong(model="x" * 201), "metadata model: 201 characters"),
    ("invalid", wrong(columns={"version": None}), "column 'version': missing; expected a column"),
    ("invalid", wrong(columns={"feature.x": LIST}), "column 'feature.x': type list<item: int64>; expected text"),
    ("invalid", wrong(columns={"unheard": LIST}), "column 'unheard': type list"),
    ("invalid", wrong(columns={"feature.x": pa.array([1], TIME)}), "column 'feature.x': type timestamp[ms, tz=UTC]"),
    ("invalid", wrong(columns={"score.late": pa.array(["1"])}), "column 'score.late': type string; expected number"),
    ("invalid", wrong(columns={"event_time": pa.array([1], pa.timestamp("ms"))}), "column 'event_time': type time"),
    ("invalid", wrong(columns={"feature.x": pa.nulls(1)}), "column 'feature.x': type null"),
    ("invalid", batch_of_rows([], KINDS), "$: no rows; expected one at least"),
    ("invalid", wrong() + wrong(), f"$: {len(wrong())} bytes behind the end; expected one stream"),
    ("too_large", batch_of_rows([ROW] * (MAX_ROWS + 1), KINDS), "$: "),
    ("too_large", b"x" * (MAX_EVENT_BYTES + 1), "$: 500,001 bytes; expected at most 500,000"),
    ("too_large", spread(10_000, prediction_id=250_000), "$: 2,50"),
    ("too_large", spread(10_000, name=100_000), "$: 1,00"),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "value", "detail"), BAD, ids=[f"{i}-{bad[2][:30]}" for i, bad in enumerate(BAD)])
def test_what_is_no_batch_says_why(reason: str, value: bytes, detail: str) -> None:
    with pytest.raises(BadBatch) as found:
        read("predictions", value)
    assert str(found.value).startswith(detail)
    assert found.value.reason == reason or not value


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_nothing_is_decompressed(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of 500 kB could otherwise become 100 GB."""
    columns = {name: pa.array(["a" * 1_000] * 10_000) for name in ("prediction_id", "version")}
    columns |= {"event_time": pa.array([0] * 10_000, TIME), "feature.x": pa.array(["b" * 999] * 10_000)}
    columns["version"] = columns["version"].dictionary_encode()
    value = arrow(columns, options=pa.ipc.IpcWriteOptions(compression=codec))
    assert len(value) < MAX_EVENT_BYTES
    before = pa.total_allocated_bytes()
    with pytest.raises(BadBatch, match="compressed buffers; expected none"):
        read("predictions", value)
    assert pa.total_allocated_bytes() - before < MAX_EVENT_BYTES


def test_a_header_says_what_is_a_batch() -> None:
    assert is_batch([("other", None), ("content-type", CONTENT_TYPE.encode())])
    assert not is_batch([("content-type", b"application/json")])
    assert not is_batch(None)


_GOOD = batch_of_rows([FULL, ROW, FULL], KINDS)


@settings(max_examples=1_000)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(_GOOD) - 1), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, len(_GOOD)) | st.just(len(_GOOD)),
    inserted=st.binary(max_size=9),
)
@example(changes=[(0, 0)], cut=len(_GOOD), inserted=b"")
def test_damaged_bytes_are_read_or_refused(changes: list[tuple[int, int]], cut: int, inserted: bytes) -> None:
    damaged = bytearray(_GOOD)
    for place, byte in changes:
        damaged[place] = byte
    value = bytes(damaged[:cut]) + inserted
    try:
        batch = read("predictions", value)
    except BadBatch:
        return
    assert all(isinstance(json.loads(body, parse_constant=str), dict) for body in bodies(batch))


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_bytes_that_are_anything_are_refused(value: bytes) -> None:
    with pytest.raises(BadBatch):
        read("outcomes", value)


@pytest.mark.parametrize("index", [pa.int8(), pa.uint16(), pa.int64()])
@pytest.mark.parametrize("text", [pa.string(), pa.large_string()])
def test_dictionaries_of_any_size_can_be_joined(index: pa.DataType, text: pa.DataType) -> None:
    batches = []
    for number in range(3):
        known = pa.array([f"{number}/{place}" for place in range(100)], text)
        column = pa.DictionaryArray.from_arrays(pa.array([*range(100), None], index), known)
        rows = batch_of_rows([ROW] * 101, KINDS)
        table = pa.ipc.open_stream(rows).read_all()
        table = table.set_column(table.schema.get_field_index("feature.origin"), "feature.origin", column)
        [batch] = table.to_batches()
        batches.append(read("predictions", arrow(dict(zip(table.schema.names, batch.columns, strict=True)))))
    joined = join(batches)
    assert joined.rows == 303
    assert bodies(joined) == [body for batch in batches for body in bodies(batch)]


def test_a_schema_that_was_seen_before_is_read_as_the_first_time() -> None:
    value = batch_of_rows([FULL], KINDS)
    first = read("predictions", value)
    assert read("predictions", value).columns == first.columns
    assert read("predictions", batch_of_rows([FULL], KINDS, model="other")).model == "other"
    with pytest.raises(BadBatch, match="column 'label': missing"):
        read("outcomes", value)
