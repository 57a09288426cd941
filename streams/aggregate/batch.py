"""What was consumed of a topic, by column, partition after partition, the rows of columnar messages one by one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import itemgetter
from typing import Any

import numpy as np
from confluent_kafka import Message
from numpy.typing import NDArray

from schemas.columnar import Batch as ColumnarBatch
from schemas.columnar import is_batch, join
from schemas.events import SourceTopic
from streams.aggregate.decode import Record, Refused, batch_of, plain, row_of

Ints = NDArray[np.int64]
_JOINED = 256_000_000
"""Bytes of messages whose columns become one, spread over their rows: a column of texts has two gigabytes at most, and
JSON needs up to six bytes for one."""

_PORTION_ROWS, _PORTION_SPREAD = 250_000, 64_000_000
"""Records of a portion, and bytes of messages of many events spread over their rows, at most: a few kilobytes may mean
ten thousand rows of a long text, and thousands of such messages are consumed together."""

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
        size: bytes of all values, those that only the careful decoder reads too; of a message of many events, spread
            over its rows (see ``schemas.columnar.MAX_SPREAD``).
        row: of each record in its message.
        columnar: messages of many events, those of one model and shape together, with the places of their rows; a
            record of their own is each row.
    """

    topic: SourceTopic
    partition: Ints
    offset: Ints
    log_ts: Ints
    values: list[bytes]
    record: Callable[[int], Record]
    size: int
    row: Ints = field(init=False)
    columnar: list[tuple[Ints, ColumnarBatch]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.row = np.zeros(len(self.values), np.int64)

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of_records(cls, topic: SourceTopic, records: Sequence[Record]) -> "Batch":
        """Records that are in order already, however many."""
        whole = cls(
            topic,
            np.array([record.partition for record in records], np.int64),
            np.array([record.offset for record in records], np.int64),
            np.array([record.log_ts for record in records], np.int64),
            [(record.value or b"") if plain(record) else _DOUBTFUL for record in records],
            records.__getitem__,
            sum(len(record.value or b"") for record in records),
        )
        read = {place: whole._read(place) for place, record in enumerate(records) if is_batch(record.headers)}
        return whole._unfolded({place: batch for place, batch in read.items() if batch is not None})

    @classmethod
    def of_messages(
        cls,
        topic: SourceTopic,
        messages: Sequence[Message],
        positions: Mapping[int, int],
        most: Callable[[], int] = lambda: _PORTION_ROWS,
    ) -> "Iterator[Batch]":
        """Messages as they were consumed, without errors, in portions of bounded size, each read when it is asked for.

        Args:
            topic: of all of them.
            messages: partitions may be mixed, each in the order of its log.
            positions: next offset to read, by partition; messages below, or of other partitions, are left out.
            most: asked before each portion how many records it may have; a message that has more is one by itself.
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
        sizes = np.fromiter(map(len, values), np.int64, len(values))
        batches = []
        if any(map(Message.headers, chosen)):
            for place, message in enumerate(chosen):
                if is_batch(_headers(message)):
                    batches.append(place)
                elif message.headers() and not plain(record(place)):
                    values[place] = _DOUBTFUL
        whole = cls(topic, partition, offset, log_ts, values, record, int(sizes.sum()))
        return whole._portions(batches, sizes, most)

    def _portions(self, places: Sequence[int], sizes: Ints, most: Callable[[], int]) -> "Iterator[Batch]":
        """All records in their order, the messages at ``places`` unfolded.

        Args:
            places: of messages of many events, in order.
            sizes: bytes of each record's value.
            most: see :meth:`of_messages`.
        """
        folded, end = [*places, len(self)], 0
        read: ColumnarBatch | None = None
        while end < len(self):
            first, found = end, dict[int, ColumnarBatch]()
            rows, spread = min(most(), _PORTION_ROWS), _PORTION_SPREAD
            while end < len(self) and rows > 0:
                if end < folded[0]:
                    taken = min(folded[0] - end, rows)
                    end, rows = end + taken, rows - taken
                    continue
                read = self._read(end) if read is None else read
                rows -= 1 if read is None else read.rows
                if read is not None:
                    spread -= read.spread
                    if end > first and (rows < 0 or spread < 0):
                        break
                    found[end - first] = read
                del folded[0]
                read, end = None, end + 1
            yield self._part(first, end, sizes)._unfolded(found)

    def _part(self, first: int, end: int, sizes: Ints) -> "Batch":
        return Batch(
            self.topic,
            self.partition[first:end],
            self.offset[first:end],
            self.log_ts[first:end],
            self.values[first:end],
            lambda place: self.record(first + place),
            int(sizes[first:end].sum()),
        )

    def _read(self, place: int) -> ColumnarBatch | None:
        """The message of many events at a place; None if it is none, which the careful decoder has to explain."""
        self.values[place] = _DOUBTFUL
        try:
            return batch_of(self.record(place))
        except Refused:
            return None

    def _unfolded(self, found: Mapping[int, ColumnarBatch]) -> "Batch":
        """With the rows of messages of many events, given by their places, as records of their own."""
        if not found:
            return self
        counts = np.ones(len(self), np.int64)
        counts[list(found)] = [batch.rows for batch in found.values()]
        first = np.cumsum(counts) - counts
        origin = np.repeat(np.arange(len(self)), counts)
        row = np.arange(len(origin)) - first[origin]

        def record(place: int) -> Record:
            whole = self.record(int(origin[place]))
            batch = found.get(int(origin[place]))
            return row_of(whole, batch, int(row[place])) if batch else whole

        lonely = len(found) < len(self)
        values = [self.values[place] for place in origin.tolist()] if lonely else [_DOUBTFUL] * len(origin)
        columns = self.partition[origin], self.offset[origin], self.log_ts[origin]
        # What is spread has the bytes of the message in it.
        extra = sum(batch.spread - len(self.record(place).value or b"") for place, batch in found.items())
        unfolded = Batch(self.topic, *columns, values, record, self.size + extra)
        unfolded.row = row
        unfolded.columnar = _joined([(int(first[place]), batch) for place, batch in found.items()])
        return unfolded

    def spans(self) -> list[tuple[int, int, int]]:
        """(partition, first, end) of each partition that has records."""
        cuts = np.flatnonzero(np.diff(self.partition)) + 1
        return [
            (int(self.partition[first]), first, end)
            for first, end in pairwise([0, *cuts.tolist(), len(self)])
            if end > first
        ]


def _joined(batches: Sequence[tuple[int, ColumnarBatch]]) -> list[tuple[Ints, ColumnarBatch]]:
    """Batches with the places of their first rows, those of one model and shape as one: what is done costs per column.

    A batch by itself is what it is in a larger one, since each row is judged alone.
    """
    alike: dict[Any, list[tuple[int, ColumnarBatch]]] = {}
    for first, batch in batches:
        shape = tuple((name, column.kind, column.values.type) for name, column in batch.columns.items())
        alike.setdefault((batch.namespace, batch.model, shape), []).append((first, batch))
    found = []
    for of in alike.values():
        some, spread = list[tuple[int, ColumnarBatch]](), 0
        for each in of:
            if some and spread + each[1].spread > _JOINED:
                found.append(_as_one(some))
                some, spread = [], 0
            some.append(each)
            spread += each[1].spread
        found.append(_as_one(some))
    return found


def _as_one(batches: Sequence[tuple[int, ColumnarBatch]]) -> tuple[Ints, ColumnarBatch]:
    rows = [np.arange(first, first + batch.rows) for first, batch in batches]
    return np.concatenate(rows), join([batch for _, batch in batches])


def _headers(message: Message) -> list[tuple[str, bytes | None]] | None:
    found: list[tuple[str, bytes | None]] | None = message.headers()  # type: ignore[assignment]
    return found
