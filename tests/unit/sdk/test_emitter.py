"""The emitter never blocks, bounds what waits, and accounts for every event."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from driftline import Emitter, wire
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class FakeProducer:
    """librdkafka's producer as far as the emitter uses it: a bounded queue that answers when polled or flushed."""

    def __init__(self, room: int, partitions: int = 3) -> None:
        self.room = room
        self.partitions = partitions
        self.waiting: list[tuple[str, bytes, dict[str, Any]]] = []
        self.arrived: list[tuple[str, bytes, dict[str, Any]]] = []
        self.answering = False
        self.error: Any = None

    def produce(self, topic: str, value: bytes, **options: Any) -> None:
        if len(self.waiting) >= self.room:
            raise BufferError("Local: Queue full")
        self.waiting.append((topic, value, options))

    def poll(self, _timeout: float) -> int:
        if self.answering:
            for topic, value, options in self.waiting:
                self.arrived.append((topic, value, options))
                options["on_delivery"](self.error, None)
            self.waiting = []
        return 0

    def flush(self, timeout: float) -> int:
        self.answering = True
        self.poll(timeout)
        return len(self.waiting)

    def list_topics(self, name: str, timeout: float) -> Any:
        class Described:
            error = None
            partitions = dict.fromkeys(range(self.partitions))

        class Listing:
            topics = {name: Described}  # noqa: RUF012

        return Listing


def emitter(producer: FakeProducer, **options: Any) -> Emitter:
    return Emitter({}, "team", "model", producer=producer, **options)  # type: ignore[arg-type]


def test_a_full_buffer_drops_counts_and_tells() -> None:
    dropped: list[tuple[str, str]] = []
    producer = FakeProducer(room=2)
    emit = emitter(producer, on_drop=lambda topic, name: dropped.append((topic, name)))
    taken = [emit.outcome(f"id-{n}", event_time=NOON, label="yes") for n in range(5)]
    assert taken == [True, True, False, False, False]
    assert dropped == [("outcomes", f"id-{n}") for n in (2, 3, 4)]
    assert emit.stats().dropped == 3
    assert emit.stats().pending == 2


def test_an_event_of_2_mb_is_dropped_with_its_size_and_never_raised(caplog: pytest.LogCaptureFixture) -> None:
    dropped: list[tuple[str, str]] = []
    service = Emitter("127.0.0.1:1", "team", "model", exit_timeout=0, on_drop=lambda *what: dropped.append(what))
    assert not service.send("predictions", "p1", b"x" * 2_000_000)
    assert not service.send("predictions", "p2", b"x" * 2_000_000)
    assert service.stats().dropped == 2
    assert dropped == [("predictions", "p1"), ("predictions", "p2")]
    assert [record.getMessage() for record in caplog.records if record.name == "driftline"] == [
        "2,000,000 bytes are more than Kafka takes (message.max.bytes), events are dropped: 1 so far, now predictions "
        "'p1'"
    ]
    service.close(0)


def test_room_is_made_by_taking_in_what_was_answered() -> None:
    producer = FakeProducer(room=1)
    emit = emitter(producer)
    assert emit.outcome("first", event_time=NOON, label=True)
    producer.answering = True
    assert emit.outcome("second", event_time=NOON, label=True)
    assert emit.flush(1) == 0
    assert emit.stats().delivered == 2


@given(room=st.integers(1, 20), events=st.integers(0, 60), refused=st.booleans())
def test_every_event_is_accounted_for(room: int, events: int, refused: bool) -> None:
    producer = FakeProducer(room)
    producer.error = "refused" if refused else None
    emit = emitter(producer)
    for n in range(events):
        emit.outcome(str(n) or "0", event_time=NOON, label=1.0)
    emit.flush(1)
    stats = emit.stats()
    assert stats.pending == 0
    assert stats.delivered + stats.failed + stats.dropped == events
    assert (stats.failed > 0) == (refused and events > 0)


def test_progress_goes_to_every_partition_of_both_topics() -> None:
    producer = FakeProducer(room=100, partitions=3)
    emitter(producer).progress(NOON, done={("outcomes", 1)})
    sent = {(topic, options["partition"]) for topic, _, options in producer.waiting}
    everywhere = {(f"driftline.{topic}", p) for topic in ("predictions", "outcomes") for p in range(3)}
    assert sent == everywhere - {("driftline.outcomes", 1)}
    assert all(options["key"] is None for _, _, options in producer.waiting)


def test_progress_flushes_for_room_rather_than_being_dropped() -> None:
    producer = FakeProducer(room=1, partitions=2)
    emitter(producer).progress(NOON)
    assert len(producer.arrived) + len(producer.waiting) == 4


def test_the_key_names_owner_and_prediction_and_the_topic_has_the_prefix() -> None:
    producer = FakeProducer(room=10)
    emitter(producer, topic_prefix="plant").prediction("id-1", version="3", event_time=NOON, features={"a": 1.0})
    topic, _, options = producer.waiting[0]
    assert (topic, options["key"]) == ("plant.predictions", b"team/model/id-1")


def test_cloud_events_headers_keep_the_id_of_a_repeated_event() -> None:
    producer = FakeProducer(room=10)
    emit = emitter(producer, cloud_events=True)
    for _ in range(2):
        emit.outcome("id-1", event_time=NOON, label="yes")
    first, second = (dict(options["headers"]) for _, _, options in producer.waiting)
    assert first == second
    assert first["ce_type"] == b"io.driftline.outcome.v1"


def test_a_missing_feature_is_null() -> None:
    body = wire.prediction("n", "m", "id", version="1", event_time=NOON, features={"a": float("nan"), "b": None})
    assert json.loads(body)["features"] == {"a": None, "b": None}


def test_a_naive_time_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        wire.outcome("n", "m", "id", event_time=datetime(2026, 3, 1), label="yes")  # noqa: DTZ001


def test_what_json_cannot_hold_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'id-7' of n/m"):
        wire.prediction("n", "m", "id-7", version="1", event_time=NOON, features={}, scores={"yes": float("inf")})
