"""What was consumed of a topic, by column, partition after partition."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

import numpy as np
from confluent_kafka import Message
from numpy.typing import NDArray

from schemas.events import SourceTopic
from streams.aggregate.decode import Record, plain

Ints = NDArray[np.int64]
_DOUBTFUL = b""
"""Instead of a value whose headers the fast decoder must not pass over; the record has it."""


@dataclass
class Batch:
    """Records of one topic; each partition's are together and in the order of its log.

    Attributes:
        topic: predictions or outcomes.
        partition: of each record.
        offset: of each record.
        log_ts: the broker's timestamp of each record, in milliseconds.
        values: what the fast decoder may read, empty where the careful one must.
        record: the whole record, by its place here.
    """

    topic: SourceTopic
    partition: Ints
    offset: Ints
    log_ts: Ints
    values: list[bytes]
    record: Callable[[int], Record]

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of_records(cls, topic: SourceTopic, records: Sequence[Record]) -> "Batch":
        """Records that are in order already."""
        return cls(
            topic,
            np.array([record.partition for record in records], np.int64),
            np.array([record.offset for record in records], np.int64),
            np.array([record.log_ts for record in records], np.int64),
            [(record.value or b"") if plain(record) else _DOUBTFUL for record in records],
            records.__getitem__,
        )

    @classmethod
    def of_messages(cls, topic: SourceTopic, messages: Sequence[Message], positions: Mapping[int, int]) -> "Batch":
        """Messages as they were consumed, without errors.

        Args:
            topic: of all of them.
            messages: partitions may be mixed, each in the order of its log.
            positions: next offset to read, by partition; messages below, or of other partitions, are left out.
        """
        # One pass in C per column: a loop over the messages costs more than all else that is done with them.
        count = len(messages)
        partition = np.fromiter(map(Message.partition, messages), np.int64, count)
        offset = np.fromiter(map(Message.offset, messages), np.int64, count)
        first = np.full(int(partition.max(initial=0)) + 1, np.iinfo(np.int64).max)
        for number, position in positions.items():
            if number < len(first):
                first[number] = position
        order = np.argsort(partition, kind="stable")
        order = order[offset[order] >= first[partition[order]]]
        chosen = [messages[place] for place in order.tolist()]
        log_ts = np.fromiter(map(itemgetter(1), map(Message.timestamp, chosen)), np.int64, len(chosen))

        def record(place: int) -> Record:
            message = chosen[place]
            return Record(
                topic,
                int(partition[place]),
                int(offset[place]),
                int(log_ts[place]),
                message.value(),
                _headers(message),
                message.key(),
            )

        partition, offset = partition[order], offset[order]
        values: list[bytes] = [value or b"" for value in map(Message.value, chosen)]
        if any(map(Message.headers, chosen)):
            for place, message in enumerate(chosen):
                if message.headers() and not plain(record(place)):
                    values[place] = _DOUBTFUL
        return cls(topic, partition, offset, log_ts, values, record)

    def spans(self) -> list[tuple[int, int, int]]:
        """(partition, first, end) of each partition that has records."""
        cuts = np.flatnonzero(np.diff(self.partition)) + 1
        return [
            (int(self.partition[first]), first, end)
            for first, end in pairwise([0, *cuts.tolist(), len(self)])
            if end > first
        ]


def _headers(message: Message) -> list[tuple[str, bytes | None]] | None:
    found: list[tuple[str, bytes | None]] | None = message.headers()  # type: ignore[assignment]
    return found
