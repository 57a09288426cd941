"""The law of batches: one that can be read is its rows, each an event in JSON, whatever is in them."""

import json
import math
from typing import Any

import pyarrow as pa
import pytest
from aggregate_world import DAY, HOUR, START, model_record
from batch_world import DICTIONARY, HEADERS, NUMBER, TEXT, TIME, arrow, batch_of_rows, record
from engine_world import Engine
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.columnar import bodies, read
from schemas.events import SourceTopic
from schemas.models import ModelRecord
from schemas.spec import ModelSpec
from streams.aggregate.decode import Record, rows_of
from streams.aggregate.raw import outcome_table, prediction_table
from streams.aggregate.rows import DEAD, EVENT
from warehouse.client import Warehouse


class NoWarehouse(Warehouse):
    """Nothing may be asked: memory is complete."""

    def __init__(self) -> None:
        """No client."""

    def rows(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        raise AssertionError(f"unexpected query: {sql}")


def of_task(task: str) -> ModelRecord:
    """A model with two segments, of any task."""
    spec = ModelSpec.model_validate(
        {
            "task": task,
            "features": [{"name": "x", "kind": "number"}, {"name": "origin", "kind": "string"}],
            "segments": ["origin", "team"],
            **({"positive_class": "late"} if task == "binary" else {}),
            **({"classes": ["1", "late", "true"]} if task == "multiclass" else {}),
            **({"unit": "min"} if task == "regression" else {}),
        }
    )
    return ModelRecord(
        namespace="default", model=task, generation=1, effective_from=0, spec=spec.model_dump(mode="json"),
        reference=None, cause_id="test",
    )  # fmt: skip


TASKS = ("binary", "multiclass", "regression")
RECORDS = [
    model_record(),
    model_record(generation=2, effective_from=START + 2 * DAY),
    *map(of_task, TASKS),
]
NOW = START + 3 * DAY


class Side(Engine):
    """An engine that also tells what became of each event, in the order of the log."""

    def __init__(self, partitions: int) -> None:
        super().__init__(NoWarehouse(), RECORDS, partitions=partitions)
        self.told: list[Any] = []

    def sketch(self) -> None:
        for rows in (*self.work.predictions, *self.work.outcomes):
            columns = (rows.verdict, rows.generation, rows.event_time, rows.window)
            told = zip(*(column.tolist() for column in columns), rows.keys.tolist(), strict=True)
            for kind, event in zip(rows.kind.tolist(), told, strict=True):
                # Nothing but its kind is said of what is no event.
                self.told.append((rows.topic, kind, *(event if kind == EVENT else ())))
        seqs = {0: 1}
        tables = (
            prediction_table(self.work.predictions, self.models, seqs),
            outcome_table(self.work.outcomes, self.models, seqs),
        )
        for table in tables:
            if table is not None:
                self.told.append(sorted(map(str, table.drop_columns(["offset", "row"]).to_pylist())))
        super().sketch()

    def result(self) -> tuple[Any, ...]:
        dead = [(d.reason, d.detail, d.record.value, d.record.key, d.record.headers) for d in self.work.dead]
        astray = [(a.home, a.key, a.record.value) for a in self.work.astray]
        return self.told, dict(self.state.rows()), self.state.watermarks, dead, astray


def alone(messages: list[Record]) -> list[Record]:
    """The events of messages, each as a record of its own."""
    return [row for message in messages for row in rows_of(message)]


def check(messages: list[tuple[list[Record], list[Record]]], partitions: int = 1) -> Side:
    """Count messages as they are, and their events one by one: all is the same."""
    whole, single = Side(partitions), Side(partitions)
    offsets = [0, 0]
    for sides in messages:
        whole.count(*sides)
        whole.sketch()
        rows = [alone(side) for side in sides]
        numbered = []
        for side, records in enumerate(rows):
            numbered.append(
                [
                    Record(r.topic, 0, offsets[side] + i, r.log_ts, r.value, r.headers, r.key)
                    for i, r in enumerate(records)
                ]
            )
            offsets[side] += len(records)
        single.count(*numbered)
        single.sketch()
    for got, expected in zip(whole.result(), single.result(), strict=True):
        assert got == expected
    return whole


NUMBERS = st.sampled_from([None, 0.0, -0.0, 0.5, 1.0, 2.0, 1e-9, 1e300, -3.25, math.nan, math.inf, -math.inf])
TEXTS = st.sampled_from([None, "", "EWR", "JFK", 'a,"b\\', "é", "%s", "late", "x" * 201, "null"])
IDS = st.sampled_from(["a", "b", "c", "d", "e-12", "é", "a\0", "x" * 200, "é" * 150, "", "y" * 201, None])
TIMES = st.sampled_from(
    [START, START + HOUR, START + DAY, START + 2 * DAY, START + 3 * DAY + HOUR, START + 4 * DAY, -1, 253402300800000,
     2**60, None]
)  # fmt: skip
TYPES: dict[Any, Any] = {
    "number": (NUMBER, NUMBERS),
    "text": (TEXT, TEXTS),
    "dictionary": (DICTIONARY, TEXTS),
    "boolean": (pa.bool_(), st.sampled_from([None, True, False])),
    "integer": (pa.int64(), st.sampled_from([None, 0, 1, 2, 2**60])),
}


@st.composite
def tables(draw: st.DrawFn, topic: SourceTopic) -> bytes:
    """A batch of any model, of columns of any kind that the contract allows."""

    def any_of(*kinds: str) -> Any:
        return TYPES[draw(st.sampled_from(kinds))]

    everything = ("number", "text", "dictionary", "boolean", "integer")
    text, number = ("text", "dictionary"), ("number", "integer")
    columns: dict[str, Any] = {"prediction_id": (any_of(*text)[0], IDS), "event_time": (TIME, TIMES)}
    if topic == "outcomes":
        columns["label"] = any_of(*everything)
    else:
        versions = st.sampled_from(["v1", "v2", "v1", None, ""])
        roles = st.sampled_from(["champion", "shadow", "canary", None, "king"])
        columns["version"] = (any_of(*text)[0], versions)
        columns["feature.x"] = any_of("number", "number", "number", "integer", "text")
        optional = {
            "role": (any_of(*text)[0], roles),
            "prediction": any_of(*everything),
            "latency_ms": any_of(*number),
            "feature.origin": any_of("text", "dictionary", "dictionary", "number"),
            "feature.wet": any_of("boolean", "boolean", "text"),
            "feature.100%": any_of(*everything),
            "score.late": any_of(*number),
            "score.1": any_of(*number),
            "score.true": any_of(*number),
            "segment.origin": any_of(*text),
            "segment.team": any_of(*text),
            "unheard": any_of(*everything),
        }
        columns |= {name: optional[name] for name in optional if draw(st.integers(0, 9)) < 8}
    count = draw(st.integers(1, 12))
    tame = draw(st.booleans())
    rows = {}
    for name, (kind, values) in columns.items():
        drawn = draw(st.lists(values, min_size=count, max_size=count))
        if tame and name.startswith("score."):
            drawn = [0.5] * count
        if tame and name == "prediction_id":
            drawn = [value or "a" for value in drawn]
        rows[name] = pa.array(drawn, pa.string()).cast(kind) if kind == DICTIONARY else pa.array(drawn, kind)
    return arrow(rows, model=draw(st.sampled_from(["delay", "delay", *TASKS, "unheard"])))


@settings(max_examples=60)
@given(data=st.data(), partitions=st.sampled_from([1, 1, 3]))
def test_a_batch_is_its_rows(data: st.DataObject, partitions: int) -> None:
    messages = []
    offsets = [0, 0]
    for _ in range(data.draw(st.integers(1, 4))):
        sides: list[list[Record]] = [[], []]
        for side, topic in enumerate(("predictions", "outcomes")):
            for _ in range(data.draw(st.integers(0, 2))):
                value = data.draw(tables(topic))  # type: ignore[arg-type]
                sides[side].append(record(topic, offsets[side], NOW, value))  # type: ignore[arg-type]
                offsets[side] += 1
        messages.append((sides[0], sides[1]))
    check(messages, partitions)


KINDS = {
    "prediction_id": TEXT, "event_time": TIME, "version": DICTIONARY, "feature.x": NUMBER,
    "feature.origin": DICTIONARY, "feature.wet": pa.bool_(), "score.late": NUMBER, "latency_ms": NUMBER,
    "segment.origin": DICTIONARY,
}  # fmt: skip


def row(number: int, at: int = START, **given: Any) -> dict[str, Any]:
    return {
        "prediction_id": f"f{number:05d}", "event_time": at, "version": "v1", "feature.x": number / 1024,
        "feature.origin": ("EWR", "JFK", "LGA", None)[number % 4], "feature.wet": number % 2 == 0,
        "score.late": number % 128 / 128, "latency_ms": 1.0, "segment.origin": ("EWR", None)[number % 2],
    } | given  # fmt: skip


def test_what_is_usual_takes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def careful(*_: object) -> None:
        raise AssertionError("a row was read one by one")

    monkeypatch.setattr("streams.aggregate.read.accept", careful)
    engine = Side(1)
    rows = [row(number, START + number * HOUR) for number in range(50)]
    labels = [
        {"prediction_id": r["prediction_id"], "event_time": r["event_time"] + HOUR, "label": "late"} for r in rows
    ]
    labelled = batch_of_rows(labels, {"prediction_id": TEXT, "event_time": TIME, "label": DICTIONARY})
    engine.count([record("predictions", 0, NOW, batch_of_rows(rows, KINDS))], [record("outcomes", 0, NOW, labelled)])
    assert engine.state.positions == [1, 1]
    engine.sketch()
    assert len(engine.told) == 102
    assert sum(row.n for _, rows in engine.state.rows() for row in rows if row.view == "matured") > 0


def test_duplicates_of_one_batch_late_rows_and_two_versions() -> None:
    rows = [
        row(1), row(1), row(1, version="v2"), row(2, START + 2 * DAY), row(3, START),
        row(2, START + 2 * DAY, **{"score.late": None}), row(4, START + 2 * DAY, prediction_id=""),
        row(5, START + 9 * DAY),
    ]  # fmt: skip
    engine = check([([record("predictions", 0, NOW, batch_of_rows(rows, KINDS))], [])])
    verdicts = [told[2] for told in engine.told if isinstance(told, tuple) and told[1] == EVENT]
    assert verdicts == [0, 2, 0, 0, 1], "counted, duplicate, counted, counted, late"
    dead = [(d.record.row, d.reason, d.record.place) for d in engine.work.dead]
    assert dead == [(5, "missing_score", "0/0/5"), (6, "invalid", "0/0/6"), (7, "from_future", "0/0/7")]


def test_a_row_of_1970_is_dead_alone() -> None:
    value = batch_of_rows([row(1), row(2, 1_300_000_000)], KINDS, model="binary")
    engine = check([([record("predictions", 0, NOW, value)], [])])
    assert [(d.record.row, d.reason) for d in engine.work.dead] == [(1, "too_old")]


def test_rows_in_the_wrong_partition_are_sent_on_one_by_one() -> None:
    engine = check([([record("predictions", 0, NOW, batch_of_rows([row(n) for n in range(20)], KINDS))], [])], 3)
    assert 0 < len(engine.work.astray) < 20
    for item in engine.work.astray:
        assert json.loads(item.record.value or b"")["prediction_id"] in item.key.decode()
        assert item.record.headers is None, "an event in JSON promises no batch"


def test_batches_and_events_may_alternate() -> None:
    first, third = (batch_of_rows([row(n) for n in numbers], KINDS) for numbers in ((1, 2), (1, 3)))
    second = bodies(read("predictions", batch_of_rows([row(2), row(4)], KINDS)))
    messages = [
        record("predictions", 0, NOW, first),
        *(Record("predictions", 0, 1 + i, NOW, body) for i, body in enumerate(second)),
        record("predictions", 3, NOW, third),
    ]
    engine = check([(messages, [])])
    verdicts = [told[2] for told in engine.told if isinstance(told, tuple)]
    assert verdicts == [0, 0, 2, 0, 2, 0]
    assert engine.state.positions == [4, 0]


@pytest.mark.parametrize("joined", [1, 6_000, 256_000_000])
def test_batches_of_models_that_take_turns_are_their_rows(monkeypatch: pytest.MonkeyPatch, joined: int) -> None:
    monkeypatch.setattr("streams.aggregate.batch._JOINED", joined)
    messages = []
    for offset in range(12):
        model = ("delay", "binary", "multiclass")[offset % 3]
        unlike: dict[str, Any] = {"feature.origin": f"A{offset}", "score.late": None}
        rows = [row(20 * offset + n, **unlike) for n in range(5)]
        if model != "multiclass":
            rows = [each | {"score.late": 0.25 + offset / 1024, "prediction": "late"} for each in rows]
        kinds = KINDS | {"prediction": DICTIONARY}
        if offset >= 9:
            # Another shape of the same model, after its others.
            kinds = kinds | {"segment.team": TEXT, "feature.origin": TEXT}
        messages.append(record("predictions", offset, NOW, batch_of_rows(rows, kinds, model=model)))
    engine = check([(messages, [])])
    kinds_of = [told[1] for told in engine.told if isinstance(told, tuple)]
    assert kinds_of == [EVENT if place // 5 % 3 != 2 else DEAD for place in range(60)]


def test_what_is_no_batch_is_one_dead_letter() -> None:
    engine = Side(1)
    good = batch_of_rows([row(1)], KINDS)
    wrong = arrow({name: pa.array([1], pa.float64()) for name in ("prediction_id", "event_time", "version")})
    unlike = [*HEADERS, ("ce_specversion", b"1.0"), ("ce_type", b"io.driftline.prediction.v1")]
    engine.count(
        [
            record("predictions", 0, NOW, b"no arrow"),
            record("predictions", 1, NOW, good),
            record("predictions", 2, NOW, good[:300]),
            record("predictions", 3, NOW, wrong),
            Record("predictions", 0, 4, NOW, good, unlike),
        ],
        [],
    )
    engine.sketch()
    assert [(d.record.offset, d.record.row, d.reason) for d in engine.work.dead] == [
        (0, 0, "undecodable"), (2, 0, "undecodable"), (3, 0, "invalid"), (4, 0, "invalid"),
    ]  # fmt: skip
    assert "column 'prediction_id': type double; expected text. Cast the column." in engine.work.dead[2].detail
    assert engine.state.positions[0] == 5
    assert [told[1] for told in engine.told if isinstance(told, tuple)].count(EVENT) == 1
