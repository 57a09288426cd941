"""A busy emitter puts events into batches: the same events, in the same order, with the same accounts."""

import json
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]
from driftline import Emitter, batching, columns, emitter
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.columnar import bodies, is_batch, read
from schemas.events import SOURCE_EVENTS
from schemas.windows import to_ms

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARTITIONS = 3


class Broker:
    """librdkafka's producer, with every message answered as soon as somebody polls."""

    def __init__(self) -> None:
        self.log: list[tuple[str, bytes, dict[str, Any]]] = []
        self.answered = 0
        self.error: Any = None
        self.silent = False
        self.known = True

    def produce(self, topic: str, value: bytes, **options: Any) -> None:
        self.log.append((topic, value, options))

    def poll(self, _timeout: float) -> int:
        while not self.silent and self.answered < len(self.log):
            self.answered += 1
            self.log[self.answered - 1][2]["on_delivery"](self.error, None)
        return 0

    def flush(self, timeout: float) -> int:
        self.poll(timeout)
        return len(self.log) - self.answered

    def list_topics(self, name: str, timeout: float) -> Any:
        class Described:
            error = None if self.known else "unknown"
            partitions = dict.fromkeys(range(PARTITIONS))

        class Listing:
            topics = {name: Described}  # noqa: RUF012

        return Listing

    def events(self) -> dict[tuple[str, int], list[Any]]:
        """What each partition holds, as stage 1 reads it."""
        found: dict[tuple[str, int], list[Any]] = {}
        for name, value, options in self.log:
            topic: Any = name.removeprefix("driftline.")
            single = not is_batch(options.get("headers"))
            for body in [value] if single else bodies(read(topic, value)):
                event = msgspec.json.decode(body, type=SOURCE_EVENTS[topic])
                home = (murmur2(f"team/model/{event.prediction_id}".encode()) & 0x7FFFFFFF) % PARTITIONS
                assert options["partition"] in (-1, home), "every row of a batch is at home"
                body_ms = msgspec.to_builtins(event) | {"event_time": to_ms(event.event_time)}
                found.setdefault((topic, home), []).append(body_ms)
        return found

    def kinds(self) -> list[str]:
        return ["batch" if is_batch(options.get("headers")) else "event" for _, _, options in self.log]


def emitting(broker: Broker, **options: Any) -> Emitter:
    return Emitter({}, "team", "model", producer=broker, **options)  # type: ignore[arg-type]


def until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s")
        time.sleep(0.005)


VALUES = st.sampled_from([None, 0, 1, -2.5, math.nan, 2**60, 10**30, "EWR", "", 'é"\\', True, False])
TIMES = st.sampled_from(
    [NOON, NOON + timedelta(microseconds=1_999), datetime(1969, 1, 1, 0, 0, 0, 1, ZoneInfo("Asia/Kolkata"))]
)
IDS = st.sampled_from(["a", "b", "c", "d", "é", "a long one, longer than a word", ""])


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, str, dict[str, Any]]:
    name = draw(IDS)
    if draw(st.integers(0, 3)) == 0:
        label = draw(VALUES.filter(lambda v: v is not None and v == v))  # noqa: PLR0124  nan
        return "outcome", name, {"event_time": draw(TIMES), "label": label}
    features = draw(st.dictionaries(st.sampled_from(["x", "origin", "y z"]), VALUES, max_size=3))
    given_: dict[str, Any] = {"version": draw(st.sampled_from(["1", "2"])), "event_time": draw(TIMES)}
    optional: dict[str, Any] = {
        "scores": draw(st.dictionaries(st.sampled_from(["late", "not"]), st.sampled_from([0.0, 0.5, 1]), max_size=2)),
        "latency_ms": draw(st.sampled_from([None, 1.5, 2])),
        "segments": draw(st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["", "x"]), max_size=2)),
        "role": draw(st.sampled_from(["champion", "shadow"])),
        "prediction": draw(st.sampled_from([None, "late", 1, 1.5, True])),
    }
    chosen = {key: value for key, value in optional.items() if draw(st.booleans())}
    return "prediction", name, {"features": features, **given_, **chosen}


@settings(max_examples=150)
@given(events=st.lists(calls(), max_size=60), repeated=st.integers(1, 20))
def test_batches_hold_the_same_events_in_the_same_order(events: list[Any], repeated: int) -> None:
    alone, together = Broker(), Broker()
    for broker, mode in ((alone, "never"), (together, "always")):
        emit = emitting(broker, batches=mode)
        for kind, name, fields in events * repeated:
            assert getattr(emit, kind)(name, **fields)
        assert emit.flush(10) == 0
        stats = emit.stats()
        assert (stats.sent, stats.delivered, stats.dropped) == (len(events) * repeated, len(events) * repeated, 0)
    # Names that the contract refuses are refused of both, so nothing here is judged but what was sent.
    if all(name for _, name, _ in events):
        assert together.events() == alone.events()


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=30), st.integers(1, 50))
def test_partitions_are_those_of_kafka(keys: list[bytes], partitions: int) -> None:
    # numpy's strings end before their trailing zeros, and no key that the emitter makes has any: ids come last.
    keys = [key + b"x" for key in keys]
    expected = [(murmur2(key) & 0x7FFFFFFF) % partitions for key in keys]
    assert columns.partitions_of(keys, partitions).tolist() == expected


def predict(emit: Emitter, number: int, **given_: Any) -> bool:
    return emit.prediction(f"p{number}", version="1", event_time=NOON, features={"x": number / 4}, **given_)


