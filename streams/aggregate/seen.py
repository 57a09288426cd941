"""Which ids may be in ClickHouse though they are not in memory: a bit for each of their hashes.

Without it every new id would have to be looked up, because nobody could know that it is new. A bit that is set by
another id costs a needless look-up, and nothing else.
"""

import numpy as np
from numpy.typing import NDArray

from streams.aggregate.keys import Keys

BITS = 2**27
"""16 MB per partition and topic; of ten million ids seven in a hundred new ones are looked up for nothing."""

PLACE = f"intDiv(kafkaMurmurHash(concat(namespace, '/', model, '/', prediction_id)), {{partitions:UInt32}}) % {BITS}"
"""The bit of a row, in ClickHouse's words; Kafka's partitioner is one of its functions."""


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
        self.add_places(self._places(keys))

    def add_places(self, places: NDArray[np.int64]) -> None:
        """Remember ids by their bits (see :data:`PLACE`)."""
        np.bitwise_or.at(self._bits, places >> 3, (1 << (places & 7)).astype(np.uint8))

    def maybe(self, keys: Keys) -> Keys:
        """Those of some ids that may have been added."""
        return keys.take(np.flatnonzero(self.known(keys)))

    def known(self, keys: Keys) -> NDArray[np.bool_]:
        """Of each id whether it may have been added."""
        places = self._places(keys)
        found: NDArray[np.bool_] = (self._bits[places >> 3] >> (places & 7).astype(np.uint8) & 1).astype(np.bool_)
        return found

    def _places(self, keys: Keys) -> NDArray[np.int64]:
        return keys.hashes.astype(np.int64) // self._partitions % BITS
