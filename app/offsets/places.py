"""What Kafka and ClickHouse say of every source partition, and what does not fit together."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas.events import SourceTopic
from schemas.settings import Settings
from streams.aggregate.checkpoint import pointer, read_pointer
from warehouse.client import Warehouse

SIDES: tuple[SourceTopic, SourceTopic] = ("predictions", "outcomes")
ANSWER_SECONDS = 30.0
_PAUSE_SECONDS = 0.2
_ON_ITS_WAY = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError._WAIT_COORD,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
    }
)
"""Errors of a group whose coordinator is being found, as after a broker's start."""


NOBODY = "nobody"
"""Owner in the pointer of a partition of which nothing was counted."""

Kind = Literal["partitions", "recreated", "reset", "ahead", "deleted"]
"""What can be wrong: see :func:`read`."""


class Head(NamedTuple):
    """A checkpoint of a partition; seq 0: there is none yet."""

    seq: int
    owner: str
    positions: tuple[int, int]


class Ends(NamedTuple):
    """The first offset that a log still has, and the next one that it will give."""

    low: int
    high: int


@dataclass(frozen=True)
class Place:
    """A source partition. Offsets are of (predictions, outcomes).

    Attributes:
        committed: by the group, None where nothing is.
        metadata: of the committed offset of predictions: the pointer.
        head: the newest checkpoint that ClickHouse vouches for.
        decided: the newest one that is known to be decided: the head, or the one after it, whose owner died between
            its decision and the head.
        ends: of the two logs.
    """

    partition: int
    committed: tuple[int | None, int | None]
    metadata: str
    head: Head
    decided: Head
    ends: tuple[Ends, Ends]

    @property
    def seq(self) -> int | None:
        """Number of the checkpoint that the group has decided; None when its pointer cannot be read."""
        if self.committed[0] is None:
            return 0
        found = read_pointer(self.metadata)
        return found[0] if found else None

    @property
    def lost(self) -> bool:
        """Whether the group has no pointer any more, or an old one, so that what it has committed means nothing."""
        return self.seq is None or self.seq < self.head.seq

    def start(self, side: int) -> int:
        """Where the next owner is to read on: where was counted to, or behind it what Kafka has deleted."""
        recorded, committed = self.decided.positions[side], self.committed[side] or 0
        return recorded if self.lost or committed > self.ends[side].low else max(recorded, committed)

    def skips(self, side: int) -> int:
        """How many events that Kafka still has lie between where was counted to and the committed offset."""
        return max(0, (self.committed[side] or 0) - max(self.decided.positions[side], self.ends[side].low))


@dataclass(frozen=True)
class Problem:
    """Something that must not be passed over; ``text`` says what happened, ``mend`` what to do."""

    kind: Kind
    topic: str
    partition: int | None
    text: str
    mend: str


