"""Mergeable summaries of a window: counts per bin and exact integer sums, made for many windows at once.

All that is summed is an integer, so merging is associative and commutative to the bit: a window's sketch does not
depend on how its events were batched, replayed or spread over partitions.

The hot path calls one ``group_*`` function per column and batch; *groups* are dense ids of (segment, window).
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors import kernels
from detectors.tables import LIMB_BITS, LIMB_MASK, LIMBS, Floats, Ints, Shape, Sketch, Sketches, merge

__all__ = [
    "EMPTY_LATENCY", "EMPTY_PERFORMANCE", "EMPTY_SCORE", "FIXED_LIMIT", "FIXED_ONE", "LATENCY_EDGES", "LATENCY_RATIO",
    "LOSS_CLIP", "SCORE_BINS", "SQUARE_LIMIT", "SQUARE_ONE", "Floats", "Ints", "Rows", "Sketch", "Sketches",
    "empty_categorical", "empty_numeric", "encode", "from_fixed", "group_categorical", "group_latency", "group_numeric",
    "group_performance", "group_score", "losses", "mean", "merge", "score_bins", "to_fixed",
]  # fmt: skip

T = TypeVar("T", bound=np.generic)

FIXED_ONE = 2**20
"""One, in fixed point: sums are kept in units of 2**-20 (about 1e-6)."""

FIXED_LIMIT = 2.0**42
"""Larger magnitudes are clipped to this before they are summed (2**42 * 2**20 still fits in 63 bits)."""

SQUARE_ONE = 2**32
"""One, in the fixed point of sums of squares: finer, because squares of small errors are smaller still."""

SQUARE_LIMIT = 2.0**31
"""Larger magnitudes are clipped to this before they are squared: 2**32 rows of it fit in the 128 bits of a table."""

SCORE_BINS = 128
"""Uniform bins of a probability over [0, 1]; 0.5 is an edge, 1.0 belongs to the last bin."""

_SCORE_EDGES: Floats = np.arange(1, SCORE_BINS) / SCORE_BINS

LOSS_CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 in the log-loss."""

LATENCY_RATIO = 1.04
"""Ratio of neighbouring latency edges: the relative error of a quantile."""

LATENCY_EDGES: Floats = 0.01 * np.power(LATENCY_RATIO, np.arange(412, dtype=np.float64))
"""Interior latency edges in milliseconds, from 0.01 ms to just above 100 s (100,000 ms)."""


def _empty(bins: int, sums: int) -> Sketch:
    return Sketch(0, 0, 0, (0,) * sums, None, None, (0,) * bins)


def empty_numeric(edges: Sequence[float]) -> Sketch:
    """Identity of :func:`merge` for a number with these interior edges."""
    return _empty(len(edges) + 1, 1)


def empty_categorical(n_categories: int) -> Sketch:
    """Identity of :func:`merge` for a string or boolean with this many reference categories (OTHER not counted)."""
    return _empty(n_categories + 1, 0)


EMPTY_SCORE = _empty(SCORE_BINS, 1)
EMPTY_PERFORMANCE = _empty(2 * SCORE_BINS, 3)
EMPTY_LATENCY = _empty(len(LATENCY_EDGES) + 1, 1)


def to_fixed(values: Floats) -> Ints:
    """Values in units of ``1 / FIXED_ONE``, rounded half to even, clipped to ``±FIXED_LIMIT``.

    Raises:
        ValueError: a value is NaN or infinite; nulls must be taken out before.
    """
    if not np.isfinite(values).all():
        raise ValueError("NaN or infinity among values to sum: take nulls out and dead-letter infinities first")
    fixed: Ints = np.rint(np.clip(values, -FIXED_LIMIT, FIXED_LIMIT) * FIXED_ONE).astype(np.int64)
    return fixed


def from_fixed(total: int) -> float:
    """A fixed-point sum as a float."""
    return total / FIXED_ONE


def mean(sketch: Sketch, index: int = 0) -> float | None:
    """Mean of the ``index``-th sum over the rows with a value; None without such rows."""
    present = sketch.n - sketch.nulls
    return from_fixed(sketch.sums[index]) / present if present else None


