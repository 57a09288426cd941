"""How far a window is from the reference, from the counts in the same bins.

Distances are measured and shown, they raise nothing by themselves: at a given cut-off their meaning changes with the
number of rows and with how much days differ by nature. Differences inside a bin are invisible to all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import ArrayLike, NDArray
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
    places = None if positions is None else [positions]
    (found,) = compare_each([reference], [current], positions=places, sds=[sd], min_rows=min_rows)
    return found


def compare_each(
    reference: ArrayLike | Sequence[ArrayLike],
    current: ArrayLike | Sequence[ArrayLike],
    *,
    positions: ArrayLike | Sequence[ArrayLike] | None = None,
    sds: Sequence[float | None],
    min_rows: int = MIN_ROWS,
) -> list[Distances | Insufficient]:
    """:func:`compare` of several features that have equally many bins, in one pass: the same numbers, bit for bit.

    Args:
        reference: counts of the reference, shape (features, bins).
        current: counts of the window, shape (features, bins).
        positions: where the bins of each feature lie, shape (features, bins); None for categories.
        sds: standard deviation of each feature in the reference, None where it has none.
        min_rows: fewer rows on either side are :class:`Insufficient`.

    Raises:
        ValueError: the bins differ, or a count is negative.
    """
    counts = _counts(reference, current, dimensions=2)
    totals = np.add.reduce(counts, axis=-1)
    # Who has no rows is told so below; here nothing is divided by zero.
    shares = counts / np.maximum(totals, 1)[..., None]
    columns: list[list[float] | list[int]] = [_psi(counts).tolist(), _jensen_shannon(shares).tolist()]
    columns += [column.tolist() for column in _chi_square(counts, shares, totals)]
    if positions is not None:
        below = _below(shares)
        columns += [
            np.maximum.reduce(below, axis=-1).tolist(),
            _moved(below, np.asarray(positions, np.float64)).tolist(),
        ]
    least, found = max(min_rows, 1), list[Distances | Insufficient]()
    for (before, now), sd, (index, entropy, statistic, p, dof, *ordered) in zip(
        totals.T.tolist(), sds, zip(*columns, strict=True), strict=True
    ):
        if min(before, now) < least:
            side, rows = ("reference", before) if before < least else ("window", now)
            found.append(Insufficient(f"the {side} has {int(rows)} rows with a value, {least} are needed"))
            continue
        furthest, earth = ordered or (None, None)
        earth = earth / sd if earth is not None and sd else None
        found.append(Distances(index, entropy, ChiSquare(statistic, p, int(dof)), furthest, earth))
    return found


def psi(reference: ArrayLike, current: ArrayLike) -> float:
    """Population stability index Σ (q - p) ln(q / p) over bins, each count raised by ``PSI_SMOOTHING``."""
    return float(_psi(_counts(reference, current)))


def ks(reference: ArrayLike, current: ArrayLike) -> float:
    """Kolmogorov-Smirnov statistic at the bin edges: below the exact one by at most the largest bin's share."""
    return float(_below(_shares(_counts(reference, current))).max())


def jensen_shannon(reference: ArrayLike, current: ArrayLike) -> float:
    """Jensen-Shannon distance, base 2, in [0, 1] (Endres and Schindelin 2003)."""
    return float(_jensen_shannon(_shares(_counts(reference, current))))


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
    return float(_moved(below, np.asarray(positions, np.float64))) / sd


def chi_square(reference: ArrayLike, current: ArrayLike) -> ChiSquare:
    """Pearson's test that both rows of counts have one distribution; bins empty on both sides are left out."""
    counts = _counts(reference, current)
    statistic, p_value, dof = _chi_square(counts, _shares(counts), np.add.reduce(counts, axis=-1))
    return ChiSquare(float(statistic), float(p_value), int(dof))


# A window of many features and segments asks for thousands of these a second, so they take many features at once: both
# sides are halves of one array of shape (2, ..., bins). There is no scipy.stats, whose general functions take ten times
# as long for the same numbers.


def _psi(counts: Floats) -> Floats:
    smooth = counts + PSI_SMOOTHING
    p, q = smooth / np.add.reduce(smooth, axis=-1, keepdims=True)
    found: Floats = np.add.reduce((q - p) * np.log(q / p), axis=-1)
    return found


def _below(shares: Floats) -> Floats:
    """Difference of the distribution functions at the upper edge of each bin."""
    gaps: Floats = np.abs(np.add.accumulate(shares[0] - shares[1], axis=-1))
    return gaps


def _jensen_shannon(shares: Floats) -> Floats:
    middle = (shares[0] + shares[1]) / 2
    of_p, of_q = np.add.reduce(rel_entr(shares, middle), axis=-1)
    divergence = (of_p + of_q) / 2 / log(2)
    # Equal distributions may come out below zero by a rounding error, of which scipy's own version makes a NaN.
    found: Floats = np.sqrt(np.clip(divergence, 0.0, 1.0))
    return found


def _moved(below: Floats, places: Floats) -> Floats:
    found: Floats = np.add.reduce(below[..., :-1] * (places[..., 1:] - places[..., :-1]), axis=-1)
    return found


def _chi_square(counts: Floats, shares: Floats, totals: Floats) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Statistics, p-values and degrees of freedom; a single bin tells nothing: 0, 1 and 0."""
    there = counts[0] + counts[1]
    dof = np.maximum(np.count_nonzero(there, axis=-1) - 1, 0)
    # Both rows of the table in one: Σ (O - E)² / E over them is n m Σ (p - q)² / (a + b).
    gaps = (shares[0] - shares[1]) ** 2 / np.where(there > 0, there, 1)
    statistic = np.where(dof > 0, totals[0] * totals[1] * np.add.reduce(gaps, axis=-1), 0.0)
    return statistic, np.where(dof > 0, chdtrc(np.maximum(dof, 1), statistic), 1.0), dof


def bin_positions(edges: ArrayLike, low: ArrayLike, high: ArrayLike) -> Floats:
    """Middle of every bin of a number: [low, e1), [e1, e2), ..., [eK, high]. Shape (..., K + 1).

    Values outside [low, high] are thus moved into the outer bins, where the *outside* count still tells of them.

    Args:
        edges: K increasing ones, of one number or of many, shape (..., K).
        low: least value, shape (...).
        high: largest value, shape (...).
    """
    least, most = np.asarray(low, np.float64)[..., None], np.asarray(high, np.float64)[..., None]
    bounds = np.concatenate([least, np.asarray(edges, np.float64), most], axis=-1)
    middles: Floats = (bounds[..., :-1] + bounds[..., 1:]) / 2
    return middles


def _counts(
    reference: ArrayLike | Sequence[ArrayLike], current: ArrayLike | Sequence[ArrayLike], dimensions: int = 1
) -> Floats:
    """Both as halves of one array, shape (2, bins) or (2, features, bins)."""
    expected, observed = np.asarray(reference, np.float64), np.asarray(current, np.float64)
    if expected.shape != observed.shape or expected.ndim != dimensions or not expected.size:
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
