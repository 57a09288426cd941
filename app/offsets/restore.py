"""``driftline offsets restore``: let stage 1 go on where it was, and say what that costs."""

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from app.offsets.places import ANSWER_SECONDS, SIDES, Facts, Place, Problem, accepted, pointer_of, read
from schemas.events import SourceTopic
from schemas.settings import Settings
from schemas.tables import SOURCE_TOPICS
from schemas.windows import from_ms
from warehouse.client import Warehouse

FILLER_HEADER = "driftline_filler"
"""Header of a record that only takes up an offset; it lies below what is counted, so that nobody reads it."""

_BATCH = 10_000
_SAY_EVERY = 5.0
_CONFIRM_SECONDS = 1.0


class CannotRestore(RuntimeError):
    """Nothing was changed; the text says what to do first."""


def refuse(settings: Settings, warehouse: Warehouse, *, now: Callable[[], int]) -> list[Problem]:
    """What keeps stage 1 from starting; with nothing wrong, the topics' ids are remembered.

    An aggregator that is at work may commit between two questions, so a problem counts when it is found twice.

    Args:
        settings: of the installation.
        warehouse: its database, migrated.
        now: milliseconds of the wall clock.
    """
    facts = read(settings, warehouse)
    if facts.problems:
        time.sleep(_CONFIRM_SECONDS)
        again = read(settings, warehouse)
        before = {place.partition: place.metadata for place in facts.places}
        moved = {place.partition for place in again.places if before.get(place.partition) != place.metadata}
        return [problem for problem in again.problems if problem.partition not in moved]
    _accept(settings, warehouse, facts, now)
    return []


def restore(
    settings: Settings,
    warehouse: Warehouse,
    *,
    now: Callable[[], int],
    say: Callable[[str], None],
    dry_run: bool,
    accept_partitions: bool = False,
) -> list[str]:
    """Mend what can be mended, in an order in which it may be broken off and run again.

    A recreated topic is filled with empty records up to the offset that is counted next, and what was in it below that
    is sent again behind it; so every offset that is recorded keeps its meaning.

    Args:
        settings: of the installation.
        warehouse: its database.
        now: milliseconds of the wall clock.
        say: told of progress.
        dry_run: only say what would be done.
        accept_partitions: go on with another number of partitions than was counted until now.

    Returns:
        What was done, a line each.

    Raises:
        CannotRestore: an aggregator is at work, or a person must decide first.
        confluent_kafka.KafkaException: a broker did not answer.
    """
    facts = read(settings, warehouse)
    stuck = [problem for problem in facts.problems if problem.kind == "ahead"]
    if not (accept_partitions and facts.places):
        stuck += [problem for problem in facts.problems if problem.kind == "partitions"]
    if stuck:
        raise CannotRestore("\n".join(f"{problem.text} {problem.mend}" for problem in stuck))
    if facts.problems and (members := _members(settings)):
        classic = f"{settings.session_timeout_ms / 1000:g} s"
        session = classic if settings.group_protocol == "classic" else "the broker's group.consumer.session.timeout.ms"
        raise CannotRestore(
            f"the group {settings.group('aggregate')} has {members} members: stop all aggregators first (one that was "
            f"killed leaves the group after {session})"
        )
    done = []
    recreated = {problem.topic for problem in facts.problems if problem.kind == "recreated"}
    for side, name in enumerate(SIDES):
        if settings.topic(name) in recreated:
            done += [_refill(settings, place, side, say, dry_run) for place in facts.places]
    offsets = []
    for place in facts.places:
        wrong = [problem for problem in facts.problems if problem.partition in (place.partition, None)]
        # Of a partition that was never counted nothing is recorded; what somebody has committed is undone all the same.
        mend = any(problem.kind != "partitions" for problem in wrong)
        if mend and (place.decided.seq or any(problem.kind == "reset" for problem in wrong)):
            offsets += _offsets(settings, place, recreated)
            done.append(f"partition {place.partition}: {', '.join(str(o.offset) for o in offsets[-2:])} committed")
    if not dry_run:
        if offsets:
            _commit(settings, offsets)
        _accept(settings, warehouse, facts, now)
    return done


