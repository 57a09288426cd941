"""What a window's labelled pairs say of a binary classifier, from its performance sketch.

Losses are exact up to the fixed point (1e-6). What needs the order of scores knows them to 1/128: AUC counts pairs
inside one bin as ties, calibration takes the middle of a bin for its scores.
"""

from dataclasses import dataclass

import numpy as np

from detectors.sketch import SCORE_BINS, Ints, Sketch, mean

CALIBRATION_GROUPS = 10
"""Uniform groups of scores of the expected calibration error."""

MIDDLES = (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS
"""Middle of each score bin, shape (SCORE_BINS,)."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """Pairs at the threshold 0.5 (a score of 0.5 or more predicts the positive class)."""

    tp: int
    fp: int
    fn: int
    tn: int


@dataclass(frozen=True, slots=True)
class Performance:
    """Performance of one version in one window; None where a quantity is undefined.

    Attributes:
        n: labelled pairs.
        base_rate: share of positive labels.
        mean_score: mean probability given to the positive class.
        auc: area under the ROC curve; needs both labels.
        log_loss: mean log-loss in nats.
        brier: mean squared error of the probability, in [0, 1].
        ece: expected calibration error, in [0, 1].
        confusion: counts at 0.5.
        accuracy: share of right classes at 0.5.
        precision: share of right ones among predicted positives.
        recall: share of the positives that were predicted.
    """

    n: int
    base_rate: float | None
    mean_score: float | None
    auc: float | None
    log_loss: float | None
    brier: float | None
    ece: float | None
    confusion: Confusion
    accuracy: float | None
    precision: float | None
    recall: float | None


def summarise(sketch: Sketch) -> Performance:
    """All of it, from a performance sketch (merged over partitions, segments or windows as wanted).

    Raises:
        ValueError: the sketch is of another kind.
    """
    if len(sketch.counts) != 2 * SCORE_BINS or len(sketch.sums) != 3:
        raise ValueError(
            f"not a performance sketch: {len(sketch.counts)} bins and {len(sketch.sums)} sums, "
            f"expected {2 * SCORE_BINS} and 3"
        )
    by_label = np.array(sketch.counts, np.int64).reshape(SCORE_BINS, 2)
    negatives, positives = by_label[:, 0], by_label[:, 1]
    half = SCORE_BINS // 2
    confusion = Confusion(
        tp=int(positives[half:].sum()),
        fp=int(negatives[half:].sum()),
        fn=int(positives[:half].sum()),
        tn=int(negatives[:half].sum()),
    )
    n = sketch.n
    return Performance(
        n=n,
        base_rate=_ratio(confusion.tp + confusion.fn, n),
        mean_score=mean(sketch, 2),
        auc=_auc(negatives, positives),
        log_loss=mean(sketch, 0),
        brier=mean(sketch, 1),
        ece=_calibration_error(negatives, positives),
        confusion=confusion,
        accuracy=_ratio(confusion.tp + confusion.tn, n),
        precision=_ratio(confusion.tp, confusion.tp + confusion.fp),
        recall=_ratio(confusion.tp, confusion.tp + confusion.fn),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _auc(negatives: Ints, positives: Ints) -> float | None:
    """Mann-Whitney: share of (positive, negative) pairs in the right order, ties (one bin) count half."""
    pairs = int(positives.sum()) * int(negatives.sum())
    below = np.cumsum(negatives) - negatives
    return float((positives * (2 * below + negatives)).sum()) / (2 * pairs) if pairs else None


def _calibration_error(negatives: Ints, positives: Ints) -> float | None:
    """ECE: Σ over groups of (rows / n) |mean label - mean score| (Naeini, Cooper and Hauskrecht 2015)."""
    rows = negatives + positives
    groups = (MIDDLES * CALIBRATION_GROUPS).astype(np.int64)
    gaps = np.bincount(groups, weights=positives - rows * MIDDLES, minlength=CALIBRATION_GROUPS)
    total = int(rows.sum())
    return float(np.abs(gaps).sum()) / total if total else None
