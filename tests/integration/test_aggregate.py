"""Stage 1 on a real Kafka and a real ClickHouse engine: what it counts, and that no kill changes it."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import threads
from aggregate_world import (
    DAY,
    HOUR,
    START,
    Key,
    Numbers,
    Oracle,
    Sent,
    events,
    joined,
    model_record,
    outcome,
    prediction,
    progress,
)
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from app import reconcile
from app.offsets.places import read
from app.offsets.restore import refuse, restore
from app.offsets.words import table
from schemas.models import ModelRecord
from schemas.partials import PartialMessage, Watermarks
from schemas.settings import Settings
from schemas.topics import TOPICS, TopicName
from streams import aggregate
from streams.aggregate.assign import CannotContinue
from streams.aggregate.breaker import BreakerOpen
from streams.aggregate.consumer import PRODUCER
from warehouse.client import Warehouse
from warehouse.migrate import migrate

ROOT = Path(__file__).parents[2]
PARTITIONS = 2
RECORDS = [model_record(), model_record(generation=2, effective_from=START + 2 * DAY)]
END = START + 20 * DAY
CHECKPOINT_SECONDS = 0.3
_installations = itertools.count(1)


@dataclass
class Installation:
    """Topics, a database, and settings that name them."""

    settings: Settings
    warehouse: Warehouse
    producer: Producer

    def create(self, name: TopicName, partitions: int | None = None) -> None:
        topic = NewTopic(
            self.settings.topic(name), partitions or self.settings.partitions(name), config=TOPICS[name].config
        )
        admin = AdminClient(self.settings.kafka())
        admin.create_topics([topic])[topic.topic].result()

    def publish(self, record: ModelRecord) -> None:
        self.producer.produce(self.settings.topic("models"), msgspec.json.encode(record), record.key())
        assert self.producer.flush(30) == 0

    def send(self, sent: list[Sent]) -> None:
        for item in sent:
            self.producer.produce(self.settings.topic(item.topic), item.value, item.key)  # type: ignore[arg-type]
        assert self.producer.flush(30) == 0

    def promise(self, event_time: int, partitions: range = range(PARTITIONS)) -> None:
        """Progress of both topics in these partitions."""
        for name in ("predictions", "outcomes"):
            for p in partitions:
                self.producer.produce(self.settings.topic(name), progress(event_time), partition=p)
        assert self.producer.flush(30) == 0

    def log(self, name: TopicName, partition: int = 0) -> list[Message]:
        """All records of a partition."""
        consumer = Consumer(self.settings.consumer("reader"))
        where = TopicPartition(self.settings.topic(name), partition, 0)
        _, end = consumer.get_watermark_offsets(where, timeout=30)
        consumer.assign([where])
        found: list[Message] = []
        while not (found and found[-1].offset() == end - 1) and end:
            found += consumer.consume(1_000, 0.1)
        consumer.close()
        return found

    def watermarks(self) -> list[dict[str, int]]:
        """Of the one model, as the head of each partition records them."""
        rows = self.warehouse.rows(
            "SELECT watermarks FROM checkpoints ORDER BY `partition`, seq DESC LIMIT 1 BY `partition`"
        )
        return [json.loads(text).get("default/delay", {}) for (text,) in rows]

    def wait(self, event_time: int) -> None:
        """Until every partition's head says that both watermarks have passed ``event_time``."""

        def passed() -> bool:
            marks = self.watermarks()
            return len(marks) == PARTITIONS and all(m and min(m.values()) >= event_time for m in marks)

        until(passed)

    def counted(self, partition: int) -> dict[Key, Numbers]:
        rows = self.warehouse.rows(
            "SELECT namespace, model, toUnixTimestamp64Milli(window_start), generation, view, version, segment, name, "
            "n, nulls, outside, sums, minimum, maximum, counts FROM partials FINAL WHERE `partition` = {p:UInt16}",
            {"p": partition},
        )
        return {(f"{r[0]}/{r[1]}", *r[2:8]): (*r[8:11], tuple(r[11]), r[12], r[13], tuple(r[14])) for r in rows}

    def verdicts(self, partition: int) -> dict[tuple[str, int], str]:
        return {
            (topic, offset): verdict
            for topic, offset, verdict in self.warehouse.rows(
                "SELECT 'predictions', `offset`, toString(verdict) FROM raw_predictions FINAL "
                "WHERE `partition` = {p:UInt16} "
                "UNION ALL SELECT 'outcomes', `offset`, toString(verdict) FROM raw_outcomes FINAL "
                "WHERE `partition` = {p:UInt16} "
                "UNION ALL SELECT topic, `offset`, 'dead' FROM dead_letters FINAL WHERE `partition` = {p:UInt16}",
                {"p": partition},
            )
        }

    def check(self) -> None:
        """Tables say what the oracle counts from the logs."""
        for p in range(PARTITIONS):
            oracle = Oracle(RECORDS, p, PARTITIONS)
            for name in ("predictions", "outcomes"):
                for message in self.log(name, p):
                    value, offset = message.value(), message.offset()
                    assert value is not None
                    assert offset is not None
                    oracle.record(name, offset, message.timestamp()[1], value)
            assert self.verdicts(p) == oracle.verdicts
            # Which topic was read first is not the oracle's: matured and overdue pairs are taken together.
            assert joined(self.counted(p)) == joined(oracle.result())


