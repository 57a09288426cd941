"""Every record once, over gaps, errors and calls."""

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from bus import compacted
from bus.compacted import CompactedReader, Entry
from schemas.settings import Settings


class Message:
    """A record, the end of a partition, or an error."""

    def __init__(self, offset: int | None, value: bytes | None = None, error: int | None = None) -> None:
        self._offset, self._value, self._error = offset, value, error

    def error(self) -> KafkaError | None:
        return None if self._error is None else KafkaError(self._error)

    def partition(self) -> int | None:
        return None if self._offset is None else 0

    def offset(self) -> int | None:
        return self._offset

    def key(self) -> bytes:
        return b"key"

    def value(self) -> bytes | None:
        return self._value


class Broker:
    """A consumer's view of one partition: the end it is told, and the batches that it is given once it is awake."""

    def __init__(self, _config: object) -> None:
        self.end = 0
        self.elections = 0
        self.batches: list[list[Message]] = []
        self.fetching = self.awake = True

    def assign(self, _partitions: object) -> None:
        return None

    def pause(self, _partitions: object) -> None:
        self.fetching = False

    def resume(self, _partitions: object) -> None:
        # The thread that fetches sleeps on, for up to a second, unless there is a request to send.
        self.fetching, self.awake = True, False

    def get_watermark_offsets(self, _where: object, **_options: object) -> tuple[int, int]:
        if self.elections:
            self.elections -= 1
            raise KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
        assert not (self.fetching and self.awake and self.batches), "who asks for the end would wait behind a fetch"
        self.awake = True
        return 0, self.end

    def consume(self, _number: int, _timeout: float) -> list[Message]:
        assert self.fetching, "nothing would ever come"
        return self.batches.pop(0) if self.batches and self.awake else []


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> CompactedReader:
    monkeypatch.setattr(compacted, "Consumer", Broker)
    return CompactedReader(Settings(), "models")


def broker(reader: CompactedReader) -> Any:
    return reader._consumer


def test_it_goes_on_where_it_ended(reader: CompactedReader) -> None:
    assert reader.read() == []
    broker(reader).end = 2
    broker(reader).batches = [[Message(0, b"a")], [Message(1, b"b")]]
    assert reader.read() == [Entry(0, 0, b"a", b"key"), Entry(0, 1, b"b", b"key")]
    assert reader.read() == []
    broker(reader).end = 3
    broker(reader).batches = [[Message(2, None)]]
    assert reader.read() == [Entry(0, 2, None, b"key")]


def test_the_end_is_reached_over_what_compaction_took(reader: CompactedReader) -> None:
    broker(reader).end = 9
    broker(reader).batches = [[Message(3, b"d")], [Message(9, error=KafkaError._PARTITION_EOF)]]
    assert reader.read() == [Entry(0, 3, b"d", b"key")]


def test_an_error_loses_nothing(reader: CompactedReader) -> None:
    broker(reader).end = 2
    broker(reader).batches = [[Message(0, b"a")], [Message(None, error=KafkaError._ALL_BROKERS_DOWN)]]
    with pytest.raises(KafkaException):
        reader.read()
    broker(reader).batches = [[Message(1, b"b")]]
    assert reader.read() == [Entry(0, 0, b"a", b"key"), Entry(0, 1, b"b", b"key")]


def test_a_broker_that_says_nothing_is_not_waited_for_for_ever(reader: CompactedReader) -> None:
    broker(reader).end = 1
    with pytest.raises(KafkaException, match=r"driftline\.models cannot be read to its end"):
        reader.read(timeout=0.1)


def test_a_topic_that_was_just_made_gets_its_leader_first(reader: CompactedReader) -> None:
    broker(reader).end = 1
    broker(reader).elections = 2
    broker(reader).batches = [[Message(0, b"a")]]
    assert reader.read() == [Entry(0, 0, b"a", b"key")]
    broker(reader).elections = 99
    with pytest.raises(KafkaException, match="NOT_LEADER_FOR_PARTITION"):
        reader.read(timeout=0.2)
