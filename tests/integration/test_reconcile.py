"""``driftline reconcile`` from the topics of a real Kafka, against what the real stage 1 counted."""

import json
import threading
import time

import msgspec
import pytest
from aggregate_world import DAY, START, events, progress
from clickhouse_connect.driver.client import Client
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from counted_world import RECORDS

from app import reconcile
from schemas.settings import Settings
from schemas.topics import TOPICS
from streams import aggregate
from warehouse.client import Warehouse
from warehouse.migrate import migrate


@pytest.fixture
def settings(kafka: str, clickhouse_url: str, clickhouse: Client) -> Settings:
    made = Settings(
        bootstrap_servers=kafka,
        clickhouse_url=clickhouse_url,
        database=str(clickhouse.database),
        topic_prefix="reconcile",
        source_partitions=2,
        checkpoint_seconds=0.3,
        session_timeout_ms=6_000,
    )
    topics = [NewTopic(made.topic(name), made.partitions(name), config=TOPICS[name].config) for name in TOPICS]
    admin = AdminClient(made.kafka())
    for future in admin.create_topics(topics).values():
        future.result()
    return made


def send(settings: Settings) -> None:
    """Two generations of the model, its events with every fault, and a promise that these are all."""
    producer = Producer(settings.producer())
    for record in RECORDS:
        producer.produce(settings.topic("models"), msgspec.json.encode(record), record.key())
    assert producer.flush(30) == 0
    for sent in events(1_500, seed=5):
        producer.produce(settings.topic(sent.topic), sent.value, sent.key)  # type: ignore[arg-type]
    assert producer.flush(30) == 0
    for topic in ("predictions", "outcomes"):
        for p in range(settings.source_partitions):
            producer.produce(settings.topic(topic), progress(START + 20 * DAY), partition=p)
    assert producer.flush(30) == 0


def count(settings: Settings, warehouse: Warehouse) -> None:
    """Run stage 1 until it has counted everything."""
    stop, deadline = threading.Event(), time.monotonic() + 60
    thread = threading.Thread(
        target=aggregate.run,
        args=(settings, warehouse),
        kwargs={"now": time.monotonic, "owner_id": lambda: "one", "stop": stop},
    )
    thread.start()
    marks: list[int] = []
    while time.monotonic() < deadline and not (
        len(marks) == settings.source_partitions and min(marks) >= START + 20 * DAY
    ):
        heads = warehouse.rows(
            "SELECT watermarks FROM checkpoints ORDER BY `partition`, seq DESC LIMIT 1 BY `partition`"
        )
        marks = [min(json.loads(text).get("default/delay", {"": 0}).values()) for (text,) in heads]
        time.sleep(0.05)
    stop.set()
    thread.join(60)
    assert len(marks) == settings.source_partitions, marks
    assert min(marks) >= START + 20 * DAY, marks


def test_the_topics_the_rows_and_the_counts_agree_until_somebody_meddles(
    settings: Settings, clickhouse: Client
) -> None:
    warehouse = Warehouse(clickhouse, patience=30)
    migrate(warehouse)
    send(settings)
    count(settings, warehouse)

    for source in ("topics", "rows"):
        found = reconcile.reconcile(settings, warehouse, source=source)
        assert found.differences == []
        totals = found.totals["default/delay"]
        assert totals.pop("misrouted") == 0
        assert min(totals.values()) > 0
        assert totals["in"] == sum(totals[verdict] for verdict in ("counted", "late", "duplicate", "correction"))
        assert sum(found.dead.values()) > 0

    warehouse.command("DELETE FROM raw_outcomes WHERE `partition` = 1 AND `offset` = 7")
    (difference,) = reconcile.reconcile(settings, warehouse, source="topics").differences
    assert (difference.view, difference.name, difference.partition) == ("rows", "outcomes", 1)
    assert difference.got == difference.expected - 1
    assert reconcile.command(settings, warehouse, source="topics") == 1