def until(done: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {done.__qualname__}")
        time.sleep(0.02)


@pytest.fixture
def installation(kafka: str, clickhouse_url: str, clickhouse: Client) -> Installation:
    made = bare(kafka, clickhouse_url, str(clickhouse.database))
    for name in TOPICS:
        made.create(name)
    for record in RECORDS:
        made.publish(record)
    return made


def bare(bootstrap: str, clickhouse_url: str, database: str, **options: Any) -> Installation:
    settings = Settings(
        bootstrap_servers=bootstrap,
        clickhouse_url=clickhouse_url,
        database=database,
        topic_prefix=f"aggregate{next(_installations)}",
        source_partitions=PARTITIONS,
        checkpoint_seconds=CHECKPOINT_SECONDS,
        session_timeout_ms=1_500,
        **options,
    )
    warehouse = Warehouse.connect(clickhouse_url, user="default", password="", database=database, patience=60)
    migrate(warehouse)
    return Installation(settings, warehouse, Producer(settings.producer()))


@contextmanager
def running(installation: Installation, **changed: Any) -> Iterator[Callable[[], bool]]:
    """Stage 1 in a thread of this process; what it raises is raised here. Yields whether it has ended."""
    owners = itertools.count(1)
    with threads.running(
        lambda stop: aggregate.run(
            installation.settings.model_copy(update=changed),
            installation.warehouse,
            now=time.monotonic,
            owner_id=lambda: f"{id(stop)}-{next(owners)}",
            stop=stop,
        )
    ) as ended:
        yield ended


@contextmanager
def process(
    installation: Installation, point: str, nth: int, sent: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    """Stage 1 in a process that signals itself at a step of a checkpoint."""
    settings = installation.settings.model_dump(mode="json", exclude={"kafka_password", "clickhouse_password"})
    child = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "aggregate_process.py", json.dumps(settings), point, str(nth), sent.name],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait(30)


def test_everything_is_counted_once_and_told(installation: Installation) -> None:
    with running(installation):
        installation.send(events(1_500, seed=1))
        installation.promise(END)
        installation.wait(END)
    installation.check()
    newest: dict[int, PartialMessage] = {}
    told: dict[Key, Numbers] = {}
    for message in installation.log("partials"):
        partial = msgspec.json.decode(message.value() or b"", type=PartialMessage)
        assert message.key() == f"{partial.partition}/default/delay".encode()
        before = newest.get(partial.partition)
        assert partial.seq == (before.seq if before else 0) + 1
        newest[partial.partition] = partial
        if partial.partition == 0:
            for s in partial.sketches:
                key = ("default/delay", s.window_start, s.generation, s.view, s.version, s.segment, s.name)
                told[key] = (s.n, s.nulls, s.outside, tuple(s.sums), s.minimum, s.maximum, tuple(s.counts))
    assert told == {key: value for key, value in installation.counted(0).items() if key[0] != "/"}
    for p, partial in newest.items():
        assert (partial.watermarks.predictions, partial.watermarks.outcomes) == (END, END)
        assert partial.positions == tuple(len(installation.log(name, p)) for name in ("predictions", "outcomes"))


def test_a_backlog_of_many_windows_fits_in_one_checkpoint(installation: Installation) -> None:
    end = START + 500 * DAY
    installation.send(events(1_500, seed=8, days=400))
    installation.promise(end)
    with running(installation):
        installation.wait(end)
    installation.check()


def test_a_backlog_of_many_windows_is_several_checkpoints(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.aggregate.extent._SKETCHES", 500)
    monkeypatch.setattr("streams.aggregate.extent._FIRST", 50)
    monkeypatch.setattr("streams.aggregate.extent._FEWEST", 5)
    end = START + 500 * DAY
    installation.send(events(1_500, seed=10, days=400))
    installation.promise(end)
    with running(installation, checkpoint_seconds=60.0):
        installation.wait(end)
    installation.check()
    told = [msgspec.json.decode(m.value() or b"", type=PartialMessage) for m in installation.log("partials")]
    # Outcomes that were read before their predictions touch many windows, with a tally each.
    windows = [len({s.window_start for s in partial.sketches if s.view == "feature"}) for partial in told]
    assert len(told) > 2 * PARTITIONS
    assert max(windows) < 150


def test_a_message_too_large_for_kafka_is_told_without_its_sketches(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A broker that refuses it after the decision would refuse it for ever.
    monkeypatch.setattr("streams.aggregate.checkpoint.LARGEST_TOLD", 20_000)
    monkeypatch.setitem(PRODUCER, "message.max.bytes", 30_000)
    end = START + 60 * DAY
    installation.send(events(1_000, seed=9, days=50))
    installation.promise(end)
    with running(installation):
        installation.wait(end)
    installation.check()
    told = [msgspec.json.decode(m.value() or b"", type=PartialMessage) for m in installation.log("partials")]
    untold = [partial for partial in told if not partial.whole]
    assert untold
    assert not any(partial.sketches for partial in untold)
    newest = {partial.partition: partial for partial in told}
    assert [newest[p].watermarks for p in range(PARTITIONS)] == [Watermarks(end, end)] * PARTITIONS


def test_dead_letters_are_kept_whole_and_explained(installation: Installation) -> None:
    with running(installation):
        installation.send([Sent("predictions", b"k", b"\xff not json"), Sent("outcomes", b"k", b'{"label":1}')])
        installation.promise(END)
        installation.wait(END)
    rows = installation.warehouse.rows("SELECT topic, reason, base64Decode(original) FROM dead_letters ORDER BY topic")
    assert rows == [("outcomes", "invalid", '{"label":1}'), ("predictions", "undecodable", rows[1][2])]
    letters = {m.value(): dict(m.headers() or []) for m in installation.log("dead-letters")}
    assert set(letters) == {b"\xff not json", b'{"label":1}'}
    assert letters[b'{"label":1}']["reason"] == b"invalid"
    assert letters[b'{"label":1}']["topic"] == installation.settings.topic("outcomes").encode()
    assert b"namespace" in (letters[b'{"label":1}']["detail"] or b"")


def feed(
    installation: Installation,
    sent: list[Sent],
    done: Callable[[], bool],
    send: Callable[[Installation, list[Sent]], None] = Installation.send,
) -> None:
    """Send events a few at a time, taking them from ``sent``, until something has happened.

    A few for each checkpoint: they must last for as long as a slow machine takes to start.
    """

    def step() -> bool:
        send(installation, sent[:5])
        del sent[:5]
        time.sleep(CHECKPOINT_SECONDS / 2)
        return done()

    until(step)


@pytest.mark.parametrize("points", [("C0", "C1", "C2", "C3"), ("C4", "C5", "C6", "C7")])
def test_a_kill_after_any_step_changes_nothing(installation: Installation, points: tuple[str, ...]) -> None:
    sent = events(4_000, seed=2)
    for point in points:
        # The second checkpoint dies, so that there is one to take up and one to repeat.
        with process(installation, point, 2, signal.SIGKILL) as child:
            feed(installation, sent, lambda child=child: child.poll() is not None)  # type: ignore[misc]
            assert child.returncode == -signal.SIGKILL
    assert len(sent) > 100
    with running(installation):
        installation.send(sent)
        installation.promise(END)
        installation.wait(END)
    installation.check()


@pytest.mark.parametrize("point", ["C1", "C3", "C4"])
def test_a_stopped_owner_that_wakes_up_as_a_zombie_changes_nothing(installation: Installation, point: str) -> None:
    sent = events(3_000, seed=3)
    with process(installation, point, 2, signal.SIGSTOP) as zombie:
        asked = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        feed(installation, sent, lambda: os.waitid(os.P_PID, zombie.pid, asked) is not None)
        assert len(sent) > 200
        half = len(sent) // 2
        with running(installation):
            installation.send(sent[:half])
            installation.promise(START)
            installation.wait(START)
            zombie.send_signal(signal.SIGCONT)
            installation.send(sent[half:])
            installation.promise(END)
            installation.wait(END)
        assert zombie.poll() is None
    installation.check()
    forks = installation.warehouse.rows(
        "SELECT `partition`, seq FROM checkpoints FINAL GROUP BY `partition`, seq HAVING uniqExact(owner) > 1"
    )
    assert forks == []


def test_partitions_move_between_members(installation: Installation) -> None:
    sent = events(900, seed=4)
    with running(installation):
        installation.send(sent[:300])
        with running(installation):
            until(lambda: len(_owners(installation)) > 1)
            installation.send(sent[300:600])
        installation.send(sent[600:])
        installation.promise(END)
        installation.wait(END)
    installation.check()


def _owners(installation: Installation) -> set[str]:
    """Who wrote the heads; it wakes up both partitions, so that there is a new head."""
    installation.promise(START)
    rows = installation.warehouse.rows(
        "SELECT owner FROM checkpoints ORDER BY `partition`, seq DESC LIMIT 1 BY `partition`"
    )
    return {owner for (owner,) in rows}


def test_what_memory_has_forgotten_is_found_in_clickhouse(installation: Installation) -> None:
    sent = events(6_000, seed=5)
    for start in range(0, len(sent), 4_000):
        with running(installation, cache_events=1_000):
            for part in range(start, min(start + 4_000, len(sent)), 500):
                installation.send(sent[part : part + 500])
                installation.promise(START - DAY + part)
                installation.wait(START - DAY + part)
    with running(installation):
        installation.promise(END)
        installation.wait(END)
    installation.check()


def test_a_silent_partition_adopts_what_the_others_have_recorded(installation: Installation) -> None:
    with running(installation, idle_after_seconds=1.0):
        installation.send(events(100, seed=6))
        installation.promise(END, range(1))
        installation.wait(END)
    rows = installation.warehouse.rows(
        "SELECT predictions_offset, outcomes_offset, adoptions FROM checkpoints WHERE `partition` = 1 ORDER BY seq"
    )
    adopting = [index for index, row in enumerate(rows) if row[2] != "[]"]
    assert len(adopting) == 1
    # In a checkpoint of its own: it moves no position.
    assert rows[adopting[0]][:2] == rows[adopting[0] - 1][:2]
    adoptions = json.loads(rows[adopting[0]][2])
    assert {(a["topic"], a["watermark"]) for a in adoptions} == {("predictions", END), ("outcomes", END)}


def test_most_of_a_topic_dead_stops_the_consumer_after_the_letters_are_safe(installation: Installation) -> None:
    fewest = 10
    installation.send([Sent("predictions", str(n).encode(), b"{") for n in range(4 * fewest)])
    opens = pytest.raises(BreakerOpen, match="of predictions are dead letters")
    with opens, running(installation, dead_letter_min=fewest) as ended:
        until(ended)
    assert installation.warehouse.rows("SELECT count() FROM dead_letters")[0][0] >= fewest


def test_a_topic_with_other_partitions_is_refused(kafka: str, clickhouse_url: str, clickhouse: Client) -> None:
    made = bare(kafka, clickhouse_url, str(clickhouse.database))
    for name in TOPICS:
        made.create(name, 3 if name == "outcomes" else None)
    with pytest.raises(CannotContinue, match=r"outcomes has 3 partitions, the settings say 2"), running(made) as ended:
        until(ended)


def test_offsets_that_are_behind_the_tables_are_refused(installation: Installation) -> None:
    with running(installation):
        installation.promise(END)
        installation.wait(END)
    admin, group = AdminClient(installation.settings.kafka()), installation.settings.group("aggregate")
    admin.delete_consumer_groups([group])[group].result()
    with pytest.raises(CannotContinue, match="reset or have expired"), running(installation) as ended:
        until(ended)


def _reset(installation: Installation, topics: list[TopicName], to: str) -> None:
    """As ``kafka-consumer-groups --reset-offsets --to-earliest`` or ``--to-latest``: offsets without metadata."""
    settings, group = installation.settings, installation.settings.group("aggregate")
    admin, reader = AdminClient(settings.kafka()), Consumer(settings.consumer("reader"))
    until(lambda: not admin.describe_consumer_groups([group])[group].result(30).members)
    places = [TopicPartition(settings.topic(topic), p) for topic in topics for p in range(PARTITIONS)]
    for place in places:
        place.offset = reader.get_watermark_offsets(place, timeout=30)[to == "latest"]
    reader.close()
    done = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])[group].result(30)
    assert not [place for place in done.topic_partitions if place.error]


def _refused(installation: Installation) -> list[tuple[str, str]]:
    """(kind, topic and what happened) of each problem at a start; accepts the topics where there is none."""
    problems = refuse(installation.settings, installation.warehouse, now=lambda: START)
    return [(problem.kind, f"{problem.topic}: {problem.text} {problem.mend}") for problem in problems]


def _restore(installation: Installation) -> list[str]:
    settings, warehouse = installation.settings, installation.warehouse
    return restore(settings, warehouse, now=lambda: START, say=print, dry_run=False)


def _rest_is_counted_once(installation: Installation) -> None:
    assert _restore(installation) == []
    assert _refused(installation) == []
    with running(installation):
        installation.promise(END)
        installation.wait(END)
    installation.check()


@pytest.mark.parametrize("to", ["earliest", "latest"])
@pytest.mark.parametrize("topics", [["predictions"], ["outcomes"], ["predictions", "outcomes"]])
def test_offsets_that_were_reset_are_refused_and_restored(
    installation: Installation, topics: list[TopicName], to: str
) -> None:
    sent = events(1_000, seed=11)
    assert _refused(installation) == []
    with running(installation):
        installation.send(sent[:700])
        installation.promise(START)
        installation.wait(START)
    installation.send(sent[700:])
    _reset(installation, topics, to)

    said = _refused(installation)
    if (topics, to) == (["outcomes"], "earliest"):
        # The pointer is still there, and stage 1 goes on at what is recorded.
        assert said == []
        assert "To reset offsets counts nothing again" in table(read(installation.settings, installation.warehouse))
    else:
        missing = {installation.settings.topic(t) for t in topics if to == "latest" or t == "predictions"}
        assert sorted(text.split(":")[0] for _, text in said) == sorted([*missing] * PARTITIONS)
        assert {kind for kind, _ in said} == {"reset"}
        for _, text in said:
            assert "somebody has reset the group's offsets (kafka-consumer-groups --reset-offsets)" in text
            assert "events are counted to" in text
            assert ("would be skipped" in text) == (to == "latest")
            assert "driftline offsets restore" in text
        # One that is at work does not ask; it takes over nothing either.
        with pytest.raises(CannotContinue, match=r"offsets were reset.*restore"), running(installation) as ended:
            until(ended)
        assert len(_restore(installation)) == PARTITIONS
    _rest_is_counted_once(installation)


def test_offsets_that_were_set_before_anything_was_counted_skip_nothing(installation: Installation) -> None:
    installation.send(events(300, seed=12))
    _reset(installation, ["predictions", "outcomes"], "latest")
    said = _refused(installation)
    assert len(said) == 2 * PARTITIONS
    assert all(kind == "reset" and "nothing is counted of it yet" in text for kind, text in said)
    assert len(_restore(installation)) == PARTITIONS
    _rest_is_counted_once(installation)


# C5 comes once at the start already, where nothing is to be repeated: the first, the second checkpoint.
@pytest.mark.parametrize(("point", "nth"), [("C4", 2), ("C5", 2), ("C5", 3)])
def test_offsets_that_were_reset_after_a_kill_are_restored_to_the_last_decision(
    installation: Installation, point: str, nth: int
) -> None:
    sent = events(3_000, seed=13)
    assert _refused(installation) == []
    with process(installation, point, nth, signal.SIGKILL) as child:
        feed(installation, sent, lambda: child.poll() is not None)
    installation.send(sent)
    _reset(installation, ["predictions", "outcomes"], "latest")
    assert {kind for kind, _ in _refused(installation)} == {"reset"}
    assert len(_restore(installation)) == PARTITIONS
    _rest_is_counted_once(installation)


def test_outcomes_that_were_reset_behind_a_decision_without_its_head_are_restored(installation: Installation) -> None:
    sent = events(3_000, seed=14)
    assert _refused(installation) == []
    with process(installation, "C4", 2, signal.SIGKILL) as child:
        feed(installation, sent, lambda: child.poll() is not None)
    assert _refused(installation) == [], "committed beyond the head, as decided"
    installation.send(sent)
    _reset(installation, ["outcomes"], "latest")
    assert {kind for kind, _ in _refused(installation)} == {"reset"}
    assert len(_restore(installation)) == PARTITIONS
    _rest_is_counted_once(installation)


def _delete(installation: Installation, *, below: dict[int, int]) -> None:
    """Delete the predictions below an offset, per partition, as retention does."""
    topic = installation.settings.topic("predictions")
    places = [TopicPartition(topic, p, offset) for p, offset in below.items()]
    admin = AdminClient(installation.settings.kafka())
    for done in admin.delete_records(places).values():
        done.result(30)


def test_a_first_start_takes_what_kafka_still_has(installation: Installation) -> None:
    installation.send(events(100, seed=9))
    _delete(installation, below=dict.fromkeys(range(PARTITIONS), 20))
    with running(installation):
        installation.promise(END)
        installation.wait(END)
    for p in range(PARTITIONS):
        counted = [offset for topic, offset in installation.verdicts(p) if topic == "predictions"]
        assert min(counted) == 20


def test_an_operator_goes_on_behind_deleted_events(installation: Installation) -> None:
    with running(installation):
        installation.promise(START)
        installation.wait(START)
    installation.send(events(100, seed=10))
    kept = 20
    _delete(installation, below=dict.fromkeys(range(PARTITIONS), kept))
    with pytest.raises(CannotContinue, match="with the metadata that is committed now"), running(installation) as ended:
        until(ended)
    consumer = Consumer(installation.settings.consumer(installation.settings.group("aggregate")))
    topic = installation.settings.topic("predictions")
    pointers = consumer.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=30)
    consumer.commit(
        offsets=[TopicPartition(topic, pointer.partition, kept, pointer.metadata) for pointer in pointers],
        asynchronous=False,
    )
    consumer.close()
    with running(installation):
        installation.promise(END)
        installation.wait(END)
    for p in range(PARTITIONS):
        counted = [offset for topic, offset in installation.verdicts(p) if topic == "predictions"]
        assert min(counted) == kept