@dataclass
class Facts:
    """All source partitions, and the ids of the two topics as they are now."""

    places: list[Place] = field(default_factory=list)
    topic_ids: dict[SourceTopic, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


RESTORE = "stop all aggregators, then: driftline offsets restore"


def read(settings: Settings, warehouse: Warehouse) -> Facts:
    """Ask Kafka first, then ClickHouse, and compare.

    - *partitions*: the source topics have another number of partitions than the settings say, or than was counted.
    - *recreated*: a source topic is not the one that was counted until now (another id), so its offsets begin anew.
    - *reset*: the group's offsets are behind the tables, have no pointer, or skip events: they expired or were reset.
    - *ahead*: the group's pointer is no checkpoint of this database.
    - *deleted*: events were deleted from Kafka before they were counted.

    Raises:
        confluent_kafka.KafkaException: a broker did not answer.
    """
    admin = AdminClient(settings.kafka())
    names = {settings.topic(side): side for side in SIDES}
    described = {name: done.result() for name, done in admin.describe_topics(TopicCollection(list(names))).items()}
    facts = Facts(topic_ids={names[name]: str(topic.topic_id) for name, topic in described.items()})
    for name, topic in described.items():
        if len(topic.partitions) != settings.source_partitions:
            facts.problems.append(_count(settings, name, len(topic.partitions)))
    if facts.problems:
        return facts
    facts.places = _places(settings, warehouse)
    known = accepted(settings, warehouse)
    for side, (id_, partitions) in known.items():
        if id_ != facts.topic_ids[side]:
            facts.problems.append(_recreated(settings.topic(side)))
        if partitions != settings.source_partitions:
            facts.problems.append(_other_count(settings, settings.topic(side), partitions))
    recreated = {problem.topic for problem in facts.problems}
    for place in facts.places:
        facts.problems += _problems(settings, place, recreated)
    return facts


def accepted(settings: Settings, warehouse: Warehouse) -> dict[SourceTopic, tuple[str, int]]:
    """(id, partitions) of the source topics that were counted until now; empty before the first start."""
    names = {settings.topic(side): side for side in SIDES}
    rows = warehouse.rows("SELECT topic, id, partitions FROM source_topics FINAL")
    return {names[topic]: (id_, partitions) for topic, id_, partitions in rows if topic in names}


def _places(settings: Settings, warehouse: Warehouse) -> list[Place]:
    partitions = range(settings.source_partitions)
    asked = [TopicPartition(settings.topic(side), p) for side in SIDES for p in partitions]
    consumer = Consumer(settings.consumer(settings.group("aggregate")))
    try:
        committed = {(c.topic, c.partition): c for c in _committed(consumer, asked)}
        ends = {
            (a.topic, a.partition): Ends(*consumer.get_watermark_offsets(a, timeout=ANSWER_SECONDS, cached=False))
            for a in asked
        }
    finally:
        consumer.close()
    heads = _heads(warehouse)
    first, second = SIDES

    def offset(side: SourceTopic, p: int) -> int | None:
        found = committed[settings.topic(side), p].offset
        return found if found >= 0 else None

    def place(p: int) -> Place:
        head = heads.get(p, Head(0, "", (0, 0)))
        found = Place(
            partition=p,
            committed=(offset(first, p), offset(second, p)),
            metadata=committed[settings.topic(first), p].metadata or "",
            head=head,
            decided=head,
            ends=(ends[settings.topic(first), p], ends[settings.topic(second), p]),
        )
        return replace(found, decided=_decided(found, warehouse))

    return [place(p) for p in partitions]


def _committed(consumer: Consumer, asked: list[TopicPartition]) -> list[TopicPartition]:
    """What is committed, asked again while the group's coordinator is on its way."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            found = consumer.committed(asked, timeout=ANSWER_SECONDS)
            if wrong := next((answer.error for answer in found if answer.error), None):
                raise KafkaException(wrong)
            return found
        except KafkaException as error:
            if error.args[0].code() not in _ON_ITS_WAY or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


def _heads(warehouse: Warehouse) -> Mapping[int, Head]:
    rows: list[tuple[Any, ...]] = warehouse.rows(
        "SELECT `partition`, seq, owner, predictions_offset, outcomes_offset FROM heads FINAL"
    )
    return {p: Head(seq, owner, (first, second)) for p, seq, owner, first, second in rows}


def _decided(place: Place, warehouse: Warehouse) -> Head:
    """The newest decided checkpoint of a partition.

    The pointer names it. When that is lost, rows of ``partials`` show a decision, since nobody writes them before; to
    count again what they hold would count it twice. A decision that shows nowhere may as well be made again.
    """
    head, seq = place.head, place.head.seq + 1
    if not (place.lost or place.seq == seq):
        return head
    asked = {"p": place.partition, "seq": seq}
    if place.lost and not warehouse.rows(
        "SELECT 1 FROM partials WHERE `partition` = {p:UInt16} AND seq = {seq:UInt64} LIMIT 1", asked
    ):
        return head
    rows = warehouse.rows(
        "SELECT owner, JSONExtract(body, 'positions', 'Array(UInt64)') FROM redo "
        "WHERE `partition` = {p:UInt16} AND seq = {seq:UInt64} LIMIT 1 BY owner",
        asked,
    )
    named = read_pointer(place.metadata)
    redos = [Head(seq, owner, (first, second)) for owner, (first, second) in rows]
    if place.lost or named is None:
        return redos[0] if redos else head
    first, second = (max(at or 0, recorded) for at, recorded in zip(place.committed, head.positions, strict=True))
    # Without its redo record, of which stage 1 will tell, what is committed cannot be doubted.
    return next((redo for redo in redos if redo.owner == named[1]), Head(*named, (first, second)))


def _count(settings: Settings, topic: str, found: int) -> Problem:
    text = f"topic {topic} has {found} partitions, the settings say {settings.source_partitions}."
    mend = (
        f"set DRIFTLINE_SOURCE_PARTITIONS={found} (both source topics must have as many), then driftline offsets show"
    )
    return Problem("partitions", topic, None, text, mend)


def _other_count(settings: Settings, topic: str, before: int) -> Problem:
    return Problem(
        "partitions",
        topic,
        None,
        f"topic {topic} has {settings.source_partitions} partitions, but {before} were counted until now. Most ids "
        "live in another one from now on, where nobody remembers them: a prediction and an outcome, or two copies of "
        "an event, of which one came before the change and one after it, do not find each other.",
        f"if that can be borne, {RESTORE} --accept-partitions; else use another topic prefix and database",
    )


def _recreated(topic: str) -> Problem:
    return Problem(
        "recreated",
        topic,
        None,
        f"topic {topic} was deleted and made again: its offsets begin anew, and those that are recorded mean others.",
        f"{RESTORE}: it moves the topic's offsets to where they were, and sends what is in it again behind that",
    )


def _problems(settings: Settings, place: Place, recreated: set[str]) -> list[Problem]:
    head, name, group = place.head, settings.topic(SIDES[0]), settings.group("aggregate")
    if (place.seq is None and place.metadata) or (place.seq or 0) > head.seq + 1:
        return [
            Problem(
                "ahead",
                name,
                place.partition,
                f"the group {group} has committed {place.metadata!r}, the database "
                f"{settings.database} knows checkpoint {head.seq} of partition {place.partition}: it is another "
                "database, or another program commits in this group.",
                "name the right database (DRIFTLINE_DATABASE), restore it from a backup, or use another topic prefix",
            )
        ]
    found = []
    if place.seq is None:
        found.append(_reset(place, 0, name, group))
    elif place.lost:
        was = "nothing" if place.committed[0] is None else f"checkpoint {place.seq}"
        found.append(
            Problem(
                "reset",
                name,
                place.partition,
                f"the group {group} has committed {was} of partition {place.partition}, but "
                f"checkpoint {place.decided.seq} is recorded: the offsets were reset, or have expired (a group without "
                "members keeps them for offsets.retention.minutes).",
                f"{RESTORE}: it commits checkpoint {place.decided.seq} again",
            )
        )
    for side, topic in enumerate(map(settings.topic, SIDES)):
        low, high = place.ends[side]
        if topic in recreated:
            continue
        if place.skips(side) and not any(problem.topic == topic for problem in found):
            found.append(_reset(place, side, topic, group))
        if not (place.decided.seq or place.start(side)):
            continue
        if place.start(side) < low:
            found.append(
                Problem(
                    "deleted",
                    topic,
                    place.partition,
                    f"{low - place.start(side)} events of {topic}[{place.partition}] were deleted from Kafka before "
                    f"they were counted (from offset {place.start(side)} to {low}).",
                    f"raise retention.ms of {topic}; to go on without them, {RESTORE}",
                )
            )
        elif place.start(side) > high:
            found.append(_recreated(topic))
            recreated.add(topic)
    return found


def _reset(place: Place, side: int, topic: str, group: str) -> Problem:
    """Somebody has set an offset by hand: it came without a pointer, or skips events."""
    seq, to = place.decided.seq, place.start(side)
    recorded = f"events are counted to {to} (checkpoint {seq})" if seq else "nothing is counted of it yet"
    costs = f", {place.skips(side)} events between would be skipped" if place.skips(side) else ""
    return Problem(
        "reset",
        topic,
        place.partition,
        f"the group {group} has offset {place.committed[side]} of {topic}[{place.partition}] committed, but {recorded}"
        f"{costs}: somebody has reset the group's offsets (kafka-consumer-groups --reset-offsets), or another program "
        "commits in this group.",
        f"{RESTORE}: it commits {f'checkpoint {seq} ({to})' if seq else 'the oldest event'} again. To reset offsets "
        "counts nothing again, nor skips anything",
    )


def pointer_of(place: Place) -> str:
    """The metadata that belongs to a partition's newest decided checkpoint."""
    return pointer(place.decided.seq, place.decided.owner or NOBODY)
