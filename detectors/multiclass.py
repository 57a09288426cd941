"""What a window's labelled pairs say of a classifier of several classes: a confusion matrix, and log-loss where known.

Layout of the sketch: ``counts`` is the confusion matrix, ``counts[label * classes + predicted]``; ``sums`` are
(log-loss, pairs that have one).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import ArrayLike

from detectors.sketch import LOSS_CLIP, Floats, Ints, Rows, Sketch, Sketches, from_fixed


@dataclass(frozen=True, slots=True)
class MulticlassPerformance:
    """Performance of one version in one window; None where a quantity is undefined.

    A macro average is over the classes that were predicted or happened, each counts alike; what a class does not have
    (a precision without predictions, a recall without labels) is zero, as in scikit-learn.

    Attributes:
        n: labelled pairs.
        scored: those with probabilities.
        log_loss: mean over the scored pairs, in nats.
        accuracy: share of right classes.
        error_rate: share of wrong ones.
        f1_macro: macro average of F1.
        precision_macro: macro average of the share of right ones among those predicted.
        recall_macro: macro average of the share that was predicted of those that happened.
    """

    n: int
    scored: int
    log_loss: float | None
    accuracy: float | None
    error_rate: float | None
    f1_macro: float | None
    precision_macro: float | None
    recall_macro: float | None


def class_losses(probabilities: Floats, labels: Ints) -> Floats:
    """Log-loss of each pair, in nats; probabilities below ``LOSS_CLIP`` count as that.

    Args:
        probabilities: one row per pair, one column per class; NaN where they are not known gives NaN.
        labels: column of the class that happened.
    """
    happened = probabilities[np.arange(len(labels)), labels]
    losses: Floats = -np.log(np.clip(happened, LOSS_CLIP, 1.0))
    return losses


def group_confusion(
    predicted: ArrayLike, labels: ArrayLike, log_losses: ArrayLike, groups: ArrayLike, n_groups: int, *, classes: int
) -> Sketches:
    """One sketch per group of labelled pairs.

    Args:
        predicted: place of the predicted class, in [0, classes).
        labels: place of the class that happened, in [0, classes).
        log_losses: in nats; NaN where there are no probabilities.
        groups: group of each pair, in [0, n_groups).
        n_groups: how many sketches to return.
        classes: how many there are.

    Raises:
        ValueError: a place is outside [0, classes), lengths or group ids do not fit.
    """
    places = np.asarray(predicted, np.int64), np.asarray(labels, np.int64)
    for column in places:
        if column.size and not (column.min() >= 0 and column.max() < classes):
            raise ValueError(f"classes must be in [0, {classes}), got {column.min()} to {column.max()}")
    losses = np.asarray(log_losses, np.float64)
    scored = ~np.isnan(losses)
    rows = Rows(groups, n_groups, losses.shape)
    sums = np.where(scored, losses, 0.0), scored.astype(np.float64)
    return rows.sketches(places[1] * classes + places[0], classes**2, sums, None)


def summarise(sketch: Sketch) -> MulticlassPerformance:
    """All of it, from a sketch of labelled pairs (merged as wanted)."""
    classes = isqrt(len(sketch.counts))
    matrix = np.array(sketch.counts, np.int64).reshape(classes, classes)
    hits, happened, predicted = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    there = happened + predicted > 0
    n, right, scored = sketch.n, int(hits.sum()), round(from_fixed(sketch.sums[1]))
    return MulticlassPerformance(
        n=n,
        scored=scored,
        log_loss=from_fixed(sketch.sums[0]) / scored if scored else None,
        accuracy=right / n if n else None,
        error_rate=(n - right) / n if n else None,
        f1_macro=_macro(2 * hits, happened + predicted, there),
        precision_macro=_macro(hits, predicted, there),
        recall_macro=_macro(hits, happened, there),
    )


def shares(sketch: Sketch, names: Sequence[str]) -> dict[str, float]:
    """Share of each class among the predictions of a categorical sketch over ``names``; empty without any."""
    total = sum(sketch.counts)
    return {name: count / total for name, count in zip(names, sketch.counts, strict=False)} if total else {}


def _macro(parts: Ints, wholes: Ints, there: Ints) -> float | None:
    ratios = np.divide(parts, wholes, out=np.zeros(len(parts)), where=wholes > 0)
    return float(ratios[there].mean()) if there.any() else None
