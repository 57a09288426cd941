"""Dataset and paired observation against hand computation, on the real engine; the fit in its process."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from retraining_world import DAY, MODEL, NAMESPACE, SPEC, T0, World, day, request

from retrain import dataset, examine, paired
from retrain.fit import load_model, score
from retrain.state import Contender
from retrain.store import Store
from retrain.training import Training
from schemas.lifecycle import Candidate, Request
from schemas.models import Reference
from schemas.spec import ModelSpec
from schemas.tables import RAW_OUTCOMES, RAW_PREDICTIONS
from schemas.windows import from_ms, to_ms
from warehouse.client import Warehouse
from warehouse.migrate import migrate


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    house = Warehouse(clickhouse)
    migrate(house)
    return house


def ids(table: pa.Table) -> list[str]:
    found: list[str] = table["prediction_id"].to_pylist()
    return found


def prediction(name: str, offset: int, **changed: object) -> list[object]:
    row = {
        "namespace": NAMESPACE, "model": MODEL, "prediction_id": name, "version": "1", "partition": 0, "offset": offset,
        "row": 0,
        "log_ts": from_ms(T0), "event_time": from_ms(day(1)), "role": "champion", "prediction": "", "score": 0.5,
        "scores": "{}", "features": '{"x": 1.5}', "segments": "{}", "latency_ms": None, "verdict": "counted",
        "generation": 1, "seq": 1, "ttl_days": 90,
    }  # fmt: skip
    return list((row | changed).values())


def outcome(name: str, offset: int, **changed: object) -> list[object]:
    row = {
        "namespace": NAMESPACE, "model": MODEL, "prediction_id": name, "partition": 0, "offset": offset,
        "row": 0,
        "log_ts": from_ms(T0), "event_time": from_ms(day(1)), "label": "1", "positive": 1, "value": None,
        "verdict": "counted", "seq": 1, "ttl_days": 90,
    }  # fmt: skip
    return list((row | changed).values())


def test_only_what_the_request_may_see(warehouse: Warehouse) -> None:
    asked = msgspec.structs.replace(request(day(3)), as_of={"0": (100, 100), "1": (5, 5)})
    warehouse.insert(
        RAW_PREDICTIONS,
        [
            prediction("seen", 1),
            prediction("late is seen", 2, verdict="late"),
            prediction("other partition", 4, partition=1),
            prediction("unknown partition", 4, partition=7),
            prediction("above the offset", 100),
            prediction("above the offset of partition 1", 5, partition=1),
            prediction("duplicate", 3, verdict="duplicate"),
            prediction("shadow", 4, role="shadow"),
            prediction("before the history", 5, event_time=from_ms(T0 - 1)),
            prediction("at the end", 6, event_time=from_ms(day(3))),
            prediction("last millisecond", 7, event_time=from_ms(day(3) - 1)),
            prediction("label too late", 8),
            prediction("label above the offset", 9),
            prediction("label of no class", 10),
            prediction("label duplicate", 11),
            prediction("unlabelled", 12),
            prediction("other model", 13, model="else"),
            prediction("seen", 14, score=0.9, version="2"),
        ],
    )
    named = [
        "seen",
        "late is seen",
        "above the offset",
        "duplicate",
        "shadow",
        "before the history",
        "at the end",
        "other model",
    ]
    warehouse.insert(
        RAW_OUTCOMES,
        [outcome(name, i) for i, name in enumerate(named)]
        + [
            outcome("other partition", 4, partition=1),
            outcome("unknown partition", 1, partition=7),
            outcome("above the offset of partition 1", 1, partition=1),
            outcome("last millisecond", 20, event_time=from_ms(day(3) - 1), positive=0),
            outcome("label too late", 21, event_time=from_ms(day(3))),
            outcome("label above the offset", 100),
            outcome("label of no class", 22, positive=None),
            outcome("label duplicate", 23, verdict="duplicate"),
        ],
    )
    table = dataset.read(warehouse, asked, SPEC)
    assert ids(table) == ["late is seen", "other partition", "seen", "last millisecond"]
    assert table["score"].to_pylist() == [0.5] * 4, "of one id the earliest prediction served"
    assert table["label"].to_pylist() == [1, 1, 1, 0]


def test_a_verdict_that_was_decided_again_wins(warehouse: Warehouse) -> None:
    warehouse.insert(RAW_PREDICTIONS, [prediction("a", 1, verdict="duplicate", seq=2), prediction("b", 2, seq=2)])
    warehouse.insert(RAW_PREDICTIONS, [prediction("a", 1, seq=1), prediction("b", 2, verdict="duplicate", seq=1)])
    warehouse.insert(RAW_OUTCOMES, [outcome("a", 1), outcome("b", 2)])
    assert ids(dataset.read(warehouse, request(day(3)), SPEC)) == ["b"]


def test_features_keep_their_kinds_and_nulls(warehouse: Warehouse) -> None:
    given = {"x": 0.1 + 0.2, "carrier": "Ünïted `\\'", "weekend": True, "unknown": 1}
    warehouse.insert(
        RAW_PREDICTIONS,
        [
            prediction("a", 1, features=json.dumps(given), segments='{"origin": "EWR"}'),
            prediction("b", 2, features='{"x": null, "carrier": null, "weekend": null}'),
            prediction("c", 3, features="{}"),
            prediction("d", 4, features='{"x": 3, "weekend": false}'),
        ],
    )
    warehouse.insert(RAW_OUTCOMES, [outcome(name, i) for i, name in enumerate("abcd")])
    table = dataset.read(warehouse, request(day(3)), SPEC)
    assert table["feature.x"].to_pylist() == [0.1 + 0.2, None, None, 3.0]
    assert table["feature.carrier"].to_pylist() == ["Ünïted `\\'", None, None, None]
    assert table["feature.weekend"].to_pylist() == [True, None, None, False]
    assert table["segment.origin"].to_pylist() == ["EWR", None, None, None]
    assert table.schema.field("label").type == pa.int8()
    assert dataset.from_parquet(dataset.to_parquet(table)).equals(table)


def test_odd_feature_names(warehouse: Warehouse) -> None:
    names = ["a b", "back`tick", "back\\slash", "quote'", "1"]
    spec = ModelSpec.model_validate({"positive_class": "1", "features": [{"name": n, "kind": "number"} for n in names]})
    warehouse.insert(RAW_PREDICTIONS, [prediction("a", 1, features=json.dumps({n: i for i, n in enumerate(names)}))])
    warehouse.insert(RAW_OUTCOMES, [outcome("a", 1)])
    table = dataset.read(warehouse, request(day(3)), spec)
    assert [table[f"feature.{n}"][0].as_py() for n in names] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_nothing_seen_is_an_empty_table(warehouse: Warehouse) -> None:
    table = dataset.read(warehouse, request(day(3)), SPEC)
    assert len(table) == 0
    assert table.schema.field("feature.carrier").type == pa.string()


def test_the_same_request_gives_the_same_bytes_in_one_order(warehouse: Warehouse) -> None:
    world = World(warehouse, rows=100)
    for index in (4, 2, 0, 3, 1):
        world.predict(index, "1", np.full(100, 0.5))
        world.label(index)
    asked = request(day(4), holdout_days=2, offsets=400)
    table = dataset.read(warehouse, asked, SPEC)
    first = dataset.to_parquet(table)
    pairs = list(zip(table["event_time"].to_pylist(), ids(table), strict=True))
    assert pairs == sorted(pairs)
    assert len(pairs) == 400
    world.predict(6, "1", np.full(100, 0.5))  # rows above the offsets
    world.label(6)
    warehouse.command("OPTIMIZE TABLE raw_predictions FINAL")
    assert dataset.to_parquet(dataset.read(warehouse, asked, SPEC)) == first
    assert set(table["window_start"].to_pylist()) == {day(i) for i in range(4)}


def test_training_and_held_out_rows_do_not_meet(warehouse: Warehouse) -> None:
    world = World(warehouse, rows=50)
    for index in range(6):
        world.predict(index, "1", None)
        world.label(index)
    asked = request(day(6), holdout_days=2)
    table = dataset.read(warehouse, asked, SPEC)
    training, held = dataset.split(table, asked.holdout_from)
    assert max(training["event_time"].to_pylist()) < asked.holdout_from <= min(held["event_time"].to_pylist())
    assert not set(ids(training)) & set(ids(held))
    assert len(training) + len(held) == len(table) == 300
    assert len(held) == 100


def test_paired_observation_equals_hand_computation(warehouse: Warehouse) -> None:
    def pair(name: str, offset: int, new: float | None, old: float | None, **changed: object) -> list[list[object]]:
        return [
            prediction(name, offset, version="2", score=new, role="shadow", **changed),
            prediction(name, offset + 1, version="1", score=old, **changed),
        ]

    warehouse.insert(
        RAW_PREDICTIONS,
        [
            *pair("both", 0, 0.9, 0.6),
            *pair("negative", 2, 0.3, 0.2),
            *pair("not counted", 4, 0.9, 0.1, verdict="late"),
            *pair("next window", 6, 0.9, 0.1, event_time=from_ms(day(2))),
            *pair("label at maturity", 8, 0.9, 0.1),
            *pair("label above", 10, 0.9, 0.1),
            *pair("unlabelled", 12, 0.9, 0.1),
            *pair("no score", 14, None, 0.1),
            prediction("one only", 16, version="2", score=0.9),
            *pair("half above", 99, 0.9, 0.1),
        ],
    )
    matured = from_ms(day(3))
    warehouse.insert(
        RAW_OUTCOMES,
        [
            outcome("both", 0, event_time=matured - timedelta(milliseconds=1)),
            outcome("negative", 1, positive=0),
            outcome("not counted", 2),
            outcome("next window", 3),
            outcome("label at maturity", 4, event_time=matured),
            outcome("label above", 100),
            outcome("no score", 6),
            outcome("one only", 7),
            outcome("half above", 8),
        ],
    )
    seen = paired.observe(
        warehouse, namespace=NAMESPACE, model=MODEL, challenger="2", champion="1", window_start=day(1), width=DAY,
        maturity=DAY, as_of={"0": (100, 100)},
    )  # fmt: skip
    expected = ((0.9 - 1) ** 2 - (0.6 - 1) ** 2 + 0.3**2 - 0.2**2) / 2
    assert seen.n == 2
    assert seen.difference == pytest.approx(expected, abs=1e-11)
    other = paired.observe(
        warehouse, namespace=NAMESPACE, model=MODEL, challenger="1", champion="2", window_start=day(1), width=DAY,
        maturity=DAY, as_of={"0": (100, 100)},
    )  # fmt: skip
    assert (other.n, other.difference) == (2, -(seen.difference or 0))
    none = paired.observe(
        warehouse, namespace=NAMESPACE, model=MODEL, challenger="9", champion="1", window_start=day(1), width=DAY,
        maturity=DAY, as_of={"0": (100, 100)},
    )  # fmt: skip
    assert (none.n, none.difference) == (0, None)


class OneSpec:
    """A book with one generation."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    def record(self, *_: object) -> "OneSpec":
        return self

    def parsed(self) -> ModelSpec:
        return self.spec


