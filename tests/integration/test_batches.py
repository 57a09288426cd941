"""Batches through real Kafka: counted row by row among events that come alone, refused, replayed and reconciled."""

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from aggregate_world import HOUR, START, model_record, outcome, prediction, progress
from batch_world import DICTIONARY, HEADERS, NUMBER, TEXT, TIME, batch_of_rows
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer
from letters_world import counting, driftline, until

from app import wiring
from app.reconcile import reconcile
from app.trace import trace
from schemas.settings import Settings
from streams.aggregate.routing import partitions_of
from warehouse.client import Warehouse

PARTITIONS = 2
KINDS = {
    "prediction_id": TEXT, "event_time": TIME, "version": DICTIONARY, "feature.x": NUMBER,
    "feature.origin": DICTIONARY, "score.late": NUMBER, "segment.origin": DICTIONARY,
}  # fmt: skip


def row(number: int, **given: Any) -> dict[str, Any]:
    return {
        "prediction_id": f"f{number}", "event_time": START + HOUR, "version": "v1", "feature.x": number / 1024,
        "feature.origin": ("EWR", "LGA")[number % 2], "score.late": number % 128 / 128, "segment.origin": "EWR",
    } | given  # fmt: skip


def homes(numbers: Sequence[int], model: str) -> list[int]:
    """The partition of each id."""
    found: list[int] = partitions_of([f"default/{model}/f{n}".encode() for n in numbers], PARTITIONS).tolist()
    return found


@pytest.fixture
def installation(
    kafka: str, clickhouse_url: str, clickhouse: Client, monkeypatch: pytest.MonkeyPatch
) -> tuple[Settings, Warehouse]:
    env = {
        "bootstrap_servers": kafka, "clickhouse_url": clickhouse_url, "database": str(clickhouse.database),
        "topic_prefix": "batches", "source_partitions": str(PARTITIONS), "checkpoint_seconds": "0.3",
        "session_timeout_ms": "1500",
    }  # fmt: skip
    for name, value in env.items():
        monkeypatch.setenv(f"DRIFTLINE_{name.upper()}", value)
    settings = wiring.load_settings()
    warehouse = wiring.prepare(settings)
    wiring.publish_model(settings, model_record())
    return settings, warehouse


def test_batches_are_counted_row_by_row(installation: tuple[Settings, Warehouse]) -> None:
    settings, warehouse = installation
    producer = Producer(settings.producer())

    def batches(rows: Sequence[dict[str, Any]], model: str = "delay") -> None:
        """One message per partition, as the SDK sends them."""
        at = homes([int(r["prediction_id"][1:]) for r in rows], model)
        for p in range(PARTITIONS):
            value = batch_of_rows([r for r, home in zip(rows, at, strict=True) if home == p], KINDS, model=model)
            producer.produce("batches.predictions", value, partition=p, headers=HEADERS)

    def tallies() -> dict[str, int]:
        return dict(warehouse.rows("SELECT tally, sum(events) FROM tallies GROUP BY tally"))

    batches([row(n) for n in range(100)])
    batches([row(n) for n in range(50, 150)])  # half of them again
    rng = random.Random(1)
    for n in range(140, 160):  # and alone
        body = json.dumps(prediction(n, START + HOUR, rng)).encode()
        producer.produce("batches.predictions", body, f"default/delay/f{n}")
    for n in range(160):
        body = json.dumps(outcome(n, START + 2 * HOUR, "late")).encode()
        producer.produce("batches.outcomes", body, f"default/delay/f{n}")
    batches([row(n) for n in range(200, 210)], "unheard")
    broken = [row(n, **({"score.late": 7.0} if n == 305 else {})) for n in range(300, 310)]
    batches(broken)
    producer.produce("batches.predictions", b"no batch at all", partition=0, headers=HEADERS)
    # All in one partition: half of the ids live in the other one, and are sent on.
    astray = batch_of_rows([row(n) for n in range(400, 420)], KINDS)
    producer.produce("batches.predictions", astray, partition=1, headers=HEADERS)
    assert producer.flush(30) == 0
    sent_on = homes(range(400, 420), "delay").count(0)

    with counting(settings, warehouse):
        until(lambda: tallies().get("predictions.counted") == 160 + 9 + 20 and tallies().get("predictions.dead") == 12)
        until(lambda: tallies().get("outcomes.counted") == 160)

        code, letters = driftline("list")
        dead = {(letter["reason"], letter["prediction_id"]) for letter in letters}
        assert dead == {("unknown_model", f"f{n}") for n in range(200, 210)} | {
            ("invalid", "f305"),
            ("undecodable", None),
        }
        [bad] = [letter["place"] for letter in letters if letter["prediction_id"] == "f305"]
        code, shown = driftline("show", bad)
        assert bad.count("/") == 3, "the place names the row"
        assert "$.scores.late: 7.0; expected" in shown["detail"]

        wiring.publish_model(settings, model_record("unheard"))
        code, found = driftline("replay", "--reason", "unknown_model")
        assert (code, len(found["sent"]), found["refused"]) == (0, 10, [])
        until(lambda: tallies().get("predictions.counted") == 199)
        code, again = driftline("replay", "--reason", "unknown_model")
        assert (code, again["sent"]) == (0, []), "nothing is offered twice"
        for topic in ("predictions", "outcomes"):
            for p in range(PARTITIONS):
                producer.produce(f"batches.{topic}", progress(START + 30 * HOUR), partition=p)
        assert producer.flush(30) == 0

    assert tallies() == {
        "predictions.counted": 199, "predictions.served": 199, "predictions.duplicate": 60, "predictions.dead": 12,
        "predictions.misrouted": sent_on, "outcomes.counted": 160,
    }  # fmt: skip
    assert warehouse.rows("SELECT count(), uniqExact(prediction_id) FROM served WHERE label = 1") == [(160, 160)]
    assert reconcile(settings, warehouse, source="rows").differences == []
    assert reconcile(settings, warehouse, source="topics").differences == []
    verdict_and_place = [node.text.split(", ")[-2:] for node in trace(warehouse, "f75")]
    assert sorted(verdict for verdict, _ in verdict_and_place) == ["counted", "duplicate"]
    assert len({place for _, place in verdict_and_place}) == 2
