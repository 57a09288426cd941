"""Partitions that a group gives: both protocols come to the same."""

import threading
from typing import Any, get_args

import pytest
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.settings import GroupProtocol, Settings
from streams.aggregate.assign import CannotContinue
from streams.aggregate.consumer import _helpful
from streams.aggregate.given import Given

TOPICS = ("predictions", "outcomes")


class Client:
    """A consumer as the protocol has it: an eager one sets what is read, an incremental one changes it."""

    def __init__(self, protocol: GroupProtocol) -> None:
        self.protocol = protocol
        self.reads: dict[tuple[str, int], int] = {}
        self.answered, self.closed = threading.Event(), threading.Event()
        self.subscribed, self.pending, self.failed = True, 1, False

    def unsubscribe(self) -> None:
        self.subscribed = False
        if self.failed:
            self.pending = 0
            raise KafkaException(KafkaError(KafkaError._FATAL))

    def consume(self, _number: int, _seconds: float) -> list[Any]:
        assert not self.subscribed
        self.pending = 0
        return []

    def close(self) -> None:
        assert not self.pending, "an assignment that is answered in closing hangs"
        self.answered.wait()
        self.closed.set()

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(topic, p) for topic, p in self.reads]

    def assign(self, places: list[TopicPartition]) -> None:
        assert self.protocol == "classic"
        self.reads = {(p.topic, p.partition): p.offset for p in places}

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        assert self.protocol == "consumer"
        more = {(p.topic, p.partition): p.offset for p in places}
        assert not more.keys() & self.reads.keys()
        self.reads |= more

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        assert self.protocol == "consumer"
        for place in places:
            del self.reads[place.topic, place.partition]


def places(*partitions: int, topics: tuple[str, ...] = TOPICS, offset: int = -1001) -> list[TopicPartition]:
    return [TopicPartition(topic, p, offset) for topic in topics for p in partitions]


@pytest.mark.parametrize("protocol", get_args(GroupProtocol))
def test_nothing_is_read_before_it_is_said_from_where(protocol: GroupProtocol) -> None:
    client: Any = Client(protocol)
    given = Given(client, TOPICS, protocol)
    given.add(places(0, 1))
    assert given.whole() == [0, 1]
    assert client.reads == {}
    given.read(places(0, 1, offset=7))
    assert set(client.reads.values()) == {7}
    given.put_down()
    assert client.reads == {}
    given.read(places(0, 1, offset=9))
    assert set(client.reads.values()) == {9}
    assert given.whole() == [0, 1], "what is put down stays this member's"


def test_some_come_and_go_while_others_stay() -> None:
    client: Any = Client("consumer")
    given = Given(client, TOPICS, "consumer")
    given.add(places(0, 1))
    given.read(places(0, 1, offset=7))
    given.add(places(3))
    assert given.whole() == [0, 1, 3]
    given.read(places(0, 1, 3, offset=8))
    assert set(client.reads.values()) == {8}
    given.remove(places(1))
    assert given.whole() == [0, 3]
    assert client.reads == {}, "all are put down, and the rest is taken up again"
    given.remove(places(0, 3))
    assert given.whole() == []


def test_half_a_source_partition_is_left_alone_until_the_other_half_comes() -> None:
    client: Any = Client("consumer")
    given = Given(client, TOPICS, "consumer")
    given.add([*places(0), *places(1, topics=("predictions",))])
    assert given.whole() == [0]
    given.add(places(1, topics=("outcomes",)))
    assert given.whole() == [0, 1]


@pytest.mark.parametrize("protocol", get_args(GroupProtocol))
def test_the_client_takes_our_configuration_of_it(protocol: GroupProtocol) -> None:
    """A name that one protocol does not know is refused when the consumer is made."""
    Consumer(Settings(bootstrap_servers="127.0.0.1:1", group_protocol=protocol).counting(log_level=0)).close()


def test_a_broker_without_the_protocol_is_said_with_what_to_do() -> None:
    fatal = KafkaError(KafkaError._FATAL, "API version not supported")
    found = _helpful(fatal, Settings(group_protocol="consumer"))
    assert isinstance(found, CannotContinue)
    assert "API version not supported. It needs Kafka 4.0 or newer" in str(found)
    assert "set DRIFTLINE_GROUP_PROTOCOL=classic" in str(found)


def leave(client: Any, seconds: float) -> list[str]:
    with structlog.testing.capture_logs() as said:
        Given(client, TOPICS, "classic").leave(seconds)
    return [line["event"] for line in said]


def test_leaving_waits_for_the_client() -> None:
    client = Client("classic")
    client.answered.set()
    assert leave(client, 60) == []
    assert client.closed.is_set()


def test_leaving_says_nothing_of_a_client_that_has_failed_for_good() -> None:
    client = Client("consumer")
    client.failed = True
    client.answered.set()
    assert leave(client, 60) == []
    assert client.closed.is_set(), "and it is closed, too"


def test_a_client_that_hangs_in_leaving_holds_nobody_up() -> None:
    client = Client("classic")
    assert leave(client, 0.05) == ["aggregate.leaving_unanswered"]
    assert not client.closed.is_set()
    client.answered.set()
