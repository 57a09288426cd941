"""How far each channel is on the ``alerts`` topic: one offset commit whose metadata says who is further than it. Pure.

The offset that is committed is that of the slowest channel, so that nothing is lost; the metadata spares the others
the repetition. It is what a restart goes by, also while ClickHouse is away.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from schemas.ids import canonical_json

_METADATA_BYTES = 4_000
"""A broker takes 4096 by default (``offset.metadata.max.bytes``)."""


class Pointer(Struct, frozen=True):
    """The metadata of a commit.

    Attributes:
        since: where the topic ended when it was first read. What was over by then rings nobody; what was open rings
            once, as it was there.
        ahead: channel -> next offset, of those that are further than the commit.
    """

    since: int
    ahead: dict[str, int] = {}


class Progress:
    """What is still to be told, by channel.

    Args:
        channels: names of all channels.
        committed: next offset of the slowest channel; None before the first commit.
        metadata: of that commit.
        end: where the topic ends now.

    Attributes:
        since: where it ended when it was first read.
        start: next offset of the slowest channel, when this was made.
        collapsed: set when the incidents that are open at ``since`` were added.
    """

    def __init__(self, channels: Iterable[str], committed: int | None, metadata: str, end: int) -> None:
        if committed is None or committed > end:
            # Never read, or made anew since: what is in it is history, but for what is open at its end.
            pointer, committed = Pointer(end), max(0, end - 1)
        else:
            pointer = msgspec.json.decode(metadata, type=Pointer) if metadata else Pointer(committed)
        self.since = pointer.since
        self.start = committed
        self.collapsed = False
        self._ahead = pointer.ahead
        self._head = committed
        self._waiting: dict[str, set[tuple[int, str]]] = {name: set() for name in channels}

    @property
    def collapse(self) -> int | None:
        """Offset under which the incidents that are open at ``since`` ring; None when they rang before."""
        return self.since - 1 if self.start < self.since and not self.collapsed else None

    def live(self, offset: int) -> bool:
        """Whether people hear of this record; those before it are history, and only say what is open."""
        return offset >= max(self.since, self.start)

    def wanted(self, channel: str, offset: int) -> bool:
        """Whether a channel has not been told of this record yet."""
        return offset >= max(self.start, self._ahead.get(channel, 0))

    def read(self, following: int) -> None:
        """All records below ``following`` were read, and added for those that are to hear of them."""
        self._head = max(self._head, following)

    def add(self, channel: str, offset: int, incident_id: str) -> None:
        """A channel is to be told; until it was, no commit passes the record."""
        self._waiting.setdefault(channel, set()).add((offset, incident_id))

    def done(self, channel: str, offset: int, incident_id: str) -> None:
        """A channel was told, or never will be."""
        self._waiting[channel].discard((offset, incident_id))

    def commit(self) -> tuple[int, str]:
        """Next offset and metadata of a commit now."""
        reached = {
            name: min(waiting)[0] if waiting else max(self._head, self._ahead.get(name, 0))
            for name, waiting in self._waiting.items()
        }
        offset = min([self._head, *reached.values()])
        ahead = {name: following for name, following in sorted(reached.items()) if following > offset}
        while len(metadata := canonical_json(Pointer(self.since, ahead))) > _METADATA_BYTES:
            # Whoever is left out is told again, under the same key.
            ahead.popitem()
        return offset, metadata.decode()