def test_a_simulated_day_is_told_at_once(installation: Installation) -> None:
    """The message that lets a window close comes when its last record has been read: no checkpoint is due for long."""
    sent = events(4_000, seed=7, days=5)
    waits = []
    with running(installation, checkpoint_seconds=600.0):
        installation.promise(START - HOUR)
        installation.wait(START - HOUR)
        reader = Consumer(installation.settings.consumer("reader", **{"fetch.wait.max.ms": 1}))
        reader.assign([TopicPartition(installation.settings.topic("partials"), 0, 0)])
        for day in range(5):
            end = START + (day + 1) * DAY
            installation.send(sent[day * 1_600 : (day + 1) * 1_600])
            installation.promise(end)
            began, marks = time.monotonic(), dict.fromkeys(range(PARTITIONS), 0)
            while min(marks.values()) < end:
                assert time.monotonic() < began + 60, f"day {day} is not told: {marks}"
                for message in reader.consume(10, 0.002):
                    partial = msgspec.json.decode(message.value() or b"", type=PartialMessage)
                    marks[partial.partition] = min(partial.watermarks.predictions, partial.watermarks.outcomes)
            waits.append(time.monotonic() - began)
        reader.close()
    sys.stderr.write(f"\nseconds from the last record to the message: {[round(wait, 3) for wait in waits]}\n")