def train(warehouse: Warehouse, store: Store, asked: Request, spec: ModelSpec = SPEC) -> Candidate:
    return Training(warehouse, store, OneSpec(spec), asked).run()  # type: ignore[arg-type]


@pytest.fixture
def world(warehouse: Warehouse) -> World:
    made = World(warehouse)
    for index in range(12):
        made.predict(index, "1", None)
        made.label(index)
    return made


def test_first_training_makes_model_manifest_and_reference(warehouse: Warehouse, world: World, tmp_path: Path) -> None:
    store = Store(tmp_path)
    asked = request(day(10))
    answer = train(warehouse, store, asked)
    assert (answer.status, answer.version, answer.rows, answer.holdout_rows) == ("ready", "1", 2_000, 0)
    manifest = json.loads(store.get(answer.manifest))
    assert set(manifest["files"]) == {"artifact", "snapshot", "reference"}
    assert manifest["parent"] is None
    reference = msgspec.json.decode(store.get(manifest["files"]["reference"]), type=Reference)
    assert sorted(reference.features) == ["", "origin=EWR", "origin=JFK"]
    assert [f.name for f in reference.features[""]] == ["x", "carrier", "weekend"]
    assert (reference.start, reference.end, reference.rows) == (day(0), day(10), 2_000)
    assert sum(reference.score_counts) == sum(reference.window_rows) == 2_000
    assert len(reference.window_losses) == 10
    assert 0.8 < answer.metrics["auc"] < 1
    assert answer.metrics["log_loss"] == pytest.approx(np.mean(reference.window_losses), abs=1e-6)
    assert manifest["importances"]["x"] > 10 * abs(manifest["importances"]["carrier"])
    rows = dataset.features_only(dataset.from_parquet(store.get(answer.snapshot)), SPEC.features)
    assert np.all(score(load_model(store.get(answer.artifact)), rows) <= 1)
    again = train(warehouse, store, asked)
    assert (again.probe, again.snapshot, again.metrics) == (answer.probe, answer.snapshot, answer.metrics)


