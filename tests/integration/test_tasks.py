"""A model of several classes and one of numbers through real Kafka, into numbers that are checked by hand."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from math import log, sqrt
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import Producer

from app import reconcile
from app.wiring import prepare
from retrain.baseline import build_reference
from schemas.events import Outcome, Prediction, Progress, encode, record_key
from schemas.models import ModelRecord, Reference
from schemas.settings import Settings
from schemas.spec import ModelSpec
from schemas.windows import from_ms
from streams import aggregate
from warehouse.client import Warehouse

TESTS = Path(__file__).parent.parent
DAY = 86_400_000
START = 15_706 * DAY
CLASSES = ("cat", "dog", "fox")
COMMON = {
    "features": [{"name": "x", "kind": "number"}],
    "segments": ["site"],
    "alerts": {"min_rows": 4, "consecutive": 1},
    "windows": {"allowed_lateness": "PT0S"},
}
PETS = ModelSpec.model_validate(COMMON | {"task": "multiclass", "classes": CLASSES})
FARES = ModelSpec.model_validate(COMMON | {"task": "regression", "unit": "USD"})

ANSWERS: dict[str, list[tuple[Any, Any]]] = {
    "pets": [("cat", "cat"), ("dog", "dog"), ("fox", "cat"), ("cat", "cat")],
    "fares": [(10.0, 12.0), (20.0, 18.0), (30.0, 30.0), (40.0, 44.0)],
}
"""(prediction, label) of the first day, and of each day of the reference."""

WRONG: dict[str, list[tuple[Any, Any]]] = {
    "pets": [("cat", "fox"), ("dog", "cat"), ("fox", "dog"), ("cat", "dog")],
    "fares": [(10.0, 110.0), (20.0, 120.0), (30.0, -70.0), (40.0, 140.0)],
}
"""Those of the second day."""


def scores(prediction: str) -> dict[str, float]:
    return {name: 0.5 if name == prediction else 0.25 for name in CLASSES}


def reference(model: str, spec: ModelSpec) -> Reference:
    """Six days like the first one."""
    predicted, labels = (pa.array(list(column) * 6) for column in zip(*ANSWERS[model], strict=True))
    rows = len(predicted)
    answered = [scores(p) for p in predicted.to_pylist()] if model == "pets" else []
    return build_reference(
        spec,
        event_time=START - 6 * DAY + np.repeat(np.arange(6), 4) * DAY,
        features={"x": pa.array(np.arange(rows, dtype=np.float64))},
        segments={"site": pa.array(["a", "b"] * (rows // 2))},
        prediction=predicted,
        scores={name: pa.array([one[name] for one in answered]) for name in CLASSES} if answered else None,
        label=labels,
    )


class Installation:
    """Topics, tables, and the two stages: the first in a thread, the second in a process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.warehouse: Warehouse = prepare(settings, patience=60)
        self.producer = Producer(settings.producer())

    def declare(self, model: str, spec: ModelSpec) -> None:
        record = ModelRecord("default", model, 0, 0, spec.model_dump(mode="json"), reference(model, spec), "")
        self.producer.produce(self.settings.topic("models"), msgspec.json.encode(record), record.key())
        assert self.producer.flush(30) == 0

    def predict(self, model: str, number: int, prediction: Any, **more: Any) -> None:
        event = Prediction(
            namespace="default", model=model, version="1", prediction_id=f"p{number}",
            event_time=from_ms(START + number // 4 * DAY + number), features={"x": float(number)},
            prediction=prediction, segments={"site": "ab"[number % 2]}, **more,
        )  # fmt: skip
        self.producer.produce(self.settings.topic("predictions"), encode(event), record_key(event))

    def label(self, model: str, number: int, label: Any) -> None:
        event = Outcome(
            namespace="default", model=model, prediction_id=f"p{number}", label=label,
            event_time=from_ms(START + number // 4 * DAY + DAY // 2),
        )  # fmt: skip
        self.producer.produce(self.settings.topic("outcomes"), encode(event), record_key(event))

    def promise(self, until: int) -> None:
        for model in ANSWERS:
            value = encode(Progress(namespace="default", model=model, event_time=from_ms(until)))
            for partition in range(self.settings.source_partitions):
                for topic in ("predictions", "outcomes"):
                    self.producer.produce(self.settings.topic(topic), value, partition=partition)

    def count(self, done: Callable[[], bool]) -> None:
        """Run stage 1 until it is so."""
        assert self.producer.flush(30) == 0
        stop, deadline = threading.Event(), time.monotonic() + 60
        options = {"now": time.monotonic, "owner_id": lambda: str(deadline), "stop": stop}
        thread = threading.Thread(target=aggregate.run, args=(self.settings, self.warehouse), kwargs=options)
        thread.start()
        while not done() and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()
        thread.join(60)
        assert done()

    def decide(self, done: Callable[[], bool], log_file: Path) -> None:
        """Run stage 2 until it is so."""
        environment = {
            "DRIFTLINE_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "DRIFTLINE_CLICKHOUSE_URL": self.settings.clickhouse_url,
            "DRIFTLINE_DATABASE": self.settings.database,
            "DRIFTLINE_TOPIC_PREFIX": self.settings.topic_prefix,
            "DRIFTLINE_SOURCE_PARTITIONS": str(self.settings.source_partitions),
            "DRIFTLINE_STORE": str(self.settings.store),
            "PYTHONPATH": str(TESTS.parent),
        }
        command, deadline = [sys.executable, str(TESTS / "monitor_process.py")], time.monotonic() + 60
        with log_file.open("wb") as out:
            process = subprocess.Popen(command, env=os.environ | environment, stdout=out, stderr=out)
        while not done() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        process.terminate()
        process.wait(30)
        assert done(), log_file.read_text()[-2_000:]


@pytest.fixture(scope="module")
def counted(kafka: str, clickhouse_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Both models after two days: one like the reference, one of wrong answers; stage 1 was restarted before labels."""
    root = tmp_path_factory.mktemp("tasks")
    there = Installation(
        Settings(
            bootstrap_servers=kafka, clickhouse_url=clickhouse_url, database="tasks", topic_prefix="tasks",
            source_partitions=2, checkpoint_seconds=0.3, session_timeout_ms=6_000, store=root / "store",
        )
    )  # fmt: skip
    there.declare("pets", PETS)
    there.declare("fares", FARES)
    days = {model: [*ANSWERS[model], *WRONG[model]] for model in ANSWERS}
    for number, (animal, _) in enumerate(days["pets"]):
        there.predict("pets", number, animal, scores=scores(animal))
    for number, (fare, _) in enumerate(days["fares"]):
        there.predict("fares", number, fare)
    there.predict("pets", 100, "bird")
    there.predict("pets", 101, "cat", scores={"cat": 0.5})
    there.predict("fares", 102, "12.5")
    there.count(lambda: read(there, "SELECT count() FROM predictions") == 16)
    for model, answers in days.items():
        for number, (_, label) in enumerate(answers):
            there.label(model, number, label)
    there.label("pets", 0, "dog")
    there.label("fares", 103, True)
    there.label("pets", 104, "bird")
    there.promise(START + 4 * DAY)
    there.count(lambda: promised(there) >= START + 4 * DAY)
    there.decide(lambda: read(there, "SELECT count() FROM reports FINAL") == 8, root / "monitor.log")
    yield there
    there.warehouse.command("DROP DATABASE tasks")


def read(there: Installation, sql: str) -> Any:
    return there.warehouse.rows(sql)[0][0]


def promised(there: Installation) -> int:
    """Event time that every partition has passed for both models."""
    heads = there.warehouse.rows("SELECT watermarks FROM heads FINAL")
    marks = [json.loads(text).get(f"default/{model}", {"": 0}).values() for (text,) in heads for model in ANSWERS]
    return min((min(mark) for mark in marks), default=0) if len(heads) == 2 else 0


def metrics(there: Installation, model: str, view: str, *, day: int = 0, segment: str = "") -> dict[str, float]:
    rows = there.warehouse.rows(
        "SELECT if(name = '', metric, concat(name, '.', metric)), value FROM metric_values "
        "WHERE model = {model:String} AND view = {view:String} AND segment = {segment:String} AND version = '1' "
        "AND toUnixTimestamp64Milli(window_start) = {start:Int64} AND value IS NOT NULL",
        {"model": model, "view": view, "segment": segment, "start": START + day * DAY},
    )
    return dict(rows)


def test_several_classes(counted: Installation) -> None:
    for view in ("tested", "performance"):
        assert metrics(counted, "pets", view) == pytest.approx(
            {
                "accuracy": 0.75,
                "error_rate": 0.25,
                "log_loss": (3 * log(2) + log(4)) / 4,
                # cat 4/5, dog 1, fox 0; precision 1, 1, 0; recall 2/3, 1, 0
                "f1_macro": 1.8 / 3,
                "precision_macro": 2 / 3,
                "recall_macro": 5 / 9,
            },
            abs=1e-6,
        )
    answers = metrics(counted, "pets", "score")
    assert (answers["mean"], answers["cat.share"], answers["dog.share"], answers["fox.share"]) == (0.5, 0.5, 0.25, 0.25)
    assert abs(answers["prediction_psi"]) < 0.1
    assert metrics(counted, "pets", "tested", day=1)["accuracy"] == 0


def test_numbers(counted: Installation) -> None:
    for view in ("tested", "performance"):
        assert metrics(counted, "fares", view) == pytest.approx(
            {"mae": 2.0, "rmse": sqrt(6), "bias": -1.0, "r2": 0.96, "mean_label": 26.0, "clipped": 0.0}, abs=1e-6
        )
    answers = metrics(counted, "fares", "score")
    assert (answers["mean"], answers["minimum"], answers["maximum"], answers["clipped"]) == (25.0, 10.0, 40.0, 0.0)
    assert answers["psi"] == pytest.approx(0, abs=1e-9)
    assert metrics(counted, "fares", "tested", day=1)["mae"] == 100


def test_a_day_of_wrong_answers_pages_in_the_unit_of_the_task(counted: Installation) -> None:
    told = dict(counted.warehouse.rows("SELECT model, any(summary) FROM incidents FINAL GROUP BY model"))
    assert told == {
        "fares": "version 1 predicts worse than usual: it is off by 100 USD on average, usually by about 2 USD",
        "pets": "version 1 predicts worse than usual: loss 1.3863, usually about 0.8664",
    }


def test_what_is_no_answer_of_the_task_is_a_dead_letter(counted: Installation) -> None:
    rows = counted.warehouse.rows("SELECT reason, detail FROM dead_letters FINAL ORDER BY reason, detail")
    classes = '"cat", "dog", "fox" (classes). Spell it as the spec does; a new class needs a model of another name.'
    assert rows == [
        (
            "missing_score",
            '$.scores: {"cat": 0.5}; expected a probability of every class, or none at all; "dog", "fox" has none. '
            "Send what is missing, spelled as in the spec, or leave scores out.",
        ),
        ("unknown_label", f'$.label: "bird"; expected {classes}'),
        (
            "unknown_label",
            "$.label: true; expected a number (task regression). Send the number that was predicted or measured.",
        ),
        (
            "wrong_prediction",
            '$.prediction: "12.5"; expected a number (task regression). Send the number without quotes.',
        ),
        ("wrong_prediction", f'$.prediction: "bird"; expected {classes}'),
    ]


def test_analysts_see_the_answer_and_the_label_of_any_task(counted: Installation) -> None:
    rows = counted.warehouse.rows(
        "SELECT model, prediction, score, label, label_text, label_value FROM served WHERE prediction_id = 'p2' "
        "ORDER BY model"
    )
    assert rows == [("fares", "30", 30.0, None, "30", 30.0), ("pets", "fox", 0.5, None, "cat", None)]
    assert counted.warehouse.rows("SELECT model, counted_label, later_label FROM label_corrections") == [
        ("pets", "cat", "dog")
    ]


@pytest.mark.parametrize("source", ["topics", "rows"])
def test_counting_again_agrees(counted: Installation, source: reconcile.Source) -> None:
    found = reconcile.reconcile(counted.settings, counted.warehouse, source=source)
    assert found.differences == []
    assert found.totals["default/pets"]["correction"] == 1
    assert found.totals["default/fares"]["in"] == 16
