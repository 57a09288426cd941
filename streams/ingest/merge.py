"""Records of many partitions in the order of their timestamps, as they came in.

Whoever catches up reads partitions one ahead of the other. Taken as they come, the events of one would raise
driftline's watermarks past those of the other, which would then be late although they never were.
"""

from collections import deque
from collections.abc import Collection, Mapping
from heapq import heapify, heappop, heapreplace

from confluent_kafka import Message

Place = tuple[str, int]
"""(topic, partition)."""

FULL = 20_000
"""Records that one partition may have waiting for the others, before it is paused."""


class InTime:
    """Merges partitions: a record is given once every other partition has shown a later one, or its end.

    A partition that does not answer holds up the others; what it has is older than what they have.
    """

    def __init__(self, positions: Mapping[Place, int] | None = None, *, full: int = FULL) -> None:
        """Start with partitions and the offset that each is read from; ``full`` records of one may wait."""
        self._next = dict(positions or {})
        self._waiting: dict[Place, deque[Message]] = {place: deque() for place in self._next}
        self._at_end: set[Place] = set()
        self._paused: set[Place] = set()
        self._full = full

    def add(self, place: Place, message: Message) -> None:
        """A record has come; one of a partition that is not ours any more, or that came before, is left out."""
        offset = message.offset()
        if place in self._next and offset is not None and offset >= self._next[place]:
            self._next[place] = offset + 1
            self._waiting[place].append(message)
            self._at_end.discard(place)

    def end(self, place: Place) -> None:
        """The partition has no further record now."""
        if place in self._waiting:
            self._at_end.add(place)

    def take(self, limit: int) -> list[tuple[Place, Message]]:
        """At most ``limit`` records whose turn it is."""
        if any(not waiting and place not in self._at_end for place, waiting in self._waiting.items()):
            return []
        heads = [(waiting[0].timestamp()[1], place) for place, waiting in self._waiting.items() if waiting]
        heapify(heads)
        taken: list[tuple[Place, Message]] = []
        while heads and len(taken) < limit:
            _, place = heads[0]
            waiting = self._waiting[place]
            taken.append((place, waiting.popleft()))
            if waiting:
                heapreplace(heads, (waiting[0].timestamp()[1], place))
            elif place in self._at_end:
                heappop(heads)
            else:
                break
        return taken

    def keep(self, topics: Collection[str]) -> None:
        """Forget the partitions of all other topics, and what they have waiting."""
        for place in [place for place in self._next if place[0] not in topics]:
            del self._next[place], self._waiting[place]
            self._at_end.discard(place)
            self._paused.discard(place)

    def throttle(self) -> tuple[set[Place], set[Place]]:
        """Which partitions need not be read now, being far ahead, and which must be read again.

        Each is named once, when that changes.
        """
        far = {place for place, waiting in self._waiting.items() if len(waiting) >= self._full}
        near = {place for place in self._paused if len(self._waiting[place]) < self._full // 2}
        pause = far - self._paused
        self._paused = (self._paused | pause) - near
        return pause, near
