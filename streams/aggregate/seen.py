"""Which ids may be in ClickHouse though they are not in memory: a Bloom filter of four bits for each.

Without it every new id would have to be looked up, because nobody could know that it is new. Bits that are set by other
ids cost a needless look-up, and nothing else.
"""

import numpy as np
from numpy.typing import NDArray

from streams.aggregate.keys import Keys

BITS, OF_AN_ID = 2**27, 4
"""16 MB per partition and topic; of ten million ids four in a thousand new ones are looked up for nothing, of a million
one in a million: (1 - e^(-k n / m))^k (Bloom 1970). Each look-up reads a granule of every part of the table."""

_KEY = "concat(namespace, '/', model, '/', prediction_id)"
PLACES = (
    f"arrayMap(i -> (intDiv(kafkaMurmurHash({_KEY}), {{partitions:UInt32}}) + i * bitOr(toUInt64(CRC32({_KEY})), 1)) "
    f"% {BITS}, range({OF_AN_ID}))"
)
"""The bits of a row, in ClickHouse's words: the hash of Kafka's partitioner, and steps of zlib's checksum from there on
(Kirsch and Mitzenmacher 2008: two hashes are as good as four)."""


class Seen:
    """A set of ids of one source partition that may say yes for no.

    Args:
        partitions: how many there are: all hashes here leave the same rest.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._bits = np.zeros(BITS // 8, np.uint8)

    def add(self, keys: Keys) -> None:
        """Remember ids."""
        first, step = self._first(keys), _step(keys)
        for number in range(OF_AN_ID):
            self.add_places((first + number * step) % BITS)

    def add_places(self, places: NDArray[np.int64]) -> None:
        """Remember ids by their bits (see :data:`PLACES`)."""
        np.bitwise_or.at(self._bits, places >> 3, (1 << (places & 7)).astype(np.uint8))

    def maybe(self, keys: Keys) -> Keys:
        """Those of some ids that may have been added."""
        return keys.take(np.flatnonzero(self.known(keys)))

    def known(self, keys: Keys) -> NDArray[np.bool_]:
        """Of each id whether it may have been added."""
        found = self._are_set(self._first(keys))
        # Most are new, and their first bit says so.
        doubtful = np.flatnonzero(found)
        some = keys.take(doubtful)
        first, step = self._first(some), _step(some)
        for number in range(1, OF_AN_ID):
            found[doubtful] &= self._are_set((first + number * step) % BITS)
        return found

    def _are_set(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (self._bits[places >> 3] >> (places & 7).astype(np.uint8) & 1).astype(np.bool_)
        return found

    def _first(self, keys: Keys) -> NDArray[np.int64]:
        return keys.hashes.astype(np.int64) // self._partitions % BITS


def _step(keys: Keys) -> NDArray[np.int64]:
    """From one bit of an id to its next; odd, so that all of them differ."""
    return keys.checksums().astype(np.int64) | 1
