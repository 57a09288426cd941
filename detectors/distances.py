"""How far a window is from the reference, from the counts in the same bins.

Distances are measured and shown, they raise nothing by themselves: at a given cut-off their meaning changes with the
number of rows and with how much days differ by nature. Differences inside a bin are invisible to all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, rel_entr

from detectors.sketch import Floats
from detectors.verdict import Insufficient

PSI_SMOOTHING = 0.5
"""Added to every count before PSI takes logarithms (Jeffreys' prior), so that an empty bin stays finite."""

MIN_ROWS = 100
"""Fewer rows with a value, in the window or in the reference, are :class:`Insufficient`."""


@dataclass(frozen=True, slots=True)
class ChiSquare:
    """Test of homogeneity of two rows of counts, without continuity correction."""

    statistic: float
    p_value: float
    dof: int


@dataclass(frozen=True, slots=True)
class Distances:
    """All distances of one feature in one window.

    Attributes:
        psi: population stability index, >= 0, unbounded.
        jensen_shannon: square root of the base-2 divergence, in [0, 1].
        chi_square: statistic, p-value and degrees of freedom.
        ks: largest difference of the distribution functions at bin edges, in [0, 1]; None for categories.
        wasserstein: earth mover's distance in standard deviations of the reference; None for categories and for
            a reference without spread.
    """

    psi: float
    jensen_shannon: float
    chi_square: ChiSquare
    ks: float | None
    wasserstein: float | None


def compare(
    reference: ArrayLike,
    current: ArrayLike,
    *,
    positions: ArrayLike | None = None,
    sd: float | None = None,
    min_rows: int = MIN_ROWS,
) -> Distances | Insufficient:
    """Every distance that is defined for a feature.

    Args:
        reference: counts per bin of the reference.
        current: counts per bin of the window, same bins.
        positions: where each bin lies (see :func:`bin_positions`); None for categories, which have no order.
        sd: standard deviation of the reference, the unit of the Wasserstein distance.
        min_rows: fewer rows on either side are :class:`Insufficient`.

    Raises:
        ValueError: the bins differ, or a count is negative.
    """
    counts = _counts(reference, current)
    totals: list[float] = np.add.reduce(counts, axis=1).tolist()
    for side, rows in zip(("reference", "window"), totals, strict=True):
        if rows < max(min_rows, 1):
            return Insufficient(f"the {side} has {int(rows)} rows with a value, {max(min_rows, 1)} are needed")
    shares = counts / np.array(totals)[:, None]
    furthest = earth = None
    if positions is not None:
        below = _below(shares)
        furthest = float(np.maximum.reduce(below))
        earth = _moved(below, np.asarray(positions, np.float64)) / sd if sd else None
    return Distances(
        psi=_psi(counts),
        jensen_shannon=_jensen_shannon(shares),
        chi_square=_chi_square(counts, shares, *totals),
        ks=furthest,
        wasserstein=earth,
    )


def psi(reference: ArrayLike, current: ArrayLike) -> float:
    """Population stability index Σ (q - p) ln(q / p) over bins, each count raised by ``PSI_SMOOTHING``."""
    return _psi(_counts(reference, current))


def ks(reference: ArrayLike, current: ArrayLike) -> float:
    """Kolmogorov-Smirnov statistic at the bin edges: below the exact one by at most the largest bin's share."""
    return float(_below(_shares(_counts(reference, current))).max())


def jensen_shannon(reference: ArrayLike, current: ArrayLike) -> float:
    """Jensen-Shannon distance, base 2, in [0, 1] (Endres and Schindelin 2003)."""
    return _jensen_shannon(_shares(_counts(reference, current)))


def total_variation(reference: ArrayLike, current: ArrayLike) -> float:
    """Total variation distance, in [0, 1]: the share of rows that would have to change their bin or category."""
    p, q = _shares(_counts(reference, current))
    return float(np.abs(p - q).sum()) / 2


def wasserstein(reference: ArrayLike, current: ArrayLike, positions: ArrayLike, sd: float) -> float:
    """First Wasserstein distance between rows placed at their bins' positions, in units of ``sd``.

    Args:
        reference: counts per bin of the reference.
        current: counts per bin of the window, same bins.
        positions: where each bin lies, ascending.
        sd: the unit.

    Raises:
        ValueError: ``sd`` is not positive, or the bins differ.
    """
    if not sd > 0:
        raise ValueError(f"sd must be positive, got {sd}: a constant reference has no scale to measure in")
    below = _below(_shares(_counts(reference, current)))
    return _moved(below, np.asarray(positions, np.float64)) / sd


def chi_square(reference: ArrayLike, current: ArrayLike) -> ChiSquare:
    """Pearson's test that both rows of counts have one distribution; bins empty on both sides are left out."""
    counts = _counts(reference, current)
    return _chi_square(counts, _shares(counts), *counts.sum(axis=1).tolist())


# A window of many features and segments asks for thousands of these a second. So both sides are rows of one array,
# reductions are those of the ufuncs (an array's own methods take twice as long to begin), there are no checks below,
# and no scipy.stats, whose general functions take ten times as long for the same numbers.


def _psi(counts: Floats) -> float:
    smooth = counts + PSI_SMOOTHING
    p, q = smooth / np.add.reduce(smooth, axis=1, keepdims=True)
    return float(np.add.reduce((q - p) * np.log(q / p)))


def _below(shares: Floats) -> Floats:
    """Difference of the distribution functions at the upper edge of each bin."""
    gaps: Floats = np.abs(np.add.accumulate(shares[0] - shares[1]))
    return gaps


def _jensen_shannon(shares: Floats) -> float:
    middle = (shares[0] + shares[1]) / 2
    of_p, of_q = np.add.reduce(rel_entr(shares, middle), axis=1).tolist()
    divergence = (of_p + of_q) / 2 / log(2)
    # Equal distributions may come out below zero by a rounding error, of which scipy's own version makes a NaN.
    return sqrt(min(max(divergence, 0.0), 1.0))


def _moved(below: Floats, places: Floats) -> float:
    return float(np.add.reduce(below[:-1] * (places[1:] - places[:-1])))


def _chi_square(counts: Floats, shares: Floats, n: float, m: float) -> ChiSquare:
    there = counts[0] + counts[1]
    used = there > 0
    dof = int(np.count_nonzero(used)) - 1
    if not dof:
        return ChiSquare(0.0, 1.0, 0)
    # Both rows of the table in one: Σ (O - E)² / E over them is n m Σ (p - q)² / (a + b).
    gaps = (shares[0] - shares[1])[used]
    statistic = n * m * float(np.add.reduce(gaps * gaps / there[used]))
    return ChiSquare(statistic, float(chdtrc(dof, statistic)), dof)


def bin_positions(edges: Sequence[float], low: float, high: float) -> Floats:
    """Middle of every bin of a number: [low, e1), [e1, e2), ..., [eK, high]. Shape (K + 1,).

    Values outside [low, high] are thus moved into the outer bins, where the *outside* count still tells of them.
    """
    bounds = np.array([low, *edges, high], np.float64)
    middles: Floats = (bounds[:-1] + bounds[1:]) / 2
    return middles


def _counts(reference: ArrayLike, current: ArrayLike) -> Floats:
    """Both as rows of one array, shape (2, bins)."""
    expected, observed = np.asarray(reference, np.float64), np.asarray(current, np.float64)
    if expected.shape != observed.shape or expected.ndim != 1 or not expected.size:
        raise ValueError(
            f"counts must be two columns over the same bins, got shapes {expected.shape} and {observed.shape}: "
            "was the window sketched with another reference?"
        )
    counts: Floats = np.stack((expected, observed))
    if np.minimum.reduce(counts, axis=None) < 0:
        raise ValueError("counts must not be negative")
    return counts


def _shares(counts: Floats) -> Floats:
    total = counts.sum(axis=1, keepdims=True)
    if not (total > 0).all():
        raise ValueError("a distribution needs at least one row: use compare(), which says Insufficient instead")
    shares: Floats = counts / total
    return shares
