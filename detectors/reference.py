"""What normal was: bins, categories, range and per-window rates of one column of the reference rows.

The order of rows does not matter: the same rows give the same bytes.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from detectors.sketch import Floats, Ints, encode, group_categorical, group_numeric
from schemas.models import FeatureReference

MAX_BINS = 32
MAX_CATEGORIES = 200
BOOLEANS = ("false", "true")


def quantile_edges(values: ArrayLike, max_bins: int = MAX_BINS) -> list[float]:
    """Interior edges that cut the values into at most ``max_bins`` bins of about equal mass.

    Edges are values that occur. Up to ``max_bins`` distinct values get a bin each; a constant column gets no edge.
    No bin is empty in the values themselves.

    Args:
        values: finite numbers without nulls.
        max_bins: at least 1.
    """
    distinct = np.unique(np.asarray(values, np.float64) + 0.0)  # + 0.0: -0.0 becomes 0.0
    if len(distinct) <= max_bins:
        return [float(x) for x in distinct[1:]]
    levels = np.arange(1, max_bins) / max_bins
    edges = np.unique(np.quantile(np.asarray(values, np.float64) + 0.0, levels, method="inverted_cdf"))
    return [float(x) for x in edges if x > distinct[0]]


def profile_number(
    name: str,
    values: ArrayLike,
    windows: ArrayLike,
    max_bins: int = MAX_BINS,
    *,
    edges: Sequence[float] | None = None,
) -> FeatureReference:
    """Profile of a numeric feature.

    Args:
        name: the feature.
        values: float column of the reference rows, NaN is null.
        windows: window of each row, any integers that sort in time order.
        max_bins: at most so many bins; not asked when ``edges`` are given.
        edges: interior edges to count by, those of all rows for a segment; None makes quantiles of the values.

    Raises:
        ValueError: a value is infinite, or the columns differ in length.
    """
    column = np.asarray(values, np.float64)
    ids, n_windows = _dense(windows)
    present = np.sort(column[~np.isnan(column)])  # sorted, so that float sums do not depend on the order of rows
    edges = quantile_edges(present, max_bins) if edges is None else list(edges)
    by_window = group_numeric(column, ids, n_windows, edges)
    lows = np.array([np.inf if s.minimum is None else s.minimum for s in by_window])
    highs = np.array([-np.inf if s.maximum is None else s.maximum for s in by_window])
    low, high = _others(lows, np.minimum)[ids], _others(highs, np.maximum)[ids]
    outside = (column < low - (high - low)) | (column > high + (high - low))
    values_in = [s.n - s.nulls for s in by_window]
    return FeatureReference(
        name=name,
        kind="number",
        n=len(column),
        nulls=len(column) - len(present),
        edges=edges,
        categories=[],
        low=float(present[0]) + 0.0 if len(present) else None,
        high=float(present[-1]) + 0.0 if len(present) else None,
        mean=float(present.mean()) if len(present) else None,
        sd=(float(present.std(ddof=1)) if len(present) > 1 else 0.0) if len(present) else None,
        counts=_total([s.counts for s in by_window], len(edges) + 1),
        window_n=[s.n for s in by_window],
        window_nulls=[s.nulls / s.n for s in by_window],
        window_outside=_shares(np.bincount(ids[outside], minlength=n_windows), values_in),
    )


def profile_categories(
    name: str,
    values: Sequence[str | bool | None],
    windows: ArrayLike,
    *,
    kind: Literal["string", "boolean"] = "string",
    max_categories: int = MAX_CATEGORIES,
    categories: Sequence[str] | None = None,
) -> FeatureReference:
    """Profile of a string or boolean feature.

    Args:
        name: the feature.
        values: column of the reference rows, None is null.
        windows: window of each row, any integers that sort in time order.
        kind: booleans always have the categories ``false`` and ``true``.
        max_categories: the most frequent strings are kept, ties by name; the others are OTHER.
        categories: known values to count by, those of all rows for a segment; None takes them from the values.

    Raises:
        ValueError: the columns differ in length.
    """
    if kind == "boolean":
        categories = BOOLEANS
    elif categories is None:
        frequent = Counter(str(value) for value in values if value is not None)
        categories = sorted(frequent, key=lambda value: (-frequent[value], value))[:max_categories]
    return profile_codes(name, encode(values, categories), windows, categories, kind=kind)


def profile_codes(
    name: str,
    codes: ArrayLike,
    windows: ArrayLike,
    categories: Sequence[str],
    *,
    kind: Literal["string", "boolean"] = "string",
) -> FeatureReference:
    """Profile of a column that is encoded already.

    Args:
        name: the feature.
        codes: of the reference rows (see :func:`detectors.sketch.encode`): -1 null, ``len(categories)`` OTHER.
        windows: window of each row, any integers that sort in time order.
        categories: what the codes mean; of booleans ``BOOLEANS``.
        kind: of the feature.

    Raises:
        ValueError: a code is none, or the columns differ in length.
    """
    ids, n_windows = _dense(windows)
    by_window = group_categorical(codes, ids, n_windows, len(categories))
    table = np.array([s.counts for s in by_window], np.int64).reshape(n_windows, len(categories) + 1)
    only_here = (table > 0).sum(axis=0) == 1
    only_here[-1] = True  # OTHER is unseen whichever window it is in
    if kind == "boolean":
        only_here[:2] = False  # both are known without having been seen
    return FeatureReference(
        name=name,
        kind=kind,
        n=len(ids),
        nulls=sum(s.nulls for s in by_window),
        edges=[],
        categories=list(categories),
        low=None,
        high=None,
        mean=None,
        sd=None,
        counts=table.sum(axis=0).tolist(),
        window_n=[s.n for s in by_window],
        window_nulls=[s.nulls / s.n for s in by_window],
        window_outside=_shares(table[:, only_here].sum(axis=1), [s.n - s.nulls for s in by_window]),
    )


def _dense(windows: ArrayLike) -> tuple[Ints, int]:
    distinct, ids = np.unique(np.asarray(windows, np.int64), return_inverse=True)
    return ids.astype(np.int64), len(distinct)


def _others(extremes: Floats, extreme: np.ufunc) -> Floats:
    """For each window the extreme of all other windows; with no other window, its own."""
    if len(extremes) < 2:
        return extremes
    return np.array([extreme.reduce(np.delete(extremes, index)) for index in range(len(extremes))], np.float64)


def _total(counts: Sequence[tuple[int, ...]], n_bins: int) -> list[int]:
    total: list[int] = np.array(counts, np.int64).reshape(-1, n_bins).sum(axis=0).tolist()
    return total


def _shares(parts: Ints, wholes: Sequence[int]) -> list[float]:
    return [part / whole if whole else 0.0 for part, whole in zip(parts.tolist(), wholes, strict=True)]
