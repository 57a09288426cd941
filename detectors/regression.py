"""What a window's labelled pairs say of a model that predicts numbers, from exact sums.

Layout of the sketch: one bin; ``sums`` are (absolute error, error, label) and the squares of (error, label), these in
units of ``1 / SQUARE_ONE``; ``minimum`` and ``maximum`` are of the error, which is prediction - label. What is beyond
``±SQUARE_LIMIT``, error or label, is clipped to it and counted as *outside*.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike

from detectors.sketch import FIXED_ONE, SQUARE_LIMIT, SQUARE_ONE, Rows, Sketch, Sketches, from_fixed, to_fixed


@dataclass(frozen=True, slots=True)
class RegressionPerformance:
    """Performance of one version in one window, in the label's unit; None where a quantity is undefined.

    Attributes:
        n: labelled pairs.
        mae: mean absolute error.
        rmse: square root of the mean squared error.
        bias: mean error; above zero the predictions are too high.
        r2: share of the labels' variance that is explained, at most 1; needs labels that differ.
        mean_label: mean of what happened.
        clipped: pairs whose error or label is too large to be summed as it is: with any, the others are bounds.
    """

    n: int
    mae: float | None
    rmse: float | None
    bias: float | None
    r2: float | None
    mean_label: float | None
    clipped: int


def group_errors(predictions: ArrayLike, labels: ArrayLike, groups: ArrayLike, n_groups: int) -> Sketches:
    """One sketch per group of labelled pairs.

    Args:
        predictions: finite numbers.
        labels: finite numbers.
        groups: group of each pair, in [0, n_groups).
        n_groups: how many sketches to return.

    Raises:
        ValueError: a number is NaN or infinite, lengths or group ids do not fit.
    """
    predicted, happened = np.asarray(predictions, np.float64), np.asarray(labels, np.float64)
    for column in (predicted, happened):
        if not np.isfinite(column).all():
            raise ValueError("predictions and labels must be finite: dead-letter the others first")
    rows = Rows(groups, n_groups, happened.shape)
    # Halved first: the difference of two large doubles may be none.
    errors = np.clip(predicted / 2 - happened / 2, -SQUARE_LIMIT, SQUARE_LIMIT) * 2
    outside = (np.abs(errors) > SQUARE_LIMIT) | (np.abs(happened) > SQUARE_LIMIT)
    errors = np.clip(errors, -SQUARE_LIMIT, SQUARE_LIMIT)
    # The label's square is of the number that is summed, so that a variance does not come from rounding.
    label = to_fixed(np.clip(happened, -SQUARE_LIMIT, SQUARE_LIMIT)) / FIXED_ONE
    bins = np.zeros(len(errors), np.int64)
    return rows.sketches(bins, 1, (np.abs(errors), errors, label), errors, outside, squared=(errors, label))


def summarise(sketch: Sketch) -> RegressionPerformance:
    """All of it, from a sketch of labelled pairs (merged as wanted)."""
    n = sketch.n
    if not n:
        return RegressionPerformance(0, None, None, None, None, None, 0)
    absolute, error, label, squared_error, squared_label = sketch.sums
    # n Σy² - (Σy)², in whole numbers: floats would lose it all where labels are large beside their spread.
    unit = FIXED_ONE**2 // SQUARE_ONE
    spread = n * squared_label * unit - label**2
    unexplained = n * squared_error * unit
    rounding = n * unit * (n + squared_label // 2**50)  # of the squares: labels that differ by no more do not differ
    return RegressionPerformance(
        n=n,
        mae=from_fixed(absolute) / n,
        rmse=sqrt(squared_error / SQUARE_ONE / n),
        bias=from_fixed(error) / n,
        r2=1 - unexplained / spread if spread > rounding else None,
        mean_label=from_fixed(label) / n,
        clipped=sketch.outside,
    )
