"""Counting by group in C, where ``driftline_native`` is installed: the same sketches to the bit, sooner.

Each function returns None where numpy must count: there is no C, or there is something to refuse, and numpy's way
says what.
"""

import numpy as np
from numpy.typing import NDArray

from detectors.tables import Shape, Sketches

try:
    import driftline_native as native
except ImportError:
    native = None  # type: ignore[assignment]

INSTALLED = native is not None
"""Whether there is any C."""


def numeric(
    values: NDArray[np.float64],
    groups: NDArray[np.int64],
    n_groups: int,
    edges: NDArray[np.float64],
    *,
    low: float | None,
    high: float | None,
) -> Sketches | None:
    """One sketch per group; see ``detectors.sketch.group_numeric``."""
    if not INSTALLED or values.ndim != 1 or groups.ndim != 1:
        return None
    found = native.numeric(values, groups, n_groups, edges, low, high)
    if found is None:
        return None
    table = Sketches(Shape([len(edges) + 1], [1]), n_groups)
    # n, nulls, outside, and the limbs of the sum, of which numbers have two.
    for place, column in enumerate((0, 1, 2, 4, 3)):
        table.whole[:, place] = _ints(found[column])
    table.whole[:, table.shape.count_slices[0]] = _ints(found[7]).reshape(n_groups, len(edges) + 1)
    minima, maxima = (np.frombuffer(found[column], np.float64) for column in (5, 6))
    np.stack([minima, -maxima], axis=1, out=table.least)
    return table


def categorical(
    codes: NDArray[np.signedinteger], groups: NDArray[np.int64], n_groups: int, n_categories: int
) -> Sketches | None:
    """One sketch per group; see ``detectors.sketch.group_categorical``."""
    if not INSTALLED or codes.ndim != 1 or groups.ndim != 1:
        return None
    found = native.categorical(codes, groups, n_groups, n_categories)
    if found is None:
        return None
    rows, nulls, counts = map(_ints, found)
    histogram = counts.reshape(n_groups, n_categories + 1)
    table = Sketches(Shape([n_categories + 1], [0]), n_groups)
    table.whole[:, 0], table.whole[:, 1], table.whole[:, 2] = rows, nulls, histogram[:, -1]
    table.whole[:, table.shape.count_slices[0]] = histogram
    return table


def _ints(buffer: bytearray) -> NDArray[np.int64]:
    return np.frombuffer(buffer, np.int64)
