"""The role ``ingest`` on a real Kafka: a customer's topics become driftline's events, once, whatever dies."""

import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import threads
from clickhouse_connect.driver.client import Client
from commits import committed
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from ingest_world import DOCUMENT, START, chargeback, decision, record
from rich.console import Console

from app import sources
from app.dead_letters import letters
from app.dead_letters.replay import replay
from schemas.models import ModelRecord
from schemas.settings import Settings
from schemas.topics import TOPICS, TopicName
from streams import ingest
from streams.ingest.tally import Tally
from warehouse.client import Warehouse
from warehouse.migrate import migrate

ROOT = Path(__file__).parents[2]
HEADERS: list[tuple[str, str | bytes | None]] = [("model-version", b"7")]
_numbers = itertools.count(1)


@dataclass
class Installation:
    """driftline's topics, a database, and a shop's topics ``shop<n>.*``."""

    settings: Settings
    warehouse: Warehouse
    shop: str
    admin: AdminClient = field(init=False)
    producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        self.admin = AdminClient(self.settings.kafka())
        self.producer = Producer(self.settings.producer())

    def create(self, name: str, partitions: int, config: dict[str, str]) -> None:
        self.admin.create_topics([NewTopic(name, partitions, config=config)])[name].result()

    def record(self, **source: Any) -> ModelRecord:
        return record(DOCUMENT.replace("shop.", f"{self.shop}."), **source)

    def publish(self, made: ModelRecord) -> None:
        self.send(self.settings.topic("models"), made.key(), msgspec.json.encode(made), headers=None)

    def send(self, topic: str, key: bytes | None, value: bytes | None, **options: Any) -> None:
        self.producer.produce(topic, value, key, **({"headers": HEADERS} | options))
        assert self.producer.flush(30) == 0

    def decide(self, numbers: range) -> None:
        for number in numbers:
            body = json.dumps(decision(number)).encode()
            self.producer.produce(f"{self.shop}.decisions", body, str(number).encode(), headers=HEADERS)
        assert self.producer.flush(30) == 0

    def log(self, name: TopicName) -> list[Message]:
        """All visible records of a topic, partition after partition."""
        consumer = Consumer(self.settings.consumer("reader", **{"enable.partition.eof": True}))
        found: list[Message] = []
        for partition in range(self.settings.partitions(name)):
            consumer.assign([TopicPartition(self.settings.topic(name), partition, 0)])
            ended = False
            while not ended:
                for message in consumer.consume(1_000, 1.0):
                    ended = message.error() is not None
                    found += [] if ended else [message]
        consumer.close()
        return found

    def ids(self, name: TopicName) -> Counter[str]:
        return Counter(json.loads(message.value() or b"")["prediction_id"] for message in self.log(name))

    def tally(self, topic: str, partitions: int = 3) -> Tally:
        """The committed books of a topic of the shop."""
        places = [TopicPartition(f"{self.shop}.{topic}", p) for p in range(partitions)]
        parts = [Tally.of(answer.metadata) for answer in committed(self.settings, "ingest", places)]
        return Tally(*(sum(figures) for figures in zip(*map(msgspec.structs.astuple, parts), strict=True)))


def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {done.__qualname__}")
        time.sleep(0.05)


@pytest.fixture
def installation(kafka: str, clickhouse_url: str, clickhouse: Client) -> Installation:
    number = next(_numbers)
    settings = Settings(
        bootstrap_servers=kafka,
        clickhouse_url=clickhouse_url,
        database=str(clickhouse.database),
        topic_prefix=f"ingest{number}",
        source_partitions=2,
        session_timeout_ms=1_500,
    )
    warehouse = Warehouse.connect(clickhouse_url, user="default", password="", database=settings.database, patience=60)
    migrate(warehouse)
    made = Installation(settings, warehouse, f"shop{number}")
    for name in TOPICS:
        made.create(settings.topic(name), settings.partitions(name), TOPICS[name].config)
    made.create(f"{made.shop}.decisions", 3, {})
    made.create(f"{made.shop}.chargebacks", 3, {})
    return made


@contextmanager
def running(installation: Installation, registry: Any = None) -> Iterator[None]:
    """The role in a thread of this process; what it raises is raised here."""
    names = itertools.count(1)
    with threads.running(
        lambda stop: ingest.run(
            installation.settings,
            installation.warehouse,
            producer_id=lambda: f"{id(stop)}-{next(names)}",
            stop=stop,
            registry=registry,
        )
    ):
        yield


