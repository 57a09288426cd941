from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

MAX_EVENT_BYTES: Final[int]

Block = tuple[bytearray, bytearray, bytearray, bytearray]
Texts = dict[str, tuple[bytearray, bytearray]]
_Bytes = Buffer | NDArray[np.uint8]
_Plan = tuple[
    str, str, tuple[str, ...], tuple[tuple[str, str, tuple[str, ...]], ...], tuple[str, ...], str, tuple[str, ...]
]

class Predictions(NamedTuple):
    """Columns of a batch, one row per value, little-endian; rows of model -1 are zero where nothing else is said.

    Attributes:
        model: int32, place of the plan; -1: not decided here, the careful decoder's row.
        event_time: int64, milliseconds since 1970.
        hash: uint32, murmur2 of the key without its sign; partition = hash % partitions.
        keys: (offsets int32 [n + 1], UTF-8) of ``namespace/model/prediction_id``; empty where model is -1.
        version: int32, code of ``Decoder.versions``.
        role: int8: 0 champion, 1 canary, 2 shadow.
        segment: int32, code of ``Decoder.segments``.
        score: float64, the watched score (``streams.aggregate.tasks``); NaN: none.
        place: int32, place of the predicted class of several; else -1.
        latency: float64, milliseconds; NaN: none.
        blocks: plan -> (rows int32 [n], numbers float64 [n x numbers], codes int32 [n x categories], scores float64
            [n x classes], multiclass only), row-major, of plans that have rows; rows are places in the other columns.
            NaN, or the code -1, is null; a string that is no known category has the code len(categories).
        texts: ``prediction_id``, ``prediction`` (as people write it), ``scores``, ``features``, ``segments`` (JSON
            objects as they were sent) -> (offsets int32 [n + 1], UTF-8), as Arrow has them; {} unless asked for.
    """

    model: bytearray
    event_time: bytearray
    hash: bytearray
    keys: tuple[bytearray, bytearray]
    version: bytearray
    role: bytearray
    segment: bytearray
    score: bytearray
    place: bytearray
    latency: bytearray
    blocks: dict[int, Block]
    texts: Texts

class Outcomes(NamedTuple):
    """Columns of a batch; what has a name of :class:`Predictions` is the same.

    Attributes:
        target: float64, the label as a number (``streams.aggregate.tasks``).
        texts: ``prediction_id``, ``label`` (as people write it).
    """

    model: bytearray
    event_time: bytearray
    hash: bytearray
    keys: tuple[bytearray, bytearray]
    target: bytearray
    texts: Texts

class Decoder:
    """Decodes batches for a fixed set of models; one batch at a time.

    Codes are of all batches: new ones are appended to the lists, which are to be read only. After 65,536 of them rows
    with a new version or combination of segments are the careful decoder's; a new decoder begins anew.

    Args:
        plans: one per model.

    Raises:
        TypeError: a plan is no tuple of the right shape.
        ValueError: two plans of one model, a class, tag or category named twice, an unknown task or kind.
    """

    @property
    def versions(self) -> list[str]: ...
    @property
    def segments(self) -> list[tuple[str, ...]]: ...
    def __init__(self, plans: Sequence[_Plan]) -> None: ...
    def predictions(self, values: Sequence[bytes | None], texts: bool) -> Predictions:
        """Decode values of the topic of predictions; those with CloudEvents headers are to be None.

        Args:
            values: of the records.
            texts: whether the columns of texts are wanted.

        Raises:
            OverflowError: texts of more than 2 GiB.
            RuntimeError: the decoder is at work already.
        """

    def outcomes(self, values: Sequence[bytes | None], texts: bool) -> Outcomes:
        """Decode values of the topic of outcomes; see :meth:`predictions`."""

