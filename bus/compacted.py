"""Read a compacted topic to the end that it has now, again and again, outside of any consumer group."""

import time
from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.settings import Settings
from schemas.topics import TopicName

_POLL_SECONDS = 0.01
_ELECTION_SECONDS = 0.1
_ELECTIONS = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
"""What brokers answer of a topic that was made a moment ago, or whose leader has just left."""


class Entry(NamedTuple):
    """One record, and where it stands; ``value`` None deletes its ``key``."""

    partition: int
    offset: int
    value: bytes | None
    key: bytes = b""


class CompactedReader:
    """Goes through a topic from its beginning. Not thread-safe."""

    def __init__(self, settings: Settings, name: TopicName) -> None:
        """Start before the first record; nothing is read yet."""
        self._topic = settings.topic(name)
        self._next = dict.fromkeys(range(settings.partitions(name)), 0)
        self._entries: list[Entry] = []
        # librdkafka wants a group's name; nothing is ever committed under it.
        options = {"enable.partition.eof": True, "fetch.wait.max.ms": 5, "allow.auto.create.topics": False}
        self._consumer = Consumer(settings.consumer(settings.group("readers"), **options))
        whole = [TopicPartition(self._topic, partition, 0) for partition in self._next]
        self._consumer.assign(whole)
        self._consumer.pause(whole)

    def read(self, timeout: float = 30.0) -> list[Entry]:
        """Every record between the last one given and the end that the topic has now; none is given twice.

        Raises:
            KafkaException: the broker does not answer within ``timeout`` seconds, or refuses.
        """
        ends = {partition: self._end(partition, timeout) for partition in self._next}
        behind = [TopicPartition(self._topic, p) for p, end in ends.items() if self._next[p] < end]
        if behind:
            # Nothing is fetched between two reads: a client that is at the end of a topic asks again and again, and
            # whoever asks for the end meanwhile waits behind that.
            self._consumer.resume(behind)
            try:
                self._fetch(ends, timeout)
            finally:
                self._consumer.pause(behind)
        # Only now: what was read before an error is given by the next call.
        entries, self._entries = self._entries, []
        return entries

    def _fetch(self, ends: Mapping[int, int], timeout: float) -> None:
        polls = 0
        while any(self._next[partition] < end for partition, end in ends.items()):
            if (polls := polls + 1) > timeout / _POLL_SECONDS:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{self._topic} cannot be read to its end"))
            messages = self._consumer.consume(1_000, _POLL_SECONDS)
            if not messages:
                # The client's thread for a broker sleeps up to a second when it has nothing to fetch, and being allowed
                # to fetch again does not wake it; a request does.
                self._end(next(p for p, end in ends.items() if self._next[p] < end), timeout)
            for message in messages:
                error, partition, offset = message.error(), message.partition(), message.offset()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                if partition is None or offset is None:
                    continue
                if error is None:
                    self._entries.append(Entry(partition, offset, message.value(), message.key() or b""))
                    offset += 1
                # The end of a partition counts too: compaction leaves gaps before it.
                self._next[partition] = max(self._next[partition], offset)

    def partition_counts(self, timeout: float = 30.0) -> dict[str, int]:
        """Topic -> number of partitions, as the broker has them."""
        return {
            name: len(topic.partitions) for name, topic in self._consumer.list_topics(timeout=timeout).topics.items()
        }

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _end(self, partition: int, timeout: float) -> int:
        where = TopicPartition(self._topic, partition)
        for _ in range(max(1, int(timeout / _ELECTION_SECONDS))):
            try:
                _, high = self._consumer.get_watermark_offsets(where, timeout=timeout, cached=False)
                return int(high)
            except KafkaException as error:
                if error.args[0].code() not in _ELECTIONS:
                    raise
                elected = error
            time.sleep(_ELECTION_SECONDS)
        raise elected
