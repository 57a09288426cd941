"""Where a service that was killed goes on: the topics themselves say what it had sent.

The emitter is idempotent, so in each partition a prefix of the step's records is there, in order, and the records of
one prediction id are all in one partition. So the first n records of an id are there, and n is counted.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from driftline.emitter import SOURCE_TOPICS

from app.demo.step import Message
from schemas.events import Progress
from schemas.settings import Settings
from schemas.windows import to_ms

Partition = tuple[str, int]
_FIRST_LOOK = 8_192
_TIMEOUT = 30.0


class Seen(NamedTuple):
    """One record of a partition's end: an event's key, or the instant (ms) that a progress record promises."""

    prediction_id: str | None
    progress: int | None


@dataclass(frozen=True, slots=True)
class Position:
    """How far a service had come.

    Attributes:
        base: the newest instant (ms) that every partition has promised; None before the first.
        sent: (topic, prediction id) -> records after ``base``.
        promised: partitions that have the promise after ``base`` already.
    """

    base: int | None = None
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    promised: frozenset[Partition] = frozenset()

    def missing(self, messages: Sequence[Message]) -> list[Message]:
        """What is left to send of the step after ``base``."""
        there = self.sent.copy()
        left = []
        for message in messages:
            identity = (message.topic, message.prediction_id)
            if there[identity] > 0:
                there[identity] -= 1
            else:
                left.append(message)
        return left


def position(ends: Mapping[Partition, Sequence[Seen]]) -> Position:
    """How far the service had come, from the end of every partition: two promises back, or all that there is."""
    promises = {where: [seen.progress for seen in end if seen.progress is not None] for where, end in ends.items()}
    base = None if not all(promises.values()) else min(promise[-1] for promise in promises.values())
    sent: Counter[tuple[str, str]] = Counter()
    for (topic, _), end in ends.items():
        after = 1 + max((at for at, seen in enumerate(end) if base is not None and seen.progress == base), default=-1)
        sent.update((topic, seen.prediction_id) for seen in end[after:] if seen.prediction_id is not None)
    promised = {where for where, made in promises.items() if made and (base is None or made[-1] > base)}
    return Position(base, sent, frozenset(promised))


def find(settings: Settings, namespace: str, model: str) -> Position:
    """Read the ends of both source topics.

    Raises:
        KafkaException: the broker does not answer.
    """
    consumer = Consumer(settings.consumer(settings.group("demo-service-resume"), **{"enable.partition.eof": False}))
    try:
        return position(
            {
                (topic, partition): _end(consumer, TopicPartition(settings.topic(topic), partition), (namespace, model))
                for topic in SOURCE_TOPICS
                for partition in range(settings.source_partitions)
            }
        )
    finally:
        consumer.close()


def _end(consumer: Consumer, where: TopicPartition, owner: tuple[str, str]) -> list[Seen]:
    low, high = consumer.get_watermark_offsets(where, timeout=_TIMEOUT, cached=False)
    look = _FIRST_LOOK
    while True:
        start = max(low, high - look)
        seen = _read(consumer, where, (start, high), owner)
        if start == low or sum(record.progress is not None for record in seen) >= 2:
            return seen
        look *= 4


def _read(consumer: Consumer, where: TopicPartition, offsets: tuple[int, int], owner: tuple[str, str]) -> list[Seen]:
    seen: list[Seen] = []
    at, end = offsets
    consumer.assign([TopicPartition(where.topic, where.partition, at)])
    while at < end:
        # It waits for all that it is asked for: never ask for more than there is.
        messages = consumer.consume(min(end - at, 10_000), timeout=_TIMEOUT)
        if not messages:
            raise TimeoutError(f"{where.topic}[{where.partition}] could not be read from {at} to {end}")
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
            at = int(message.offset() or 0) + 1
            key, value = message.key(), message.value()
            if key is not None:
                namespace, model, prediction_id = str(key, "utf-8").split("/", 2)
                if (namespace, model) == owner:
                    seen.append(Seen(prediction_id, None))
            elif value is not None:
                promise = msgspec.json.decode(value, type=Progress)
                if (promise.namespace, promise.model) == owner:
                    seen.append(Seen(None, to_ms(promise.event_time)))
    consumer.unassign()
    return seen