def send_anyhow(installation: Installation, sent: list[Sent]) -> None:
    """Send as a producer with another partitioner, or without keys, does."""
    rng = random.Random(sent[0].value if sent else 0)
    for item in sent:
        key = rng.choice([None, item.key, b"a key of its own"])
        installation.producer.produce(
            installation.settings.topic(item.topic),  # type: ignore[arg-type]
            item.value,
            key,
            partition=rng.randrange(PARTITIONS),
        )
    assert installation.producer.flush(30) == 0


def pairs_and_counts(installation: Installation) -> tuple[int, dict[str, int]]:
    rows = installation.warehouse.rows(
        "SELECT if(view = 'tally', name, 'pairs'), sum(n) FROM partials FINAL "
        "WHERE view IN ('tally', 'matured', 'overdue') AND segment = '' GROUP BY 1"
    )
    tallies = {str(name): int(n) for name, n in rows}
    return tallies.pop("pairs", 0), tallies


def orders(count: int) -> list[Sent]:
    """Predictions of one hour, each with its outcome; nothing is late."""
    rng = random.Random(count)
    sent = []
    for number in range(count):
        at, key = START + number, b"unused"
        sent.append(Sent("predictions", key, json.dumps(prediction(number, at, rng)).encode()))
        sent.append(Sent("outcomes", key, json.dumps(outcome(number, at + HOUR // 2, "late")).encode()))
    return sent


def test_events_in_the_wrong_partition_are_tallied_sent_on_and_joined(installation: Installation) -> None:
    with running(installation):
        send_anyhow(installation, orders(400))
        until(lambda: pairs_and_counts(installation)[0] == 400)
        installation.promise(END)
        installation.wait(END)
    _, tallies = pairs_and_counts(installation)
    assert (tallies["predictions.counted"], tallies["outcomes.counted"]) == (400, 400)
    assert "predictions.duplicate" not in tallies
    assert 100 < tallies["predictions.misrouted"] < 300
    assert 100 < tallies["outcomes.misrouted"] < 300
    installation.check()
    sent_on = [dict(m.headers() or []) for p in range(PARTITIONS) for m in installation.log("predictions", p)]
    places = [headers["driftline_forwarded"] for headers in sent_on if "driftline_forwarded" in headers]
    assert len(set(places)) == len(places) == tallies["predictions.misrouted"]
    found = reconcile.reconcile(installation.settings, installation.warehouse, source="topics")
    assert found.differences == []
    totals = found.totals["default/delay"]
    assert totals["in"] == 800 + totals["misrouted"]


def test_a_kill_while_events_are_sent_on_counts_none_twice(installation: Installation) -> None:
    count = 1_500
    left = orders(count)
    for point in ("C1", "C2", "C3", "C4"):
        with process(installation, point, 2, signal.SIGKILL) as child:
            feed(installation, left, lambda child=child: child.poll() is not None, send_anyhow)  # type: ignore[misc]
            assert child.returncode == -signal.SIGKILL
    with running(installation):
        assert len(left) > 100
        send_anyhow(installation, left)
        until(lambda: pairs_and_counts(installation)[0] == count)
        installation.promise(END)
        installation.wait(END)
    _, tallies = pairs_and_counts(installation)
    assert (tallies["predictions.counted"], tallies["outcomes.counted"]) == (count, count)
    # What was sent on twice is a duplicate by its id, and nothing worse.
    assert tallies["predictions.duplicate"] > 0
    installation.check()
    assert reconcile.reconcile(installation.settings, installation.warehouse, source="topics").ok