def test_later_training_leaves_the_held_out_rows_alone(warehouse: Warehouse, world: World, tmp_path: Path) -> None:
    store = Store(tmp_path)
    asked = request(day(12), 2, "schedule", holdout_days=5)
    answer = train(warehouse, store, asked)
    assert (answer.rows, answer.holdout_rows) == (1_400, 1_000)
    assert json.loads(store.get(answer.manifest))["parent"] == "1"
    champion = Contender("1", answer.artifact, answer.manifest, "bootstrap")
    assert examine.examine(store, SPEC, asked, answer, champion).outcome == "pass"
    for address in (answer.artifact, answer.snapshot):
        path = store.path(address)
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        found = examine.examine(store, SPEC, asked, answer, champion)
        assert found.outcome == "error"
        assert address in found.text
        path.write_bytes(whole)


def test_a_fit_that_cannot_be_done_is_an_answer(warehouse: Warehouse, world: World, tmp_path: Path) -> None:
    answer = train(warehouse, Store(tmp_path), request(day(3), 2, "schedule", holdout_days=5))
    assert (answer.status, answer.manifest) == ("error", "")
    assert "no labelled row before the held-out range" in answer.error


@pytest.mark.parametrize(("limit", "said"), [({"max_runtime": "PT0.3S"}, "max_runtime"), ({"max_memory_mb": 256}, "")])
def test_limits_end_a_fit(
    warehouse: Warehouse, world: World, tmp_path: Path, limit: dict[str, object], said: str
) -> None:
    raw = SPEC.model_dump(mode="json")
    raw["retraining"] |= limit
    answer = train(warehouse, Store(tmp_path), request(day(10)), ModelSpec.model_validate(raw))
    assert answer.status == "error"
    assert said in answer.error
    assert answer.error


