"""How far a window is from the reference, from the counts in the same bins.

Distances are measured and shown, they raise nothing by themselves: at a given cut-off their meaning changes with the
number of rows and with how much days differ by nature. Differences inside a bin are invisible to all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import rel_entr
from scipy.stats import chi2_contingency, wasserstein_distance

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
    expected, observed = _counts(reference, current)
    for side, counts in (("reference", expected), ("window", observed)):
        if counts.sum() < max(min_rows, 1):
            return Insufficient(f"the {side} has {int(counts.sum())} rows with a value, {max(min_rows, 1)} are needed")
    return Distances(
        psi=psi(expected, observed),
        jensen_shannon=jensen_shannon(expected, observed),
        chi_square=chi_square(expected, observed),
        ks=None if positions is None else ks(expected, observed),
        wasserstein=None if positions is None or not sd else wasserstein(expected, observed, positions, sd),
    )


def psi(reference: ArrayLike, current: ArrayLike) -> float:
    """Population stability index Σ (q - p) ln(q / p) over bins, each count raised by ``PSI_SMOOTHING``."""
    expected, observed = _counts(reference, current)
    p = _shares(expected + PSI_SMOOTHING)
    q = _shares(observed + PSI_SMOOTHING)
    return float(((q - p) * np.log(q / p)).sum())


def ks(reference: ArrayLike, current: ArrayLike) -> float:
    """Kolmogorov-Smirnov statistic at the bin edges: below the exact one by at most the largest bin's share."""
    expected, observed = _counts(reference, current)
    return float(np.abs(np.cumsum(_shares(expected)) - np.cumsum(_shares(observed))).max())


def jensen_shannon(reference: ArrayLike, current: ArrayLike) -> float:
    """Jensen-Shannon distance, base 2, in [0, 1] (Endres and Schindelin 2003)."""
    expected, observed = _counts(reference, current)
    p, q = _shares(expected), _shares(observed)
    middle = (p + q) / 2
    divergence = (rel_entr(p, middle).sum() + rel_entr(q, middle).sum()) / 2 / np.log(2)
    # Equal distributions may come out below zero by a rounding error, of which scipy's own version makes a NaN.
    return float(np.sqrt(np.clip(divergence, 0, 1)))


def wasserstein(reference: ArrayLike, current: ArrayLike, positions: ArrayLike, sd: float) -> float:
    """First Wasserstein distance between rows placed at their bins' positions, in units of ``sd``.

    Raises:
        ValueError: ``sd`` is not positive, or the bins differ.
    """
    if not sd > 0:
        raise ValueError(f"sd must be positive, got {sd}: a constant reference has no scale to measure in")
    expected, observed = _counts(reference, current)
    places = np.asarray(positions, np.float64)
    return float(wasserstein_distance(places, places, expected, observed)) / sd


def chi_square(reference: ArrayLike, current: ArrayLike) -> ChiSquare:
    """Pearson's test that both rows of counts have one distribution; bins empty on both sides are left out."""
    expected, observed = _counts(reference, current)
    table = np.vstack([expected, observed])
    result = chi2_contingency(table[:, table.sum(axis=0) > 0], correction=False)
    return ChiSquare(float(result.statistic), float(result.pvalue), int(result.dof))


def bin_positions(edges: Sequence[float], low: float, high: float) -> Floats:
    """Middle of every bin of a number: [low, e1), [e1, e2), ..., [eK, high]. Shape (K + 1,).

    Values outside [low, high] are thus moved into the outer bins, where the *outside* count still tells of them.
    """
    bounds = np.array([low, *edges, high], np.float64)
    middles: Floats = (bounds[:-1] + bounds[1:]) / 2
    return middles


def _counts(reference: ArrayLike, current: ArrayLike) -> tuple[Floats, Floats]:
    expected, observed = np.asarray(reference, np.float64), np.asarray(current, np.float64)
    if expected.shape != observed.shape or expected.ndim != 1 or not expected.size:
        raise ValueError(
            f"counts must be two columns over the same bins, got shapes {expected.shape} and {observed.shape}: "
            "was the window sketched with another reference?"
        )
    if (expected < 0).any() or (observed < 0).any():
        raise ValueError("counts must not be negative")
    return expected, observed


def _shares(counts: Floats) -> Floats:
    total = counts.sum()
    if total <= 0:
        raise ValueError("a distribution needs at least one row: use compare(), which says Insufficient instead")
    shares: Floats = counts / total
    return shares
