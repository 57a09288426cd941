"""Rows by what they have in common, so that one call counts a column of all of them."""

import numpy as np
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

    def __init__(self, *columns: Ints) -> None:
        ids, count = np.zeros(len(columns[0]), np.int64), 1
        for column in columns:
            values, codes = np.unique(column, return_inverse=True)
            if len(values) > 1:
                # Made dense again after each column: the product of many could overflow.
                _, ids = np.unique(ids * len(values) + codes, return_inverse=True)
                count = int(ids.max()) + 1
        self.ids: Ints = ids
        self.first: Ints = np.zeros(count if len(ids) else 0, np.int64)
        self.first[ids[::-1]] = np.arange(len(ids))[::-1]

    def __len__(self) -> int:
        return len(self.first)
