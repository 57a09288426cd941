"""Rows by the groups that they belong to, so that one numpy call counts a column of all of them."""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

G = TypeVar("G", bound=tuple[Any, ...])


class Groups(Generic[G]):
    """Rows, repeated once for each group that they belong to.

    Args:
        memberships: for each row the names of its groups; equal tuples should be few, rows may be many.

    Attributes:
        rows: row of each repetition.
        ids: group of each repetition, an index of ``names``.
    """

    def __init__(self, memberships: Iterable[tuple[G, ...]]) -> None:
        combinations: dict[tuple[G, ...], int] = {}
        codes = np.fromiter((combinations.setdefault(m, len(combinations)) for m in memberships), np.int64)
        numbers: dict[G, int] = {}
        width = max(map(len, combinations), default=0)
        table = np.full((len(combinations), width), -1, np.int64)
        for row, names in enumerate(combinations):
            for column, name in enumerate(names):
                table[row, column] = numbers.setdefault(name, len(numbers))
        repeated = table[codes]
        self.names: list[G] = list(numbers)
        self.rows: NDArray[np.int64]
        self.rows, column_of = np.nonzero(repeated >= 0)
        self.ids: NDArray[np.int64] = repeated[self.rows, column_of]

    def __len__(self) -> int:
        return len(self.names)
