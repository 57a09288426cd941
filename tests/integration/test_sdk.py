"""The SDK on a real broker: where events land, and what the router reads."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from driftline import Emitter, NotDecided, Router

from app import wiring
from schemas import columnar
from schemas.columnar import bodies
from schemas.events import SOURCE_EVENTS, Progress
from schemas.settings import Settings
from schemas.topics import TopicName

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def settings(kafka: str, request: pytest.FixtureRequest) -> Settings:
    """Settings of an installation of this test's own, its topics made."""
    own = Settings(bootstrap_servers=kafka, topic_prefix=f"sdk-{request.node.name.replace('_', '-')}"[:100])
    wiring.ensure_topics(own)
    return own


def read(settings: Settings, topic: TopicName) -> list[Message]:
    """All records of a topic."""
    consumer = Consumer(settings.consumer("reader"))
    found: list[Message] = []
    for partition in range(settings.partitions(topic)):
        where = TopicPartition(settings.topic(topic), partition, 0)
        _, end = consumer.get_watermark_offsets(where, timeout=30, cached=False)
        consumer.assign([where])
        found += consumer.consume(end, timeout=30) if end else []
    consumer.close()
    assert all(message.error() is None for message in found)
    return found


def decide(producer: Producer, settings: Settings, through: int) -> None:
    """Publish a rollout as stage 4 does."""
    champion = {"version": str(through), "artifact": "a"}
    body = {"decided_through": through, "phase": "steady", "champion": champion}
    producer.produce(settings.topic("rollouts"), json.dumps(body).encode(), key=b"team/model")
    assert producer.flush(30) == 0


def test_an_outcome_lands_in_the_partition_of_its_prediction_by_murmur2(settings: Settings) -> None:
    emitter = Emitter(settings.kafka(), "team", "model", topic_prefix=settings.topic_prefix)
    names = [f"order-{n}" for n in range(200)]
    for name in names:
        emitter.prediction(name, version="1", event_time=NOON, features={"a": 1.5, "b": None}, scores={"yes": 0.5})
        emitter.outcome(name, event_time=NOON, label="yes")
    assert emitter.close(30) == 0
    assert emitter.stats().delivered == 400
    keys = {name: f"team/model/{name}".encode() for name in names}
    expected = {name: (murmur2(key) & 0x7FFFFFFF) % settings.source_partitions for name, key in keys.items()}
    for topic, kind in SOURCE_EVENTS.items():
        messages = read(settings, topic)
        events = [msgspec.json.decode(message.value() or b"", type=kind) for message in messages]
        assert {event.prediction_id: m.partition() for event, m in zip(events, messages, strict=True)} == expected


def test_batches_land_in_the_partitions_of_their_rows(settings: Settings) -> None:
    emitter = Emitter(settings.kafka(), "team", "model", topic_prefix=settings.topic_prefix, batches="always")
    names = [f"order-{n}" for n in range(5_000)]
    for name in names:
        emitter.prediction(name, version="1", event_time=NOON, features={"a": 1.5, "b": None}, scores={"yes": 0.5})
        emitter.outcome(name, event_time=NOON, label="yes")
    assert emitter.close(30) == 0
    assert emitter.stats().delivered == 10_000
    keys = {name: f"team/model/{name}".encode() for name in names}
    expected = {name: (murmur2(key) & 0x7FFFFFFF) % settings.source_partitions for name, key in keys.items()}
    for topic, kind in SOURCE_EVENTS.items():
        messages = read(settings, topic)
        assert len(messages) < 500
        found = {
            msgspec.json.decode(body, type=kind).prediction_id: message.partition()
            for message in messages
            for body in bodies(columnar.read(topic, message.value() or b""))
        }
        assert found == expected


def test_progress_comes_after_the_events_in_every_partition(settings: Settings) -> None:
    emitter = Emitter(settings.kafka(), "team", "model", topic_prefix=settings.topic_prefix)
    for n in range(100):
        emitter.outcome(f"order-{n}", event_time=NOON, label=True)
    emitter.progress(NOON)
    assert emitter.close(30) == 0
    for topic in ("predictions", "outcomes"):
        last = {message.partition(): message for message in read(settings, topic)}
        promises = [msgspec.json.decode(message.value() or b"", type=Progress) for message in last.values()]
        assert promises == [Progress(namespace="team", model="model", event_time=NOON)] * settings.source_partitions


def test_what_is_pending_at_exit_is_flushed(settings: Settings) -> None:
    program = f"""
from datetime import datetime, timezone
from driftline import Emitter
emitter = Emitter({settings.bootstrap_servers!r}, "team", "model", topic_prefix={settings.topic_prefix!r})
for n in range(1000):
    emitter.outcome(f"order-{{n}}", event_time=datetime.now(timezone.utc), label=True)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)
    assert len(read(settings, "outcomes")) == 1000


def test_progress_to_a_topic_that_does_not_exist_says_so(kafka: str) -> None:
    emitter = Emitter(kafka, "team", "model", topic_prefix="nobody")
    with pytest.raises(ConnectionError, match=r"topic nobody\.predictions does not exist"):
        emitter.progress(NOON)
    emitter.close()


def test_the_router_reads_to_the_end_and_follows(settings: Settings, tmp_path: Path) -> None:
    cache = tmp_path / "decision.json"
    producer = Producer(settings.producer())
    router = Router(settings.kafka(), "team", "model", cache_path=cache, topic_prefix=settings.topic_prefix)
    assert router.refresh(30)
    assert router.decision.champion is None
    for through in range(1, 51):
        decide(producer, settings, through)
    assert router.refresh(30)
    assert router.decision.decided_through == 50
    with pytest.raises(NotDecided):
        router.wait_decided(51, timeout=0.3)
    decide(producer, settings, 51)
    assert router.wait_decided(51, timeout=30).champion == router.decision.champion
    router.close()
    away = Router("127.0.0.1:1", "team", "model", cache_path=cache, topic_prefix=settings.topic_prefix)
    assert not away.refresh(0.5)
    assert away.decision.decided_through == 51


def test_topics_that_differ_are_refused_with_what_to_do(settings: Settings) -> None:
    assert wiring.ensure_topics(settings) == []
    other = settings.model_copy(update={"source_partitions": 8})
    with pytest.raises(SystemExit, match="has 4 partitions, declared are 8; set DRIFTLINE_SOURCE_PARTITIONS=4"):
        wiring.ensure_topics(other)
