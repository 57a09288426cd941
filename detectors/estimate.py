"""How well a binary classifier does, without labels: confidence-based performance estimation (CBPE).

If a score, once calibrated, is the probability of the positive class, then the scores alone say how many of a window's
answers are right (Kivimäki et al. 2025, arXiv 2505.05295; Garg et al. 2022 for the idea). The scores' histogram is
all it takes: the 128 bins of a window's sketch are grouped to at most 32, and each group's
share of positives is made to rise with the score (isotonic regression).

What it cannot see, by construction, is that the same score now means another probability (concept drift).
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from detectors.sketch import SCORE_BINS, Floats, Ints, Sketch
from detectors.verdict import Insufficient

GROUPS = 32
"""At most so many calibrated groups; on real data no worse than 512."""

MIN_PAIRS = 500
"""Fewer labelled pairs in the reference calibrate nothing."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibrated scores of a reference.

    Attributes:
        starts: first score bin of each group, increasing from 0; 0.5 (bin 64) begins one.
        positives: share of positives of each group, not decreasing, in [0, 1].
    """

    starts: tuple[int, ...]
    positives: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Expected performance of a window at the threshold 0.5, without labels; None where undefined.

    Attributes:
        n: rows with a score.
        accuracy: expected share of right answers.
        accuracy_sd: standard deviation of it if labels were drawn independently by their probabilities.
        precision: expected share of positives among predicted positives.
        recall: expected share of predicted ones among positives.
        f1: harmonic mean of both.
        auc: expected area under the ROC curve; rows of one group are ties.
    """

    n: int
    accuracy: float
    accuracy_sd: float
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None


def calibrate(pairs: Sketch, groups: int = GROUPS) -> Calibrated | Insufficient:
    """Calibrate on a reference's labelled pairs (a performance sketch).

    Raises:
        ValueError: the sketch is of another kind, or ``groups`` is less than 4.
    """
    if len(pairs.counts) != 2 * SCORE_BINS:
        raise ValueError(f"not a performance sketch: {len(pairs.counts)} bins, expected {2 * SCORE_BINS}")
    return calibrate_counts(np.array(pairs.counts, np.int64).reshape(SCORE_BINS, 2), groups)


def calibrate_counts(by_label: Ints, groups: int = GROUPS) -> Calibrated | Insufficient:
    """The same from counts of shape (bins, 2) over any even number of uniform score bins.

    Raises:
        ValueError: ``groups`` is less than 4.
    """
    if groups < 4:
        raise ValueError(f"two groups on either side of 0.5 are the least, got {groups} groups")
    rows = by_label.sum(axis=1)
    n = int(rows.sum())
    if n < MIN_PAIRS or not by_label.sum(axis=0).all():
        return Insufficient(f"the reference has {n} labelled pairs, {MIN_PAIRS} of both classes are needed")
    starts = _starts(rows, groups)
    grouped = np.add.reduceat(by_label, starts, axis=0)
    sizes = grouped.sum(axis=1)
    known = sizes > 0
    rising = isotonic_regression(grouped[known, 1] / sizes[known], weights=sizes[known]).x
    centres = np.arange(len(starts), dtype=np.float64)
    # A group that the reference never saw lies between its neighbours.
    positives = np.interp(centres, centres[known], rising)
    return Calibrated(tuple(starts.tolist()), tuple(positives.tolist()))


def estimate(calibrated: Calibrated, counts: ArrayLike) -> Estimate | Insufficient:
    """Expected performance of a window, from its histogram of scores in the bins of the calibration."""
    rows = np.asarray(counts, np.float64)
    if rows.sum() <= 0:
        return Insufficient("the window has no rows with a score")
    starts = np.array(calibrated.starts)
    sizes, chance = np.add.reduceat(rows, starts), np.array(calibrated.positives)
    predicted = starts >= len(rows) // 2
    positives, negatives = sizes * chance, sizes * (1 - chance)
    tp, fp = float(positives[predicted].sum()), float(negatives[predicted].sum())
    fn, tn = float(positives[~predicted].sum()), float(negatives[~predicted].sum())
    n = float(sizes.sum())
    precision = tp / (tp + fp) if tp + fp else None
    recall = tp / (tp + fn) if tp + fn else None
    return Estimate(
        n=int(n),
        accuracy=(tp + tn) / n,
        accuracy_sd=sqrt(float((sizes * chance * (1 - chance)).sum())) / n,
        precision=precision,
        recall=recall,
        f1=2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
        auc=_auc(positives, negatives),
    )


def error_by_bin(calibrated: Calibrated, bins: int = SCORE_BINS) -> Floats:
    """Chance that an answer with a score in each bin is wrong at the threshold 0.5, shape (bins,)."""
    sizes = np.diff([*calibrated.starts, bins])
    chance = np.repeat(np.array(calibrated.positives, np.float64), sizes)
    return np.where(np.arange(bins) >= bins // 2, 1 - chance, chance)


def calibration_error(calibrated: Calibrated, by_label: ArrayLike) -> float | None:
    """Expected calibration error of matured labels, counts of shape (bins, 2); None without any. In [0, 1]."""
    grouped = np.add.reduceat(np.asarray(by_label, np.float64), np.array(calibrated.starts), axis=0)
    sizes = grouped.sum(axis=1)
    gaps = np.abs(grouped[:, 1] - sizes * np.array(calibrated.positives))
    return float(gaps.sum() / sizes.sum()) if sizes.sum() else None


def excess_error(chances: ArrayLike, rows: ArrayLike, positives: ArrayLike) -> float | None:
    """Calibration error of matured labels beyond what chance alone would show, in [0, 1].

    A group of n labels drawn with probability c misses n c by √(2 v / π) on average, v = n c (1 - c), with variance
    v (1 - 2 / π). That and three standard deviations are chance; else few labels make any calibration look wrong.

    Args:
        chances: calibrated share of positives of each group, shape (groups,).
        rows: labels of each group.
        positives: those of the positive class.

    Returns:
        None for fewer than ``MIN_PAIRS`` labels.
    """
    c, n = np.asarray(chances, np.float64), np.asarray(rows, np.float64)
    total = float(n.sum())
    if total < MIN_PAIRS:
        return None
    variance = n * c * (1 - c)
    by_chance = float(np.sqrt(2 * variance / np.pi).sum()) + 3 * sqrt(float(variance.sum()) * (1 - 2 / np.pi))
    gaps = float(np.abs(np.asarray(positives, np.float64) - n * c).sum())
    return max(0.0, gaps - by_chance) / total


def _starts(rows: Ints, groups: int) -> Ints:
    """First bin of each group: half of the groups of equal width, half of equal rows.

    Equal rows alone make one group of the scores that are rare in the reference, and are wrong when those become
    frequent; equal width alone makes one group of all scores of a model that hardly ever says yes.
    """
    even = np.arange(0, len(rows), max(1, 2 * len(rows) // groups))
    before = np.cumsum(rows) - rows
    cuts = np.searchsorted(before, np.arange(1, groups // 2) * rows.sum() / (groups // 2))
    starts: Ints = np.unique([*even, len(rows) // 2, *cuts[cuts < len(rows)]]).astype(np.int64)
    return starts


def _auc(positives: Floats, negatives: Floats) -> float | None:
    pairs = float(positives.sum() * negatives.sum())
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + negatives / 2)).sum()) / pairs if pairs else None
