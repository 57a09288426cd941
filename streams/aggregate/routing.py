"""Which source partition an id lives in: murmur2 of its key, for a batch at once.

The partitioner is that of the Java client, of librdkafka's ``murmur2_random``, of kafka-python and of aiokafka. A
producer with another one, or without a key, puts a prediction and its outcome into different partitions.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_SEED = 0x9747B28C
_M = np.uint32(0x5BD1E995)
_WORD = 4
_POSITIVE = np.uint32(0x7FFFFFFF)


def partitions_of(keys: Sequence[bytes], partitions: int) -> NDArray[np.int64]:
    """Partition of each key among ``partitions``, 0 for all of them when there is one only."""
    if partitions == 1 or not keys:
        return np.zeros(len(keys), np.int64)
    return (hashes_of(keys) % np.uint32(partitions)).astype(np.int64)


def hashes_of(keys: Sequence[bytes]) -> NDArray[np.uint32]:
    """The positive murmur2 of each key, as Kafka's partitioners have it.

    One step is made for all keys together: the 32-bit words of the hash are the columns of a table.
    """
    if not keys:
        return np.zeros(0, np.uint32)
    lengths = np.fromiter(map(len, keys), np.uint32, len(keys))
    # Padded with zeros, and one word wider than the longest key, so that each has its tail in a word of its own.
    width = int(lengths.max()) // _WORD + 1
    words = np.array(keys, dtype=f"S{width * _WORD}").view("<u4").reshape(len(keys), width)
    return hashes_of_words(words, lengths)


def hashes_of_words(words: Words, lengths: Words) -> Words:
    """The same of keys that are given as 32-bit words.

    Args:
        words: (keys x words) padded with zeros; one word more than the longest key fills.
        lengths: of the keys, in bytes.
    """
    full = lengths // _WORD
    width = words.shape[1]
    hashes = np.uint32(_SEED) ^ lengths
    shortest = int(full.min())
    for column in range(width - 1):
        mixed = words[:, column] * _M
        mixed ^= mixed >> 24
        mixed *= _M
        step = (hashes * _M) ^ mixed
        hashes = step if column < shortest else np.where(full > column, step, hashes)
    tails = words[np.arange(len(words)), full]
    hashes = np.where(lengths % _WORD > 0, (hashes ^ tails) * _M, hashes)
    hashes ^= hashes >> 13
    hashes *= _M
    hashes ^= hashes >> 15
    return hashes & _POSITIVE