def test_it_begins_when_it_is_busy_and_ends_when_it_is_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "BUSY", 50)
    monkeypatch.setattr(batching, "CALM", 20)
    monkeypatch.setattr(batching, "LINGER", 0.2)
    broker = Broker()
    emit = emitting(broker)
    for number in range(50):
        predict(emit, number)
    assert broker.kinds() == ["event"] * 50, "few events leave at once"
    for number in range(50, 250):
        predict(emit, number)
    until(lambda: "batch" in broker.kinds())
    emit.flush(10)
    busy = len(broker.log)
    assert busy < 70, "a message for many events"

    def left_at_once() -> bool:
        """As a calm service does, now and then, with a flush or without."""
        time.sleep(0.05)
        before = len(broker.log)
        predict(emit, 1_000)
        return broker.kinds()[before:] == ["event"]

    until(left_at_once)
    ids = [event["prediction_id"] for rows in broker.events().values() for event in rows]
    assert {f"p{number}" for number in range(250)} <= set(ids)


def test_what_waits_leaves_by_itself() -> None:
    broker = Broker()
    emit = emitting(broker, batches="always")
    predict(emit, 1)
    until(lambda: emit.stats().delivered == 1)
    assert broker.kinds() == ["batch"]


def test_a_full_buffer_drops_counts_and_tells() -> None:
    broker = Broker()
    broker.silent = True
    dropped: list[tuple[str, str]] = []
    emit = emitting(broker, batches="always", max_pending=10, on_drop=lambda *what: dropped.append(what))
    taken = [predict(emit, number) for number in range(12)]
    assert taken == [True] * 10 + [False] * 2
    assert dropped == [("predictions", "p10"), ("predictions", "p11")]
    assert emit.flush(0.5) == 10
    assert (emit.stats().sent, emit.stats().dropped, emit.stats().pending) == (10, 2, 10)
    broker.silent = False
    assert predict(emit, 12), "there is room when the broker has answered"
    assert emit.flush(10) == 0


def test_a_batch_that_is_refused_fails_with_all_its_events() -> None:
    broker = Broker()
    broker.error = "refused"
    emit = emitting(broker, batches="always")
    for number in range(30):
        predict(emit, number)
    assert emit.flush(10) == 0
    assert (emit.stats().failed, emit.stats().delivered) == (30, 0)
    assert len(broker.log) <= PARTITIONS * 2


def test_without_metadata_events_go_one_by_one() -> None:
    broker = Broker()
    broker.known = False
    emit = emitting(broker, batches="always")
    for number in range(30):
        predict(emit, number)
    assert emit.flush(10) == 0
    assert broker.kinds() == ["event"] * 30
    assert emit.stats().delivered == 30


def test_mistakes_are_still_told_at_once() -> None:
    emit = emitting(Broker(), batches="always")
    with pytest.raises(ValueError, match="no time zone"):
        emit.outcome("a", event_time=datetime(2026, 1, 1), label=1.0)  # noqa: DTZ001
    with pytest.raises(ValueError, match="cannot encode event 'a'"):
        emit.prediction("a", version="1", event_time=NOON, features={"x": math.inf})
    with pytest.raises(ValueError, match="cannot encode event 'a'"):
        emit.outcome("a", event_time=NOON, label=math.nan)
    assert emit.stats().sent == 0


def test_progress_and_encoded_bodies_come_after_what_waits() -> None:
    broker = Broker()
    emit = emitting(broker, batches="always")
    predict(emit, 1)
    emit.send("predictions", "p2", b"{}")
    predict(emit, 3)
    emit.progress(NOON)
    values = [json.loads(value) if value[:1] == b"{" else "batch" for _, value, _ in broker.log]
    assert values[:3] == ["batch", {}, "batch"]
    assert len(values) == 3 + 2 * PARTITIONS


def test_a_message_is_never_larger_than_is_read() -> None:
    broker = Broker()
    emit = emitting(broker, batches="always")
    for number in range(2_000):
        emit.prediction(f"p{number}", version="1", event_time=NOON, features={"text": f"{number}" * 300})
    assert emit.flush(30) == 0
    assert max(len(value) for _, value, _ in broker.log) <= columns.MAX_BYTES
    assert sum(map(len, broker.events().values())) == 2_000


def test_many_threads_lose_nothing() -> None:
    broker = Broker()
    emit = emitting(broker, batches="always")

    def work(first: int) -> None:
        for number in range(first, first + 500):
            predict(emit, number)

    threads = [threading.Thread(target=work, args=(1_000 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert emit.flush(30) == 0
    assert emit.stats().delivered == 2_000
    ids = [event["prediction_id"] for rows in broker.events().values() for event in rows]
    assert sorted(ids) == sorted(f"p{1_000 * i + number}" for i in range(4) for number in range(500))


def test_without_the_extra_everything_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emitter, "columns", None)
    broker = Broker()
    emit = emitting(broker)
    for number in range(1_000):
        predict(emit, number)
    assert emit.flush(10) == 0
    assert broker.kinds() == ["event"] * 1_000
    with pytest.raises(ImportError, match=r"pip install 'driftline\[arrow\]'"):
        emitting(broker, batches="always")


def test_cloud_events_headers_name_the_batch() -> None:
    broker = Broker()
    emit = emitting(broker, batches="always", cloud_events=True)
    predict(emit, 1)
    emit.flush(10)
    headers = dict(broker.log[0][2]["headers"])
    assert headers["ce_type"] == b"io.driftline.predictions.v1+arrow"
    assert headers["content-type"] == b"application/vnd.apache.arrow.stream"
    assert headers["ce_specversion"] == b"1.0"
