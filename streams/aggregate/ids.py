"""Which ids have been seen, and in which row first: in C where it is installed, else a dictionary."""

from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from streams.aggregate.keys import Keys

try:
    import driftline_native as native
except ImportError:
    native = None  # type: ignore[assignment]

Ints = NDArray[np.int64]


class Ids(Protocol):
    """A table of ids in the order in which they came; a *slot* is the number of the row in which one was first seen."""

    def __len__(self) -> int:
        """How many ids there are."""

    def claim(self, keys: Keys, slot: int) -> Ints:
        """The slot of each key; a new one gets ``slot`` and its place in ``keys``."""

    def find(self, keys: Keys) -> Ints:
        """The slot of each key, -1 where there is none."""

    def forget(self, count: int, prefix: bytes = b"") -> Keys:
        """Take out the oldest ``count`` ids that begin with the prefix; which ones these are."""

    def oldest(self) -> int:
        """The slot of the oldest id, -1 without any."""


class PlainIds:
    """Ids in a dictionary."""

    def __init__(self) -> None:
        self._slots: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def claim(self, keys: Keys, slot: int) -> Ints:
        """See :class:`Ids`."""
        found = map(self._slots.setdefault, keys.tolist(), range(slot, slot + len(keys)))
        return np.fromiter(found, np.int64, len(keys))

    def find(self, keys: Keys) -> Ints:
        """See :class:`Ids`."""
        return np.fromiter((self._slots.get(key, -1) for key in keys.tolist()), np.int64, len(keys))

    def forget(self, count: int, prefix: bytes = b"") -> Keys:
        """See :class:`Ids`."""
        found = list(islice((key for key in self._slots if key.startswith(prefix)), count))
        for key in found:
            del self._slots[key]
        return Keys.of(found)

    def oldest(self) -> int:
        """See :class:`Ids`."""
        return next(iter(self._slots.values()), -1)


class NativeIds:
    """The same in C: keys are bytes of one buffer, compared whole."""

    def __init__(self) -> None:
        self._table = native.Ids()

    def __len__(self) -> int:
        return len(self._table)

    def claim(self, keys: Keys, slot: int) -> Ints:
        """See :class:`Ids`."""
        return np.frombuffer(self._table.claim(keys.data, keys.start, keys.size, slot), np.int64)

    def find(self, keys: Keys) -> Ints:
        """See :class:`Ids`."""
        return np.frombuffer(self._table.find(keys.data, keys.start, keys.size), np.int64)

    def forget(self, count: int, prefix: bytes = b"") -> Keys:
        """See :class:`Ids`."""
        data, sizes = self._table.forget(prefix, count)
        return Keys.packed(data, np.frombuffer(sizes, np.int32))

    def oldest(self) -> int:
        """See :class:`Ids`."""
        return int(self._table.oldest())


def new_ids() -> Ids:
    """An empty table of the fastest kind that there is."""
    return PlainIds() if native is None else NativeIds()
