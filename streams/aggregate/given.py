"""What the group has given to a member, and what of it is read: the same for both protocols of consumer groups."""

import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from schemas.settings import GroupProtocol

log = structlog.get_logger()

LEAVE_SECONDS = 6.0
"""The client itself waits 5 s for an answer that the broker may hold back until others have joined."""

_LAST_SECONDS = 0.1
"""For what the client has to say before it closes."""


class Given:
    """Partitions that are this member's.

    The classic protocol gives all of them at once and takes all of them back. That of KIP-848 (``consumer``) gives and
    takes a few at a time, which is why they are remembered here; what is read is changed by differences, too.

    Args:
        consumer: of the member.
        topics: that make up a source partition, by name; all have equally many partitions.
        protocol: of the group.
    """

    def __init__(self, consumer: Consumer, topics: Sequence[str], protocol: GroupProtocol) -> None:
        self._consumer = consumer
        self._topics = frozenset(topics)
        self._incremental = protocol == "consumer"
        self._places: set[tuple[str, int]] = set()

    def add(self, partitions: Iterable[TopicPartition]) -> None:
        """The group gives partitions (in a callback); none of them is read before :meth:`read`."""
        self._places |= {(p.topic, p.partition) for p in partitions}
        # Whoever changes nothing here is given, by the client, what is read from where the group has committed.
        if self._incremental:
            self._consumer.incremental_assign([])
        else:
            self._consumer.assign([])

    def remove(self, partitions: Iterable[TopicPartition]) -> None:
        """The group takes partitions back (in a callback); nothing is read any more, of the others neither."""
        self._places -= {(p.topic, p.partition) for p in partitions}
        if self._incremental:  # else the client puts down what it takes back
            self.put_down()

    def whole(self) -> list[int]:
        """Source partitions of which every topic's partition is here, in order.

        The assignor ``range`` gives them together in both protocols. Half a one is left alone: nothing of it is
        counted, so nothing is counted wrong, until the other half comes.
        """
        owned: dict[int, set[str]] = {}
        for topic, partition in self._places:
            owned.setdefault(partition, set()).add(topic)
        if halves := sorted(p for p, topics in owned.items() if topics != self._topics):
            log.warning("aggregate.half", partitions=halves, needs=sorted(self._topics))
        return sorted(p for p, topics in owned.items() if topics == self._topics)

    def read(self, positions: Sequence[TopicPartition]) -> None:
        """Read these from their positions on, and no others."""
        if self._incremental:
            self.put_down()
            self._consumer.incremental_assign(list(positions))
        else:
            self._consumer.assign(list(positions))

    def leave(self, seconds: float = LEAVE_SECONDS) -> None:
        """Leave the group, waiting ``seconds`` at most; whoever calls this owns nothing any more.

        The client hangs for ever, with the interpreter's lock, when an assignment is answered while it closes
        (librdkafka's issue 4884, open in its 2.16). So nothing is subscribed to any more, and what had arrived is
        answered, before it closes; what may take long nevertheless is not waited for: the session expires anyway.
        """
        with suppress(KafkaException):  # a client that has failed for good says so again, which is no news
            self._consumer.unsubscribe()
            self._consumer.consume(1, _LAST_SECONDS)
        closing = threading.Thread(target=self._consumer.close, name="leaving the group", daemon=True)
        closing.start()
        closing.join(seconds)
        if closing.is_alive():
            log.warning("aggregate.leaving_unanswered", seconds=seconds, use="nothing: the session will expire")

    def put_down(self) -> None:
        """Read nothing."""
        if self._incremental:
            self._consumer.incremental_unassign(self._consumer.assignment())
        else:
            self._consumer.assign([])