def score_bins(scores: Floats) -> Ints:
    """Bin of each probability.

    Raises:
        ValueError: a score is NaN or outside [0, 1].
    """
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("scores must be probabilities in [0, 1], without NaN: dead-letter the others first")
    return np.minimum((scores * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)


def encode(values: Sequence[str | bool | None], categories: Sequence[str]) -> Ints:
    """Codes of a column: index of the category, ``len(categories)`` for OTHER, -1 for null.

    Booleans are the categories ``"false"`` and ``"true"``.
    """
    other = len(categories)
    codes: dict[str | bool | None, int] = {category: code for code, category in enumerate(categories)}
    codes |= {None: -1, False: codes.get("false", other), True: codes.get("true", other)}
    return np.fromiter((codes.get(value, other) for value in values), np.int64, len(values))


def group_numeric(
    values: ArrayLike,
    groups: ArrayLike,
    n_groups: int,
    edges: Sequence[float] | Floats,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Sketches:
    """One sketch per group of a numeric column.

    Args:
        values: float column, NaN is null.
        groups: group of each row, in [0, n_groups).
        n_groups: how many sketches to return; groups without rows are empty sketches.
        edges: interior edges, strictly increasing; bin = ``searchsorted(edges, x, side="right")``. May be empty.
        low: values below are *outside*; None: no such limit.
        high: values above are *outside*; None: no such limit.

    Raises:
        ValueError: edges do not increase, a value is infinite, lengths or group ids do not fit.
    """
    cuts = np.asarray(edges, np.float64)
    column = np.asarray(values, np.float64)
    if (found := kernels.numeric(column, np.asarray(groups, np.int64), n_groups, cuts, low=low, high=high)) is not None:
        return found
    if (np.diff(cuts) <= 0).any():
        raise ValueError(f"edges must be strictly increasing, got {list(cuts)}")
    rows = Rows(groups, n_groups, column.shape, present=~np.isnan(column))
    kept = rows.take(column)
    outside = np.zeros(len(kept), np.bool_)
    if low is not None:
        outside |= kept < low
    if high is not None:
        outside |= kept > high
    return rows.sketches(np.searchsorted(cuts, kept, side="right"), len(cuts) + 1, (kept,), kept, outside)


def group_categorical(codes: ArrayLike, groups: ArrayLike, n_groups: int, n_categories: int) -> Sketches:
    """One sketch per group of a column of codes (see :func:`encode`): -1 null, ``n_categories`` OTHER.

    Raises:
        ValueError: a code is outside [-1, n_categories], lengths or group ids do not fit.
    """
    column = np.asarray(codes)
    if column.dtype != np.int32:
        column = column.astype(np.int64)
    if (found := kernels.categorical(column, np.asarray(groups, np.int64), n_groups, n_categories)) is not None:
        return found
    if column.size and not (column.min() >= -1 and column.max() <= n_categories):
        raise ValueError(f"codes must be in [-1, {n_categories}], got {column.min()} to {column.max()}")
    rows = Rows(groups, n_groups, column.shape, present=column >= 0)
    kept = rows.take(column)
    return rows.sketches(kept, n_categories + 1, (), None, kept == n_categories)


def group_score(scores: ArrayLike, groups: ArrayLike, n_groups: int, *, optional: bool = False) -> Sketches:
    """One sketch per group of the probability that is watched.

    Args:
        scores: float column.
        groups: group of each row, in [0, n_groups).
        n_groups: how many sketches to return.
        optional: NaN is null, and no error.

    Raises:
        ValueError: a score is NaN or outside [0, 1], lengths or group ids do not fit.
    """
    column = np.asarray(scores, np.float64)
    probable = (column >= 0) & (column <= 1)
    if optional:
        probable |= np.isnan(column)
    if probable.all():
        ids = np.asarray(groups, np.int64)
        # Of a power of two of bins the edges are exact: a score is on the same side of them as :func:`score_bins` says.
        if (found := kernels.numeric(column, ids, n_groups, _SCORE_EDGES, low=None, high=None)) is not None:
            return found
    rows = Rows(groups, n_groups, column.shape, present=~np.isnan(column) if optional else None)
    kept = rows.take(column)
    return rows.sketches(score_bins(kept), SCORE_BINS, (kept,), kept)


def losses(scores: Floats, labels: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """(log-loss, Brier score) of each pair; the log-loss clips scores to [LOSS_CLIP, 1 - LOSS_CLIP]."""
    clipped = np.clip(scores, LOSS_CLIP, 1 - LOSS_CLIP)
    return -np.log(np.where(labels, clipped, 1 - clipped)), (scores - labels) ** 2


def group_performance(scores: ArrayLike, labels: ArrayLike, groups: ArrayLike, n_groups: int) -> Sketches:
    """One sketch per group of pairs (probability of the positive class, label 0 or 1).

    Raises:
        ValueError: a score is NaN or outside [0, 1], a label is not 0 or 1, lengths or group ids do not fit.
    """
    column, truth = np.asarray(scores, np.float64), np.asarray(labels)
    if truth.shape != column.shape or not np.isin(truth, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, one per score ({column.size}), got {truth.size} labels")
    bins = 2 * score_bins(column) + truth.astype(np.int64)
    log_loss, brier = losses(column, truth.astype(np.bool_))
    return Rows(groups, n_groups, column.shape).sketches(bins, 2 * SCORE_BINS, (log_loss, brier, column), None)


def group_latency(milliseconds: ArrayLike, groups: ArrayLike, n_groups: int) -> Sketches:
    """One sketch per group of latencies in milliseconds, NaN is null (see ``LATENCY_EDGES``).

    Raises:
        ValueError: a latency is infinite, lengths or group ids do not fit.
    """
    return group_numeric(milliseconds, groups, n_groups, LATENCY_EDGES)


class Rows:
    """The rows of a batch that have a value, by group: counts what is common to all kinds of sketch.

    Args:
        groups: group of each row, in [0, n_groups).
        n_groups: how many sketches there will be.
        shape: of the columns.
        present: rows that have a value; None: all.
    """

    def __init__(
        self, groups: ArrayLike, n_groups: int, shape: tuple[int, ...], present: NDArray[np.bool_] | None = None
    ) -> None:
        ids = np.asarray(groups, np.int64)
        if ids.shape != shape or ids.ndim != 1:
            raise ValueError(f"groups and values must be columns of one length, got shapes {ids.shape} and {shape}")
        if ids.size and not (ids.min() >= 0 and ids.max() < n_groups):
            raise ValueError(f"group ids must be in [0, {n_groups}), got {ids.min()} to {ids.max()}")
        self._n_groups = n_groups
        self._n = np.bincount(ids, minlength=n_groups)
        # A column without nulls, the usual case, is not copied.
        self._present = None if present is None or present.all() else present
        self._ids = self.take(ids)

    def take(self, column: NDArray[T]) -> NDArray[T]:
        """The values of a column that are not null."""
        return column if self._present is None else column[self._present]

    def sketches(
        self,
        bins: Ints,
        n_bins: int,
        summed: tuple[Floats, ...],
        ranged: Floats | None,
        outside: NDArray[np.bool_] | None = None,
        *,
        squared: tuple[Floats, ...] = (),
    ) -> Sketches:
        """One sketch per group; all columns hold the present rows only. Sums of squares come after the others."""
        n, ids = self._n_groups, self._ids
        found = Sketches(Shape([n_bins], [len(summed) + len(squared)]), n)
        counts = np.bincount(ids * n_bins + bins, minlength=n * n_bins).reshape(n, n_bins)
        found.whole[:, 0] = self._n
        found.whole[:, 1] = self._n - counts.sum(axis=1)
        if outside is not None:
            found.whole[:, 2] = np.bincount(ids[outside], minlength=n)
        [sums], [histogram] = found.shape.limb_slices, found.shape.count_slices
        limbs = [limb for column in summed for limb in _limbs_of_sums(to_fixed(column))]
        limbs += [limb for column in squared for limb in _limbs_of_squares(column)]
        for place, limb in enumerate(limbs, sums.start):
            np.add.at(found.whole[:, place], ids, limb)
        found.whole[:, histogram] = counts
        if ranged is not None:
            positive_zero = ranged + 0.0  # -0.0 == 0.0, but they print differently: which came first must not show
            np.minimum.at(found.least[:, 0], ids, positive_zero)
            np.minimum.at(found.least[:, 1], ids, -positive_zero)
        return found


def _limbs_of_sums(fixed: Ints) -> tuple[Ints, Ints, Ints]:
    # Two values near 2**62 overflow 64 bits, so the halves are added apart.
    return fixed & LIMB_MASK, fixed >> LIMB_BITS, np.zeros_like(fixed)


def _limbs_of_squares(values: Floats) -> list[Ints]:
    # A whole number below 2**94, of which a double holds the first 53 bits: the same in every batch.
    rest = np.rint(np.square(np.clip(values, -SQUARE_LIMIT, SQUARE_LIMIT)) * SQUARE_ONE)
    limbs = []
    for place in reversed(range(LIMBS)):
        digits = np.floor(rest / 2.0 ** (place * LIMB_BITS))
        rest = rest - digits * 2.0 ** (place * LIMB_BITS)
        limbs.append(digits.astype(np.int64))
    return limbs[::-1]
