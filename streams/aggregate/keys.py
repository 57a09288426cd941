"""Keys of events (``namespace/model/id``), many at once: parts of one buffer, so that there is no object per event."""

import zlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.aggregate.routing import hashes_of

try:
    from driftline_native import checksums, prefixed
except ImportError:
    _checksums = _prefixed = None
else:
    _checksums, _prefixed = checksums, prefixed

Ints = NDArray[np.int64]

_NOTHING = np.zeros(0, np.uint8)


class Keys:
    """A column of keys; a row of no bytes has none.

    Args:
        data: bytes of all keys.
        start: where each begins in ``data``.
        size: of each, in bytes.
        hashes: the positive murmur2 of each; found when somebody asks if not given.
    """

    def __init__(
        self,
        data: NDArray[np.uint8],
        start: Ints,
        size: NDArray[np.int32],
        hashes: NDArray[np.uint32] | None = None,
    ) -> None:
        self._parts = [data]
        self.start, self.size = start, size
        self._hashes = hashes

    @classmethod
    def none(cls, count: int) -> Self:
        """So many rows without a key."""
        return cls(_NOTHING, np.zeros(count, np.int64), np.zeros(count, np.int32), np.zeros(count, np.uint32))

    @classmethod
    def packed(cls, data: Any, size: NDArray[np.int32], hashes: NDArray[np.uint32] | None = None) -> Self:
        """Keys that lie one after the other in a buffer."""
        ends = np.cumsum(size, dtype=np.int64)
        return cls(np.frombuffer(data, np.uint8), ends - size, size, hashes)

    @classmethod
    def of(cls, keys: Sequence[bytes]) -> Self:
        """Keys that are objects already."""
        return cls.packed(b"".join(keys), np.fromiter(map(len, keys), np.int32, len(keys)))

    @classmethod
    def arrow(cls, keys: pa.Array) -> Self:
        """A column of texts without nulls."""
        offsets, data = _layout(keys)
        start = offsets.astype(np.int64)
        return cls(np.frombuffer(data, np.uint8), start[:-1], np.diff(offsets))

    @classmethod
    def prefixed(cls, prefix: bytes, ids: pa.Array) -> Self:
        """Keys of the ids of one model, a column of texts without nulls; ``prefix``: ``namespace/model/``."""
        if _prefixed is None:
            return cls.of([prefix + text.encode() for text in ids.to_pylist()])
        offsets, data = _layout(ids)
        joined, hashes = _prefixed(prefix, offsets, data)
        return cls.packed(joined, np.diff(offsets) + np.int32(len(prefix)), np.frombuffer(hashes, np.uint32))

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, place: int) -> bytes | None:
        start, size = int(self.start[place]), int(self.size[place])
        return self.data[start : start + size].tobytes() or None

    @property
    def data(self) -> NDArray[np.uint8]:
        """Bytes of all keys, and perhaps others."""
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts)]
        return self._parts[0]

    @property
    def hashes(self) -> NDArray[np.uint32]:
        """The positive murmur2 of each key, as Kafka's partitioners have it."""
        if self._hashes is None:
            self._hashes = hashes_of(self.tolist())
        return self._hashes

    def checksums(self) -> NDArray[np.uint32]:
        """Zlib's CRC-32 of each key."""
        if _checksums is None:
            return np.fromiter(map(zlib.crc32, self.tolist()), np.uint32, len(self))
        return np.frombuffer(_checksums(self.data, self.start, self.size), np.uint32)

    def tolist(self) -> list[bytes]:
        """Each as an object."""
        ends = self.start + self.size
        first = int(self.start.min(initial=len(self.data)))
        whole = self.data[first : int(ends.max(initial=first))].tobytes()
        return [whole[a:b] for a, b in zip((self.start - first).tolist(), (ends - first).tolist(), strict=True)]

    def take(self, places: Ints | slice) -> "Keys":
        """Some of them."""
        hashes = None if self._hashes is None else self._hashes[places]
        return Keys(self.data, self.start[places], self.size[places], hashes)

    def put(self, places: Ints, keys: "Keys") -> None:
        """Set some rows."""
        if not len(places):
            return
        self.start[places] = keys.start + sum(map(len, self._parts))
        self.size[places] = keys.size
        self.hashes[places] = keys.hashes
        self._parts.append(keys.data)

    def clear(self, place: int) -> None:
        """Let a row have none."""
        self.size[place] = 0


def _layout(texts: pa.Array) -> tuple[NDArray[np.int32], Any]:
    """(Offsets, bytes) of a column of texts or of binaries."""
    _, offsets, data = texts.buffers()
    return np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4), data if data and data.size else b""