def test_a_shops_topics_become_events_and_the_books_balance(installation: Installation) -> None:
    installation.publish(installation.record())
    installation.decide(range(300))
    shop = installation.shop
    with running(installation):
        for number in range(0, 300, 3):
            installation.producer.produce(f"{shop}.chargebacks", json.dumps(chargeback(number)).encode())
        page_view = json.dumps({"type": "page-view"}).encode()
        installation.send(f"{shop}.decisions", None, page_view)
        installation.send(f"{shop}.decisions", b"gone", None)
        installation.send(f"{shop}.decisions", None, b"{not json", partition=1)
        until(lambda: installation.tally("decisions").records == 303)
        until(lambda: installation.tally("chargebacks").records == 100)
    assert installation.tally("decisions") == Tally(records=303, mapped=300, ignored=2, dead=1, predictions=300)
    assert installation.tally("chargebacks") == Tally(records=100, mapped=100, outcomes=100)
    assert installation.ids("predictions") == Counter(map(str, range(300)))
    assert installation.ids("outcomes") == Counter(map(str, range(0, 300, 3)))

    partitions: dict[str, set[int]] = {}
    names: tuple[TopicName, TopicName] = ("predictions", "outcomes")
    for name in names:
        for message in installation.log(name):
            event = json.loads(message.value() or b"")
            assert message.key() == f"payments/fraud/{event['prediction_id']}".encode()
            partitions.setdefault(event["prediction_id"], set()).add(message.partition() or 0)
            headers: dict[str, Any] = dict(message.headers() or [])
            assert headers["driftline_source"].startswith(f"{shop}.".encode())
    assert {len(found) for found in partitions.values()} == {1}

    ((topic, partition, reason, detail, original),) = installation.warehouse.rows(
        "SELECT topic, `partition`, reason, detail, base64Decode(original) FROM dead_letters FINAL"
    )
    assert (topic, partition, reason, original) == (f"{shop}.decisions", 1, "undecodable", "{not json")
    assert detail.startswith("not JSON: ")
    (letter,) = installation.log("dead-letters")
    assert letter.value() == b"{not json"
    assert dict(letter.headers() or [])["reason"] == b"undecodable"


