"""Counting by group in C, where ``driftline_native`` is installed: the same sketches to the bit, sooner.

Each function returns None where numpy must count: there is no C, or there is something to refuse, and numpy's way
says what.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

try:
    import driftline_native as native
except ImportError:
    native = None  # type: ignore[assignment]

INSTALLED = native is not None
"""Whether there is any C."""

Fields = tuple[int, int, int, tuple[int, ...], float | None, float | None, tuple[int, ...]]
"""Those of ``detectors.sketch.Sketch``, in their order."""


def numeric(
    values: NDArray[np.float64],
    groups: NDArray[np.int64],
    n_groups: int,
    edges: NDArray[np.float64],
    *,
    low: float | None,
    high: float | None,
) -> Iterator[Fields] | None:
    """Fields of one sketch per group; see ``detectors.sketch.group_numeric``."""
    if not INSTALLED or values.ndim != 1 or groups.ndim != 1:
        return None
    found = native.numeric(values, groups, n_groups, edges, low, high)
    if found is None:
        return None
    rows, nulls, outside, sum_high, sum_low, counts = (_ints(found[column]) for column in (0, 1, 2, 3, 4, 7))
    minima, maxima = (np.frombuffer(found[column], np.float64).tolist() for column in (5, 6))
    valued = (rows > nulls).tolist()
    return zip(
        rows.tolist(),
        nulls.tolist(),
        outside.tolist(),
        [((high << 31) + low,) for high, low in zip(sum_high.tolist(), sum_low.tolist(), strict=True)],
        [least if any_ else None for least, any_ in zip(minima, valued, strict=True)],
        [most if any_ else None for most, any_ in zip(maxima, valued, strict=True)],
        map(tuple, counts.reshape(n_groups, len(edges) + 1).tolist()),
        strict=True,
    )


def categorical(
    codes: NDArray[np.signedinteger], groups: NDArray[np.int64], n_groups: int, n_categories: int
) -> Iterator[Fields] | None:
    """Fields of one sketch per group; see ``detectors.sketch.group_categorical``."""
    if not INSTALLED or codes.ndim != 1 or groups.ndim != 1:
        return None
    found = native.categorical(codes, groups, n_groups, n_categories)
    if found is None:
        return None
    rows, nulls, counts = map(_ints, found)
    table = counts.reshape(n_groups, n_categories + 1)
    nothing = [None] * n_groups
    return zip(
        rows.tolist(),
        nulls.tolist(),
        table[:, -1].tolist(),
        [()] * n_groups,
        nothing,
        nothing,
        map(tuple, table.tolist()),
        strict=True,
    )


def _ints(buffer: bytearray) -> NDArray[np.int64]:
    return np.frombuffer(buffer, np.int64)