def test_300_000_rows_are_read(warehouse: Warehouse, record_property: Callable[[str, object], None]) -> None:
    """How long it takes is in the report; a machine that does something else does not fail it."""
    n = 300_000
    features = json.dumps({"x": 1.25, "carrier": "AA", "weekend": False})
    warehouse.command(
        f"""INSERT INTO raw_predictions (* EXCEPT written_at)
        SELECT '{NAMESPACE}', '{MODEL}', toString(number), '1', 0, number, 0, now64(3),
        fromUnixTimestamp64Milli(toInt64({T0} + number)), 'champion', '', 0.5, '{{}}', '{features}',
        '{{"origin": "EWR"}}', NULL, 'counted', 1, 1, 90 FROM numbers({n})"""  # noqa: S608  made of constants
    )
    warehouse.command(
        f"""INSERT INTO raw_outcomes (* EXCEPT written_at)
        SELECT '{NAMESPACE}', '{MODEL}', toString(number), 0, number, 0, now64(3),
        fromUnixTimestamp64Milli(toInt64({T0} + number)), '1', 1, NULL, 'counted', 1, 90 FROM numbers({n})"""  # noqa: S608
    )
    started = time.perf_counter()
    table = dataset.read(warehouse, request(day(3)), SPEC)
    data = dataset.to_parquet(table)
    seconds = time.perf_counter() - started
    assert len(table) == n
    assert to_ms(from_ms(table["event_time"][-1].as_py())) == T0 + n - 1
    record_property("seconds", round(seconds, 1))
    record_property("bytes", len(data))