def test_a_kill_at_any_moment_sends_nothing_twice_and_loses_nothing(installation: Installation) -> None:
    installation.publish(installation.record())
    settings = installation.settings.model_dump(mode="json", exclude={"kafka_password", "clickhouse_password"})
    settings.pop("schema_registry_password")
    sent = 0
    for nth in (1, 2, 3):
        child = subprocess.Popen(
            [sys.executable, ROOT / "tests" / "ingest_process.py", json.dumps(settings), str(nth)],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        try:
            deadline = time.monotonic() + 60
            while child.poll() is None and time.monotonic() < deadline:
                installation.decide(range(sent, sent + 20))
                sent += 20
                time.sleep(0.05)
        finally:
            child.kill()
            child.wait(30)
        assert child.returncode == -signal.SIGKILL
    with running(installation):
        until(lambda: installation.tally("decisions").records == sent)
    assert installation.ids("predictions") == Counter(map(str, range(sent)))


def test_a_mapping_that_is_mended_takes_effect_for_what_comes_then(installation: Installation) -> None:
    wrong = installation.record(predictions={"id": "request.uid"})
    installation.publish(wrong)
    with running(installation):
        installation.decide(range(5))
        until(lambda: installation.tally("decisions").dead == 5)
        installation.publish(msgspec.structs.replace(installation.record(), generation=1))
        installation.decide(range(5, 10))
        until(lambda: installation.tally("decisions").records == 10)
    assert installation.ids("predictions") == Counter(map(str, range(5, 10)))
    rows = installation.warehouse.rows("SELECT DISTINCT detail FROM dead_letters FINAL")
    assert rows == [
        (
            "payments/fraud: $.request.uid: $.request is an object with id, at, shop, basket, customer; "
            "mend the producer or spec.source.predictions.id",
        )
    ]
    # What was dead is translated again when it is asked for, once.
    chosen = letters.letters(installation.warehouse, "1", {}, order="log_ts", limit=10)
    done = replay(installation.settings, installation.warehouse, chosen, now=lambda: int(time.time() * 1000))
    assert (len(done.sent), done.refused) == (5, [])
    assert {place[0] for _, place in done.sent if place is not None} == {"predictions"}
    assert installation.ids("predictions") == Counter(map(str, range(10)))
    again = letters.letters(installation.warehouse, "1", {}, order="log_ts", limit=10)
    assert len(replay(installation.settings, installation.warehouse, again, now=lambda: 0).already) == 5


def test_a_model_that_starts_at_the_end_gets_no_history_but_all_that_follows(installation: Installation) -> None:
    installation.decide(range(10))
    installation.publish(installation.record(start="latest"))
    with running(installation):
        places = [TopicPartition(f"{installation.shop}.decisions", p) for p in range(3)]
        until(lambda: all(answer.offset >= 0 for answer in committed(installation.settings, "ingest", places)))
    # Begun is begun: what comes while the role is down is read.
    installation.decide(range(10, 20))
    with running(installation):
        until(lambda: installation.tally("decisions").records == 10)
    assert installation.ids("predictions") == Counter(map(str, range(10, 20)))


def test_a_backlog_of_several_partitions_is_sent_in_the_order_of_time(installation: Installation) -> None:
    topic = f"{installation.shop}.decisions"
    for number in range(600):
        # One partition holds the old half, another the new one; as they come, the new would be read beside the old.
        installation.producer.produce(
            topic, json.dumps(decision(number)).encode(), partition=number // 300, headers=HEADERS, timestamp=1 + number
        )
    assert installation.producer.flush(30) == 0
    installation.publish(installation.record())
    with running(installation):
        until(lambda: installation.tally("decisions").records == 600)
    last: dict[int, int] = {}
    for message in installation.log("predictions"):
        number, partition = int(json.loads(message.value() or b"")["prediction_id"]), message.partition() or 0
        assert number > last.get(partition, -1)
        last[partition] = number


def test_what_cannot_be_read_holds_up_nobody_else(installation: Installation) -> None:
    """A topic that is not there, driftline's own, and Avro without a registry; before and while others are read."""

    def publish(name: str, source: dict[str, Any]) -> None:
        made = installation.record(**source)
        installation.publish(msgspec.structs.replace(made, model=name))

    for name, source in (
        ("nowhere", {"predictions": {"topic": "nobody.made.it"}}),
        ("loop", {"predictions": {"topic": installation.settings.topic("predictions")}}),
        ("avro", {"outcomes": {"format": "avro"}}),
    ):
        publish(name, source)
    installation.publish(installation.record())
    with running(installation):
        installation.decide(range(10))
        until(lambda: installation.tally("decisions").records == 10)
        publish("later", {"predictions": {"topic": "nobody.made.this"}})
        installation.decide(range(10, 20))
        until(lambda: installation.tally("decisions").records == 20)
    assert set(installation.ids("predictions")) == set(map(str, range(20)))
    found = {topic.topic: topic for topic in sources.books(installation.settings)}
    assert found["nobody.made.it"].partitions == 0
    decisions = found[f"{installation.shop}.decisions"]
    assert (decisions.partitions, decisions.tally.records, decisions.lag) == (3, 20, 0)
    assert decisions.models == ["payments/avro", "payments/fraud"]
    out = io.StringIO()
    sources.show(list(found.values()), Console(file=out, width=200, highlight=False))
    assert "nobody.made.it (of payments/nowhere) is not there, or may not be read" in out.getvalue()


def test_records_deleted_before_they_were_read_are_counted_as_lost(installation: Installation) -> None:
    installation.publish(installation.record())
    topic = f"{installation.shop}.decisions"
    with running(installation):
        installation.decide(range(30))
        until(lambda: installation.tally("decisions").records == 30)
    installation.decide(range(30, 60))
    ends = {}
    consumer = Consumer(installation.settings.consumer("reader"))
    for partition in range(3):
        _, ends[partition] = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
    consumer.close()
    for done in installation.admin.delete_records([TopicPartition(topic, p, end) for p, end in ends.items()]).values():
        done.result(30)
    with running(installation):
        installation.decide(range(60, 70))
        until(lambda: installation.tally("decisions").records == 40)
    assert installation.tally("decisions").lost == 30


def test_avro_records_become_events_by_the_registry(installation: Installation) -> None:
    registry: Any = SchemaRegistryClient.new_client({"url": "mock://shop"})
    schema = {
        "type": "record",
        "name": "Chargeback",
        "fields": [
            {"name": "request", "type": "long"},
            {"name": "booked", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "fraudulent", "type": "boolean"},
        ],
    }
    topic = f"{installation.shop}.chargebacks"
    write, context = AvroSerializer(registry, json.dumps(schema)), SerializationContext(topic, MessageField.VALUE)
    installation.publish(installation.record(outcomes={"format": "avro"}))
    with running(installation, registry):
        for number in range(10):
            body = {"request": number, "booked": START, "fraudulent": True}
            installation.send(topic, None, write(body, context))
        installation.send(topic, None, b"{}")
        until(lambda: installation.tally("chargebacks").records == 11)
    assert installation.tally("chargebacks") == Tally(records=11, mapped=10, dead=1, outcomes=10)
    assert installation.ids("outcomes") == Counter(map(str, range(10)))
