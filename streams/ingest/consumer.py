"""The loop: read the topics that models ask for, in the order of time, and hand batches over."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from observe import Observer
from schemas.settings import Settings
from streams.ingest.formats import Formats, RegistryAway
from streams.ingest.merge import InTime, Place
from streams.ingest.sources import Sources
from streams.ingest.tally import Tally
from streams.ingest.transfer import Batch, Transfer, prepare
from warehouse.client import Warehouse

log = structlog.get_logger()

_BATCH = 5_000
_POLL_SECONDS = 0.1
_IDLE_SECONDS = 0.5
_REJOIN_SECONDS = 1.0
_ANSWER_SECONDS = 30.0
_REFRESH_MS = 15_000
"""How soon a topic or a partition that is new is found."""

_MAX_POLL_MS = 900_000
"""Longer than the warehouse's patience: an outage of ClickHouse is waited for inside a turn."""

_NOT_THERE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED)


class Member:
    """One membership in the group, from joining to leaving; what it holds never outlives an assignment."""

    def __init__(
        self, settings: Settings, sources: Sources, formats: Formats, transfer: Transfer, observer: Observer
    ) -> None:
        self._observer = observer
        self._sources = sources
        self._formats = formats
        self._transfer = transfer
        self._topics: list[str] = []
        self._assigned: list[TopicPartition] | None = None
        self._merge = InTime()
        self._tallies: dict[Place, Tally] = {}
        self._missing: set[str] = set()
        self._consumer = Consumer(
            settings.consumer(
                settings.group("ingest"),
                **{
                    "partition.assignment.strategy": "range",
                    "enable.partition.eof": True,
                    "max.poll.interval.ms": _MAX_POLL_MS,
                    "allow.auto.create.topics": False,
                    "topic.metadata.refresh.interval.ms": _REFRESH_MS,
                    # Positions are always given; one that is out of range means that records were deleted unread.
                    "auto.offset.reset": "error",
                    **observer.statistics(),
                },
            )
        )

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set.

        Raises:
            KafkaException: join again.
            RegistryAway: the same.
        """
        try:
            while not stop.is_set():
                self._observer.turn()
                if self._subscribed():
                    self._turn()
                else:
                    # No model asks for anything: that is no reason not to be ready.
                    self._observer.assigned()
                    stop.wait(_IDLE_SECONDS)
                    self._sources.read()
        finally:
            self._consumer.close()

    def _subscribed(self) -> bool:
        topics = sorted(self._sources.rules)
        if topics != self._topics:
            self._topics = topics
            # Partitions that stay go on; a rebalance, if this makes one, begins them all anew.
            self._merge.keep(topics)
            if topics:
                self._consumer.subscribe(
                    topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
                )
                self._observer.joining()
            else:
                self._consumer.unsubscribe()
            log.info("ingest.topics", topics=topics)
        return bool(topics)

    def _turn(self) -> None:
        messages = self._consumer.consume(_BATCH, _POLL_SECONDS)
        if self._assigned is not None:
            self._start(self._assigned)
            return
        self._sort(messages)
        # What was published before a record was sent must be known before the record is mapped.
        self._sources.read()
        if self._topics != sorted(self._sources.rules):
            return
        if records := self._merge.take(_BATCH):
            batch = prepare(records, self._sources.rules, self._formats, self._tallies)
            self._transfer.send(batch, self._consumer)
            self._tallies |= batch.tallies
            self._tell(batch)
        pause, resume = self._merge.throttle()
        if pause:
            self._consumer.pause(_partitions(pause))
        if resume:
            self._consumer.resume(_partitions(resume))

    # A callback runs inside consume(): it only notes what the loop must do. No transaction is open then.

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned = partitions
        consumer.assign([])

    def _on_revoke(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._drop()
        self._observer.joining()

    def _drop(self) -> None:
        self._assigned, self._merge, self._tallies = None, InTime(), {}

    def _start(self, partitions: list[TopicPartition]) -> None:
        """Go on where the books end, and begin the books of partitions that were never read."""
        self._assigned = None
        positions: dict[Place, int] = {}
        begun = Batch()
        known = self._committed(partitions)
        for wanted in partitions:
            place = (wanted.topic, wanted.partition)
            low, high = self._consumer.get_watermark_offsets(wanted, timeout=_ANSWER_SECONDS, cached=False)
            found = known[place]
            tally = self._tallies[place] = Tally.of(found.metadata)
            position = found.offset
            if position < 0:
                # A partition that is added later is new altogether: nothing in it is history.
                seen = any(of.offset >= 0 for (topic, _), of in known.items() if topic == wanted.topic)
                position = high if wanted.topic in self._sources.from_now_on and not seen else low
                begun.positions[place], begun.tallies[place] = position, tally
            elif position < low:
                log.error("ingest.lost", topic=wanted.topic, partition=wanted.partition, records=low - position)
                tally.lost += low - position
                position = low
                begun.positions[place], begun.tallies[place] = position, tally
            positions[place] = position
            log.info("ingest.assigned", topic=wanted.topic, partition=wanted.partition, position=position)
        if begun.positions:
            self._transfer.send(begun, self._consumer)
        self._merge = InTime(positions)
        self._consumer.assign([TopicPartition(*place, position) for place, position in positions.items()])
        self._observer.assigned()

    def _committed(self, partitions: list[TopicPartition]) -> dict[Place, TopicPartition]:
        """What the group has committed for every partition of the topics, other members' too."""
        topics = {wanted.topic for wanted in partitions}
        found = self._consumer.list_topics(timeout=_ANSWER_SECONDS).topics
        every = [TopicPartition(topic, p) for topic in sorted(topics) for p in found[topic].partitions]
        answers = self._consumer.committed(every, timeout=_ANSWER_SECONDS)
        for answer in answers:
            if answer.error is not None:
                raise KafkaException(answer.error)
        return {(answer.topic, answer.partition): answer for answer in answers}

    def _sort(self, messages: list[Message]) -> None:
        for message in messages:
            error, place = message.error(), (message.topic() or "", message.partition() or 0)
            if error is None:
                self._merge.add(place, message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._merge.end(place)
            elif error.code() in _NOT_THERE:
                self._say_missing(place[0], error)
            else:
                raise KafkaException(error)

    def _tell(self, batch: Batch) -> None:
        """What became of a batch that is committed."""
        for (topic, verdict), n in batch.verdicts.items():
            self._observer.events(topic, verdict, n)
        for letter in batch.letters:
            self._observer.dead_letters(letter.reason)
        if batch.letters:
            first = batch.letters[0]
            place = f"{first.place[0]}/{first.place[1]}/{first.offset}"
            log.warning("ingest.dead_letters", records=len(batch.letters), first=place, detail=first.detail[:300])

    def _say_missing(self, topic: str, error: KafkaError) -> None:
        if topic not in self._missing:
            self._missing.add(topic)
            log.error(
                "ingest.topic_not_there",
                topic=topic,
                error=error.str(),
                use="create the topic, let this user read it, or mend spec.source; it is looked for again and again",
            )


def _partitions(places: Iterable[Place]) -> list[TopicPartition]:
    return [TopicPartition(*place) for place in sorted(places)]


def run(
    settings: Settings,
    warehouse: Warehouse,
    *,
    producer_id: Callable[[], str],
    stop: threading.Event,
    registry: Any = None,
    observer: Observer | None = None,
) -> None:
    """Translate customers' topics into driftline's events until ``stop`` is set.

    Args:
        settings: of the installation.
        warehouse: ClickHouse, migrated; dead letters go there.
        producer_id: a fresh name for each membership, never used again.
        stop: set it to leave.
        registry: client of a Schema Registry; None: the one that the settings name, if any.
        observer: told how it is doing.
    """
    told = observer or Observer()
    sources = Sources(settings, has_registry=registry is not None or bool(settings.schema_registry_url))
    formats = Formats(settings, registry)
    try:
        while not stop.is_set():
            try:
                Member(settings, sources, formats, Transfer(settings, warehouse, producer_id()), told).run(stop)
            except (KafkaException, RegistryAway) as error:
                log.warning("ingest.joins_again", error=str(error))
                stop.wait(_REJOIN_SECONDS)
    finally:
        sources.close()