def _offsets(settings: Settings, place: Place, recreated: set[str]) -> list[TopicPartition]:
    first, second = (
        place.start(side) if settings.topic(name) in recreated else max(place.start(side), place.ends[side].low)
        for side, name in enumerate(SIDES)
    )
    return [
        TopicPartition(settings.topic(SIDES[0]), place.partition, first, pointer_of(place)),
        TopicPartition(settings.topic(SIDES[1]), place.partition, second),
    ]


def _commit(settings: Settings, offsets: list[TopicPartition]) -> None:
    consumer = Consumer(settings.consumer(settings.group("aggregate")))
    try:
        answers = consumer.commit(offsets=offsets, asynchronous=False)
    finally:
        consumer.close()
    if wrong := [str(answer.error) for answer in answers or () if answer.error]:
        raise CannotRestore(f"the offsets were refused: {wrong[0]}. Is an aggregator still running?")


def _accept(settings: Settings, warehouse: Warehouse, facts: Facts, now: Callable[[], int]) -> None:
    known, partitions = accepted(settings, warehouse), settings.source_partitions
    rows = [
        (settings.topic(side), id_, partitions, from_ms(now()))
        for side, id_ in facts.topic_ids.items()
        if known.get(side) != (id_, partitions)
    ]
    warehouse.insert(SOURCE_TOPICS, rows)


def _members(settings: Settings) -> int:
    group = settings.group("aggregate")
    admin = AdminClient(settings.kafka())  # kept: the answer fails when its client goes
    found: Any = admin.describe_consumer_groups([group])[group].result(ANSWER_SECONDS)
    return len(found.members)


def _refill(settings: Settings, place: Place, side: int, say: Callable[[str], None], dry_run: bool) -> str:
    """Empty records up to the offset that is next, then what lies below it once more."""
    name: SourceTopic = SIDES[side]
    topic, (low, high), target = settings.topic(name), place.ends[side], place.start(side)
    where, kept = f"{topic}[{place.partition}]", min(high, target)
    text = f"{where}: {max(0, target - high):,} empty records, then {kept - low:,} records of the new topic sent again"
    if dry_run:
        return text
    producer = Producer(settings.producer(**{"compression.type": "gzip", "linger.ms": 50}))

    def send(value: Any, key: Any, headers: Any) -> None:
        while True:
            try:
                producer.produce(topic, value, key, place.partition, headers=headers)
                return
            except BufferError:
                producer.poll(0.1)

    spoken = time.monotonic()
    for offset in range(high, target):
        send(b"", None, [(FILLER_HEADER, b"")])
        if time.monotonic() - spoken > _SAY_EVERY:
            say(f"{where}: {offset:,} of {target:,}")
            spoken = time.monotonic()
    _flush(producer)
    sent = 0
    for message in _between(settings, TopicPartition(topic, place.partition, low), kept):
        headers = message.headers() or []
        if any(header == FILLER_HEADER for header, _ in headers):
            continue  # of a run that was broken off
        send(message.value(), message.key(), list(headers))
        sent += 1
    _flush(producer)
    return text.replace(f"then {kept - low:,}", f"then {sent:,}")


def _between(settings: Settings, first: TopicPartition, end: int) -> Any:
    """The records of a partition from an offset to before another."""
    reader = Consumer(settings.consumer(f"{settings.group('offsets')}", **{"enable.partition.eof": True}))
    reader.assign([first])
    try:
        at = first.offset
        while at < end:
            found: list[Message] = reader.consume(_BATCH, 1.0)
            for message in found:
                offset = message.offset()
                if message.error() is not None or offset is None or offset >= end:
                    at = max(at, offset or 0) if message.error() is not None else end
                    continue
                at = offset + 1
                yield message
    finally:
        reader.close()


def _flush(producer: Producer) -> None:
    if left := producer.flush(600):
        raise CannotRestore(f"Kafka did not take {left} records; run it again, what was sent twice is counted once")
