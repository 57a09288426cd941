"""Which ids may be in ClickHouse though they are not in memory: a Bloom filter of four bits for each.

Without it every new id would have to be looked up, because nobody could know that it is new. Bits that are set by other
ids cost a needless look-up, and nothing else.
"""

import numpy as np
from numpy.typing import NDArray

from streams.aggregate.keys import Keys

try:
    from driftline_native import mark
except ImportError:
    _mark = None
else:
    _mark = mark

Ints = NDArray[np.int64]

BITS, OF_AN_ID = 2**27, 4
"""16 MB per partition and topic; of ten million ids four in a thousand new ones are looked up for nothing, of a million
one in a million: (1 - e^(-k n / m))^k (Bloom 1970). Each look-up reads a granule of every part of the table."""

_KEY = "concat(namespace, '/', model, '/', prediction_id)"
HASHES = f"kafkaMurmurHash({_KEY}) AS hash, CRC32({_KEY}) AS checksum"
"""The two hashes of a row, in ClickHouse's words: that of Kafka's partitioner, and zlib's checksum."""


class Seen:
    """A set of ids of one source partition that may say yes for no.

    An id has the bits h, h + c, h + 2 c, ...: two hashes are as good as many (Kirsch and Mitzenmacher 2008).

    Args:
        partitions: how many there are: all hashes here leave the same rest.
    """

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions
        self._bits = np.zeros(BITS // 8, np.uint8)

    def add(self, keys: Keys) -> None:
        """Remember ids."""
        self.add_hashes(keys.hashes.astype(np.int64), keys.checksums().astype(np.int64))

    def add_hashes(self, hashes: Ints, checksums: Ints) -> None:
        """Remember ids by their hashes (see :data:`HASHES`)."""
        first, step = hashes // self._partitions, checksums | 1
        if _mark is not None:
            _mark(self._bits, first, step, OF_AN_ID)
            return
        for number in range(OF_AN_ID):
            places = (first + number * step) % BITS
            np.bitwise_or.at(self._bits, places >> 3, (1 << (places & 7)).astype(np.uint8))

    def maybe(self, keys: Keys) -> Keys:
        """Those of some ids that may have been added."""
        return keys.take(np.flatnonzero(self.known(keys)))

    def known(self, keys: Keys) -> NDArray[np.bool_]:
        """Of each id whether it may have been added."""
        first = keys.hashes.astype(np.int64) // self._partitions
        found = self._are_set(first)
        # Most are new, and their first bit says so.
        doubtful = np.flatnonzero(found)
        step = keys.take(doubtful).checksums().astype(np.int64) | 1
        for number in range(1, OF_AN_ID):
            found[doubtful] &= self._are_set(first[doubtful] + number * step)
        return found

    def _are_set(self, numbers: Ints) -> NDArray[np.bool_]:
        places = numbers % BITS
        found: NDArray[np.bool_] = (self._bits[places >> 3] >> (places & 7).astype(np.uint8) & 1).astype(np.bool_)
        return found