class Ids:
    """Ids and the slot in which each was first seen, in the order in which they came; they are compared to the byte.

    A column of keys is three buffers: key ``i`` is ``data[start[i]:start[i] + size[i]]``, start int64, size int32.
    """

    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def claim(self, data: _Bytes, start: NDArray[np.int64], size: NDArray[np.int32], slot: int) -> bytearray:
        """The slot of each key, int64; a new one gets ``slot`` and its place.

        Raises:
            OverflowError: more than 2**31 ids.
            TypeError: a column is of another type.
            ValueError: a key does not lie within the data, or the slot is negative.
        """

    def find(self, data: _Bytes, start: NDArray[np.int64], size: NDArray[np.int32]) -> bytearray:
        """The slot of each key, int64; -1 where there is none. Raises what :meth:`claim` does."""

    def forget(self, prefix: bytes, count: int) -> tuple[bytearray, bytearray]:
        """Take out the oldest ``count`` ids that begin with the prefix: their bytes, and the int32 size of each."""

    def oldest(self) -> int:
        """The slot of the oldest id, -1 without any."""

def checksums(data: _Bytes, start: NDArray[np.int64], size: NDArray[np.int32]) -> bytearray:
    """Zlib's CRC-32 of each key, uint32; keys as :class:`Ids` has them.

    Raises:
        TypeError: a column is of another type.
        ValueError: a key does not lie within the data.
    """

def mark(bits: NDArray[np.uint8], first: NDArray[np.int64], step: NDArray[np.int64], each: int) -> None:
    """Set bits of a field of 8 * len(bits): of each row ``first``, ``first + step`` and so on, ``each`` of them.

    Args:
        bits: the field, a power of two of bytes; bit ``n`` is that of value ``2 ** (n % 8)`` in byte ``n // 8``.
        first: of each row; numbers beyond the field begin again at 0.
        step: of each row.
        each: how many.

    Raises:
        BufferError, TypeError: a column is of another type, or the field is to be read only.
        ValueError: the field is no power of two, or there are not as many steps as first bits.
    """

def prefixed(prefix: bytes, offsets: NDArray[np.int32], data: _Bytes) -> tuple[bytearray, bytearray]:
    """Keys of ids in Arrow's layout.

    Args:
        prefix: that all of them get.
        offsets: int32 [n + 1]; id ``i`` is ``data[offsets[i]:offsets[i + 1]]``.
        data: bytes of the ids.

    Returns:
        The keys, one after the other, and uint32, murmur2 of each without its sign.

    Raises:
        TypeError: the offsets are of another type.
        ValueError: they fall, or are beyond the data.
    """

def numeric(
    values: NDArray[np.float64],
    groups: NDArray[np.int64],
    n_groups: int,
    edges: NDArray[np.float64],
    low: float | None,
    high: float | None,
) -> tuple[bytearray, bytearray, bytearray, bytearray, bytearray, bytearray, bytearray, bytearray] | None:
    """Count a column of numbers by group, as ``detectors.sketch.group_numeric`` does.

    Args:
        values: float64 column of any stride; NaN is null.
        groups: int64 column, in [0, n_groups).
        n_groups: how many groups there are.
        edges: float64, interior edges, strictly increasing.
        low: values below are outside; None: no such limit.
        high: values above are outside; None: no such limit.

    Returns:
        Per group (rows, nulls, outside, high parts of sums, low parts; all int64; minimum, maximum, float64, inf and
        -inf without a value; counts, int64 [n_groups x (edges + 1)]); a sum is ``(high << 31) + low`` in units of
        2**-20. None when lengths, groups or edges do not fit, or a value is infinite.

    Raises:
        TypeError: a column is of another type.
        ValueError: a negative number of groups, or more than 2**20 bins.
    """

def categorical(
    codes: NDArray[np.signedinteger], groups: NDArray[np.int64], n_groups: int, n_categories: int
) -> tuple[bytearray, bytearray, bytearray] | None:
    """Count a column of codes by group, as ``detectors.sketch.group_categorical`` does.

    Args:
        codes: int32 or int64 column of any stride: -1 is null, ``n_categories`` OTHER.
        groups: int64 column, in [0, n_groups).
        n_groups: how many groups there are.
        n_categories: how many categories there are, OTHER not among them.

    Returns:
        Per group (rows, nulls, counts [n_groups x (n_categories + 1)]), int64. None when lengths, groups or codes do
        not fit.

    Raises:
        TypeError: a column is of another type.
        ValueError: a negative number of groups or categories, or more than 2**20 bins.
    """
