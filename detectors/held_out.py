"""Distances of the reference's own windows to the reference without them, and how variable it is by nature.

A window that helped to make the reference is too near to it: in-sample calibration of seasonal slots pages a dozen
times a month where leaving the window's week out never does. Blocks (days, weeks) are left out whole, since windows of
one day are alike.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.sketch import Floats

MIN_EFFECTIVE = 100.0
"""A feature whose windows hold fewer *effective* rows is structurally variable: it is reported and never pages."""


def shares(counts: ArrayLike) -> Floats:
    """Counts of shape (..., bins) as shares; all zero where there are no rows."""
    rows = np.asarray(counts, np.float64)
    total = rows.sum(axis=-1, keepdims=True)
    found: Floats = np.divide(rows, total, out=np.zeros_like(rows), where=total > 0)
    return found


def of_others(counts: ArrayLike, blocks: ArrayLike) -> Floats:
    """For each window the counts of all windows in *other* blocks. Shapes (windows, ..., bins) and (windows,).

    Raises:
        ValueError: there are fewer than two blocks, so nothing is left when one is out.
    """
    rows = np.asarray(counts, np.float64)
    distinct, ids = np.unique(np.asarray(blocks, np.int64), return_inverse=True)
    if len(distinct) < 2:
        raise ValueError(f"leaving a block out needs two or more, got {len(distinct)}: a longer reference")
    by_block = np.zeros((len(distinct), *rows.shape[1:]))
    np.add.at(by_block, ids, rows)
    others: Floats = rows.sum(axis=0) - by_block[ids]
    return others


def ks(reference: Floats, current: Floats) -> Floats:
    """Kolmogorov-Smirnov distance of shares (..., bins) at the bin edges, in [0, 1]."""
    distance: Floats = np.abs(np.cumsum(current - reference, axis=-1)).max(axis=-1)
    return distance


def wasserstein(reference: Floats, current: Floats, positions: ArrayLike, sd: ArrayLike) -> Floats:
    """First Wasserstein distance of shares (..., bins), in units of ``sd`` (...); ``positions`` (..., bins) increase.

    Raises:
        ValueError: ``sd`` is not positive.
    """
    unit = np.asarray(sd, np.float64)
    if not (unit > 0).all():
        raise ValueError(f"sd must be positive, got {unit}: a constant reference has no scale to measure in")
    places = np.asarray(positions, np.float64)
    gaps = places[..., 1:] - places[..., :-1]
    moved = np.abs(np.cumsum(current - reference, axis=-1)[..., :-1])
    distance: Floats = np.einsum("...i,...i->...", moved, gaps) / unit
    return distance


def total_variation(reference: Floats, current: Floats) -> Floats:
    """Half the sum of |differences| of shares (..., categories), in [0, 1]."""
    distance: Floats = np.abs(current - reference).sum(axis=-1) / 2
    return distance


def largest_share(reference: Floats, current: Floats) -> Floats:
    """Largest change of a single category's share (L-infinity) of shares (..., categories), in [0, 1]."""
    distance: Floats = np.abs(current - reference).max(axis=-1)
    return distance


def design_effect(counts: ArrayLike, blocks: ArrayLike, *, ordered: bool = True) -> float:
    """How many times more the reference's windows differ than independent rows would: variance ratio, >= 1.

    Each window is held against the other blocks, see :func:`design_effect_of`.

    Args:
        counts: rows per window and bin, shape (windows, bins).
        blocks: block of each window, shape (windows,).
        ordered: bins of a number; False: categories.

    Raises:
        ValueError: as :func:`of_others`.
    """
    return design_effect_of(counts, shares(of_others(counts, blocks)), ordered=ordered)


def design_effect_of(counts: ArrayLike, expected: Floats, *, ordered: bool = True) -> float:
    """The same against any expected shares (windows, bins), seasonal ones for example.

    The variance of the share below a bin edge (of a category), over that of independent rows (Kish 1965), where it is
    worst: 1 for independent rows, 30 when rows come in thirties that are the same. A level that wanders moves all rows
    one way, which a statistic over all bins would spread over them and hide.
    """
    rows = np.asarray(counts, np.float64)
    used: NDArray[np.bool_] = rows.sum(axis=-1) > 0
    rows, foreseen = rows[used], expected[used]
    totals = rows.sum(axis=-1, keepdims=True)
    if ordered:
        rows, foreseen = np.cumsum(rows, axis=-1)[:, :-1], np.cumsum(foreseen, axis=-1)[:, :-1]
    variance = totals * foreseen * (1 - foreseen)
    usual = variance.mean(axis=0) >= 1 if len(variance) else np.zeros(0, np.bool_)
    if not usual.any():
        return 1.0
    ratios = ((rows - totals * foreseen)[:, usual] ** 2).mean(axis=0) / variance[:, usual].mean(axis=0)
    return max(1.0, float(ratios.max()))


def design_effect_of_means(means: ArrayLike, rows: ArrayLike, variance: float) -> float:
    """The same for a mean (a loss): variance between windows beyond what ``variance`` of single rows explains, >= 1.

    Args:
        means: one per window, shape (windows,), at least two.
        rows: rows of each window, > 0.
        variance: of a single row's value, > 0; p (1 - p) for an error rate.

    Raises:
        ValueError: fewer than two windows, or a variance that is not positive.
    """
    values, n = np.asarray(means, np.float64), np.asarray(rows, np.float64)
    if len(values) < 2 or not variance > 0:
        raise ValueError(f"needs two windows and a positive variance, got {len(values)} windows, {variance}")
    centre = float(np.average(values, weights=n))
    return max(1.0, float((n * (values - centre) ** 2).sum()) / (len(values) - 1) / variance)


def effective_rows(rows: float, effect: float) -> float:
    """How many independent rows a window of ``rows`` rows is worth."""
    return rows / effect


def structurally_variable(rows: float, effect: float) -> bool:
    """Whether windows differ so much by nature that this reference cannot tell a change: seasonal slots, or no page."""
    return effective_rows(rows, effect) < MIN_EFFECTIVE
