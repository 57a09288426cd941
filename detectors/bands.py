"""What is normal for a loss that has one value per window: a band from the reference's own windows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.verdict import Insufficient

MIN_WINDOWS = 5
"""Fewer reference windows give no band."""

MIN_WIDTH = 3.0
"""The band's half-width is at least this many standard deviations."""


@dataclass(frozen=True, slots=True)
class Band:
    """A two-sided band; inside is ``low <= value <= high``.

    Attributes:
        low: lower end.
        high: upper end.
        n: reference windows it was made of.
        width: half-width in standard deviations, >= ``MIN_WIDTH``.
    """

    low: float
    high: float
    n: int
    width: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def leave_one_out_band(values: Sequence[float] | NDArray[np.float64]) -> Band | Insufficient:
    """Mean ± k standard deviations, with k so that no reference window would have been called abnormal by the others.

    k is the largest |v_i - mean of the others| / sd of the others, at least ``MIN_WIDTH``. A window whose others are
    all equal has no such ratio; it is left out of the maximum, and the band is widened to hold it. Every
    reference value is inside the band. Calibrating in the sample instead, without leaving out, pages on the
    reference's own kind of windows.

    Args:
        values: one mean loss per reference window, out of sample, finite.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    losses = np.asarray(values, np.float64)
    if not np.isfinite(losses).all():
        raise ValueError("a reference window's loss is NaN or infinite: leave windows without labels out")
    n = len(losses)
    if n < MIN_WINDOWS:
        return Insufficient(f"the reference has {n} labelled windows, a band needs {MIN_WINDOWS}")
    width = MIN_WIDTH
    for index, value in enumerate(losses):
        others = np.delete(losses, index)
        spread = float(others.std(ddof=1))
        if spread > 0:
            width = max(width, abs(float(value - others.mean())) / spread)
    centre, half = float(losses.mean()), width * float(losses.std(ddof=1))
    return Band(min(centre - half, float(losses.min())), max(centre + half, float(losses.max())), n, width)
