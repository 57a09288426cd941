"""Which ids may be in ClickHouse though they are not in memory: a Bloom filter of two bits for each.

Without it every new id would have to be looked up, because nobody could know that it is new. Bits that are set by other
ids cost a needless look-up, and nothing else.
"""

import numpy as np
from numpy.typing import NDArray

from streams.aggregate.keys import Keys

BITS = 2**27
"""16 MB per partition and topic; of ten million ids two in a hundred new ones are looked up for nothing, of a million
two in ten thousand (Bloom 1970: (1 - e^(-2 n / m))^2)."""

_KEY = "concat(namespace, '/', model, '/', prediction_id)"
PLACES = f"[intDiv(kafkaMurmurHash({_KEY}), {{partitions:UInt32}}) % {BITS}, CRC32({_KEY}) % {BITS}]"
"""The bits of a row, in ClickHouse's words; Kafka's partitioner is a function of it, and zlib's checksum another."""


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
        self.add_places(self._by_hash(keys))
        self.add_places(self._by_checksum(keys))

    def add_places(self, places: NDArray[np.int64]) -> None:
        """Remember ids by their bits (see :data:`PLACES`)."""
        np.bitwise_or.at(self._bits, places >> 3, (1 << (places & 7)).astype(np.uint8))

    def maybe(self, keys: Keys) -> Keys:
        """Those of some ids that may have been added."""
        return keys.take(np.flatnonzero(self.known(keys)))

    def known(self, keys: Keys) -> NDArray[np.bool_]:
        """Of each id whether it may have been added."""
        found = self._are_set(self._by_hash(keys))
        doubtful = np.flatnonzero(found)
        found[doubtful] = self._are_set(self._by_checksum(keys.take(doubtful)))
        return found

    def _are_set(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (self._bits[places >> 3] >> (places & 7).astype(np.uint8) & 1).astype(np.bool_)
        return found

    def _by_hash(self, keys: Keys) -> NDArray[np.int64]:
        return keys.hashes.astype(np.int64) // self._partitions % BITS

    def _by_checksum(self, keys: Keys) -> NDArray[np.int64]:
        return keys.checksums().astype(np.int64) % BITS
