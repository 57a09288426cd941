"""A model is declared after its events came: they are sent again, counted once each, and nothing is lost on the way."""

import json
import random
from typing import Any

import pytest
from aggregate_world import HOUR, START, model_record, outcome, prediction, progress
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer
from letters_world import counting, driftline, until

from app import wiring
from app.reconcile import reconcile

EVENTS = 20


def test_events_of_a_model_that_is_declared_later_are_counted_once(
    kafka: str, clickhouse_url: str, clickhouse: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {
        "bootstrap_servers": kafka, "clickhouse_url": clickhouse_url, "database": str(clickhouse.database),
        "topic_prefix": "replayed", "source_partitions": "2", "checkpoint_seconds": "0.3", "session_timeout_ms": "1500",
    }  # fmt: skip
    for name, value in env.items():
        monkeypatch.setenv(f"DRIFTLINE_{name.upper()}", value)
    settings = wiring.load_settings()
    warehouse = wiring.prepare(settings)
    producer = Producer(settings.producer())
    rng = random.Random(1)

    def send(topic: Any, body: bytes, key: str) -> None:
        producer.produce(settings.topic(topic), body, key)

    for number in range(EVENTS):
        send("predictions", json.dumps(prediction(number, START + HOUR, rng)).encode(), f"f{number}")
        send("outcomes", json.dumps(outcome(number, START + 2 * HOUR, "late")).encode(), f"f{number}")
    send("predictions", b"never an event", "f0")
    assert producer.flush(30) == 0

    def tallies() -> dict[str, int]:
        return dict(warehouse.rows("SELECT tally, sum(events) FROM tallies GROUP BY tally"))

    with counting(settings, warehouse):
        until(lambda: tallies().get("predictions.dead") == EVENTS + 1 and tallies().get("outcomes.dead") == EVENTS)
        code, found = driftline("replay", "--reason", "unknown_model")
        assert (code, found["sent"], len(found["refused"])) == (1, [], 2 * EVENTS), "nothing has changed yet"

        wiring.publish_model(settings, model_record())
        code, found = driftline("replay", "--all", "--dry-run")
        assert (code, len(found["sent"])) == (1, 2 * EVENTS)
        [refused] = found["refused"]
        assert refused["problem"].startswith("undecodable: byte 4 of 14: near never an event; expected JSON")

        code, found = driftline("replay", "--reason", "unknown_model")
        assert (code, len(found["sent"]), found["refused"]) == (0, 2 * EVENTS, [])
        until(lambda: tallies().get("outcomes.counted") == EVENTS and tallies().get("predictions.counted") == EVENTS)

        code, again = driftline("replay", "--reason", "unknown_model")
        assert (code, again) == (0, {"sent": [], "refused": [], "already": []}), "nothing is offered twice"
        code, again = driftline("replay", found["sent"][0]["place"])
        assert (code, again["already"]) == (0, [found["sent"][0]["place"]])

        # As after a crash between sending and writing it down: sent twice, counted once.
        warehouse.command("TRUNCATE TABLE dead_letter_replays")
        code, found = driftline("replay", "--reason", "unknown_model")
        assert (code, len(found["sent"])) == (0, 2 * EVENTS)
        for topic in ("predictions", "outcomes"):
            for p in range(2):
                producer.produce(f"replayed.{topic}", progress(START + 30 * HOUR), partition=p)
        assert producer.flush(30) == 0
        duplicates = ("predictions.duplicate", "outcomes.duplicate")
        until(lambda: [tallies().get(name) for name in duplicates] == [EVENTS, EVENTS])
        code, shown = driftline("show", found["sent"][0]["place"])
        assert (code, shown["replayed"]["became"]) == (0, "duplicate")

    assert tallies() == {
        "predictions.counted": EVENTS, "predictions.served": EVENTS, "predictions.duplicate": EVENTS,
        "predictions.dead": EVENTS + 1, "outcomes.counted": EVENTS, "outcomes.duplicate": EVENTS,
        "outcomes.dead": EVENTS,
    }  # fmt: skip
    assert warehouse.rows("SELECT count() FROM served WHERE label = 1") == [(EVENTS,)]
    # The letters stay what they were, whatever was declared since.
    assert reconcile(settings, warehouse, source="rows").differences == []
    assert reconcile(settings, warehouse, source="topics").differences == []
