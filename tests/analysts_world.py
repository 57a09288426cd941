"""Three weeks of a model as analysts find them: real rows of stage 2, and made-up ones of what surrounds it.

Version 1 serves, version 2 shadows it, is promoted and rolled back. A feature goes missing, then the model gets worse.
"""

import asyncio
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import monitor_world
import pytest

from schemas import tables
from schemas.topics import TopicName
from schemas.windows import from_ms
from streams.monitor.generations import Generations
from streams.monitor.records import Records
from streams.monitor.stage import Stage
from warehouse.client import Warehouse
from warehouse.migrate import migrate

NAMESPACE, MODEL = "demo", "flight-delay"
DAYS = 21
FAULTS = monitor_world.Faults(nulls=(12, 13), bad=(14, 15, 16), slow=(15,))
PROMOTED, ROLLED_BACK = 9, 17
PER_DAY = 2 * monitor_world.ROWS
"""Requests; each is answered by both versions."""

VERSIONS = ("1", "2")


def day(number: float) -> datetime:
    """An instant, in days from the start."""
    return from_ms(monitor_world.START) + timedelta(days=number)


@contextmanager
def named() -> Iterator[None]:
    """Let the monitor's world tell of the model of docs/analysts.md."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitor_world, "NAMESPACE", NAMESPACE)
        patch.setattr(monitor_world, "MODEL", MODEL)
        yield


def build(warehouse: Warehouse) -> None:
    """Migrate and fill an empty database."""
    migrate(warehouse)
    with named():
        _monitor(warehouse)
    _events(warehouse)
    _circle(warehouse)
    _bad_input(warehouse)


def row(table: tables.Table, values: Mapping[str, Any]) -> list[Any]:
    """A row with what is named; the rest is as empty as its type."""
    strangers = values.keys() - table.columns.keys()
    assert not strangers, f"{table.name} has no {strangers}"
    return [values.get(name, _empty(kind)) for name, kind in table.columns.items()]


def _empty(kind: str) -> Any:
    if kind.startswith("Nullable"):
        return None
    if "String" in kind:
        return ""
    return [] if kind.startswith("Array") else 0


class _Models:
    def __init__(self) -> None:
        self._generations = Generations.of([monitor_world.record(of=monitor_world.meaning(monitor_world.reference()))])

    def read(self) -> None:
        """There is nothing more to learn."""

    def of(self, namespace: str, model: str) -> Generations | None:
        return self._generations


def _monitor(warehouse: Warehouse) -> None:
    async def send(_topic: TopicName, _key: bytes, _value: bytes) -> None:
        return None

    messages = monitor_world.in_turn(monitor_world.stream(DAYS, faults=FAULTS, versions=VERSIONS, model=MODEL))
    stage = Stage(Records(warehouse, 2), _Models(), send)
    for message in messages:
        monitor_world.store(warehouse, [message])
        asyncio.run(stage.handle([message]))


def _events(warehouse: Warehouse) -> None:
    """The raw rows of the same days: every twentieth prediction has no label."""
    predictions, outcomes = [], []
    who: dict[str, Any] = {"namespace": NAMESPACE, "model": MODEL}
    for number in range(DAYS):
        for partition in (0, 1):
            rows = monitor_world.rows(
                number, partition, nulls=number in FAULTS.nulls, bad=number in FAULTS.bad, slow=number in FAULTS.slow
            )
            for i in range(monitor_world.ROWS):
                place = number * monitor_world.ROWS + i
                at = day(number + i / monitor_world.ROWS)
                common = {**who, "prediction_id": f"{partition}-{place:05d}", "partition": partition, "ttl_days": 90}
                common |= {"log_ts": at, "seq": 1, "verdict": "counted"}
                temp = float(rows.temp[i])
                features = {"temp": None if math.isnan(temp) else temp, "origin": rows.origin[i]}
                for version in VERSIONS:
                    served = version == ("2" if PROMOTED <= number < ROLLED_BACK else "1")
                    answer: dict[str, Any] = {
                        "version": version,
                        "role": "champion" if served else "shadow",
                        "event_time": at,
                    }
                    answer |= {
                        "score": float(rows.scores[i]),
                        "prediction": "late" if rows.scores[i] >= 0.5 else "on-time",
                    }
                    answer |= {"features": json.dumps(features), "segments": json.dumps({"origin": rows.origin[i]})}
                    answer |= {"latency_ms": float(rows.latency[i]), "scores": "{}", "generation": 1}
                    offset = 2 * place + int(version) - 1
                    predictions.append(row(tables.RAW_PREDICTIONS, {**common, **answer, "offset": offset}))
                if i % 20:
                    late = bool(rows.labels[i])
                    label: dict[str, Any] = {
                        "label": "late" if late else "on-time",
                        "positive": int(late),
                        "offset": place,
                    }
                    label["event_time"] = at + timedelta(hours=1 + i % 7)
                    outcomes.append(row(tables.RAW_OUTCOMES, {**common, **label}))
                if i == 1 and number == 0:
                    # A label of nobody.
                    stray = {"prediction_id": f"{partition}-never", "offset": 200_000}
                    outcomes.append(row(tables.RAW_OUTCOMES, {**common, **label, **stray}))
                if i == 1:
                    label |= {
                        "verdict": "correction",
                        "offset": 100_000 + place,
                        "label": "on-time" if late else "late",
                    }
                    outcomes.append(row(tables.RAW_OUTCOMES, {**common, **label}))
    warehouse.insert(tables.RAW_PREDICTIONS, predictions)
    warehouse.insert(tables.RAW_OUTCOMES, outcomes)


def _circle(warehouse: Warehouse) -> None:
    requests = warehouse.rows("SELECT id, version, `at` FROM audit_log WHERE kind = 'request' ORDER BY `at`")
    audit: list[list[Any]] = []

    def add(kind: str, name: str, cause: str, version: str, at: datetime, **body: Any) -> None:
        known = {"kind": kind, "id": name, "cause_id": cause, "version": version, "at": at, "body": json.dumps(body)}
        audit.append(row(tables.AUDIT, {"namespace": NAMESPACE, "model": MODEL, **known}))

    for name, version, at in requests[:2]:
        metrics = {"auc": 0.71, "log_loss": 0.5}
        body = {"status": "ready", "rows": 900, "holdout_rows": 100, "metrics": metrics}
        add("candidate", f"candidate-{version}", str(name), str(version), at + timedelta(days=1), **body)
    steps: list[tuple[float, str, str, dict[str, Any]]] = [
        (0.0, "verdict", "1", {"stage": "judge", "outcome": "pass", "text": "there is no champion to beat"}),
        (0.0, "rollout", "1", {"step": "first champion", "phase": "steady", "champion": {"version": "1"}}),
        (4.0, "verdict", "2", {"stage": "judge", "outcome": "pass", "text": "not worse on the held-out rows"}),
        (4.0, "rollout", "2", {"step": "start shadow", "phase": "shadow", "champion": {"version": "1"}}),
        (9.0, "verdict", "2", {"stage": "shadow", "outcome": "pass", "text": "e better 24.1"}),
        (9.0, "rollout", "2", {"step": "promote", "phase": "guard", "champion": {"version": "2"}}),
        (17.0, "verdict", "2", {"stage": "guard", "outcome": "fail", "text": "e worse 21.0"}),
        (17.0, "rollout", "2", {"step": "roll back", "phase": "steady", "champion": {"version": "1"}}),
    ]
    for i, (at, kind, version, body) in enumerate(steps):
        add(
            kind,
            f"{kind}-{i}",
            f"verdict-{i - 1}" if kind == "rollout" else f"candidate-{version}",
            version,
            day(at),
            **body,
        )
    warehouse.insert(tables.AUDIT, audit)
    public = {"phase": "steady", "champion": {"version": "1", "artifact": "a"}, "shadows": [], "decided_through": 0}
    decided = {"namespace": NAMESPACE, "model": MODEL, "at": day(DAYS), "body": json.dumps(public), "state": "{}"}
    warehouse.insert(tables.ROLLOUTS, [row(tables.ROLLOUTS, decided)])
    pair = {"namespace": NAMESPACE, "model": MODEL, "challenger": "2", "champion": "1", "n": 150, "difference": -0.004}
    windows = [{**pair, "window_start": day(4 + i), "e_better": 1.9**i, "e_worse": 0.8**i} for i in range(5)]
    warehouse.insert(tables.PAIRED_WINDOWS, [row(tables.PAIRED_WINDOWS, window) for window in windows])


def _bad_input(warehouse: Warehouse) -> None:
    reasons = [
        ("invalid", "$.features.temp: expected number, got string"),
        ("unknown_model", "demo/typo is not declared"),
    ]
    dead = [
        {"topic": "predictions", "offset": 10_000 + i, "log_ts": day(i / 4), "reason": reason, "detail": detail}
        for i in range(12)
        for reason, detail in [reasons[i % 3 == 0]]
    ]
    warehouse.insert(tables.DEAD_LETTERS, [row(tables.DEAD_LETTERS, letter) for letter in dead])
