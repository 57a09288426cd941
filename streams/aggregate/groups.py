"""Rows by what they have in common, so that one call counts a column of all of them."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Groups:
    """Groups of the rows that are equal in every one of some columns.

    Args:
        columns: integers, one value per row; at least one column.

    Attributes:
        ids: group of each row, an index of ``first``.
        first: one row of each group.
    """

    def __init__(self, *columns: NDArray[Any]) -> None:
        ids, count = np.zeros(len(columns[0]), np.int64), 1
        for column in columns:
            codes, values = _encoded(column)
            if values > 1:
                # Made dense again after each column: the product of many could overflow.
                ids, count = _encoded(ids * values + codes)
        self.ids: Ints = ids
        self.first: Ints = np.zeros(count if len(ids) else 0, np.int64)
        self.first[ids[::-1]] = np.arange(len(ids))[::-1]

    def __len__(self) -> int:
        return len(self.first)


def _encoded(column: NDArray[Any]) -> tuple[Ints, int]:
    """(A code for each value, how many codes); by hashing, which is several times faster than numpy's sort."""
    found = pa.array(column).dictionary_encode()
    return found.indices.to_numpy().astype(np.int64), len(found.dictionary)
