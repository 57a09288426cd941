"""How large a change is, with an interval that holds however often one looks: a confidence sequence of window means.

A monitor looks at every window and writes when it sees something; an interval for one number of windows that was fixed
beforehand is then wrong far more often than it says. What has to be known beforehand is the standard deviation of the
reference's windows: the interval is narrow after a few of them, and exact for sub-Gaussian ones only.
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import ArrayLike

from detectors.sketch import Floats


@dataclass(frozen=True, slots=True)
class Interval:
    """A change with its uncertainty.

    Attributes:
        mean: mean change over the windows.
        low: lower end.
        high: upper end.
        n: windows.
        descriptive: the windows were chosen by what they showed (since a change point that was estimated from them):
            then the interval's level is not what it says, and it is to be read as a description.
    """

    mean: float
    low: float
    high: float
    n: int
    descriptive: bool


def confidence_sequence(
    changes: ArrayLike, sd: float, *, alpha: float = 0.05, tuned_for: int = 10, descriptive: bool = False
) -> Interval:
    """An interval for the mean change that holds at all times together with probability 1 - alpha.

    The normal-mixture boundary of Robbins (1970), as in Howard, Ramdas, McAuliffe and Sekhon (2021) and, for unknown
    distributions, Waudby-Smith et al. (2024): mean ± sd sqrt(2 (t r² + 1) / (t² r²) log(sqrt(t r² + 1) / alpha)).
    Exact for windows with sub-Gaussian parameter ``sd``, asymptotic otherwise.

    Args:
        changes: one per window, finite, shape (t,), t >= 1.
        sd: standard deviation of the reference's windows, > 0.
        alpha: in (0, 1).
        tuned_for: the number of windows at which it is about tightest; a choice of efficiency, not of validity.
        descriptive: see :attr:`Interval.descriptive`.

    Raises:
        ValueError: there is no window, a change is not finite, or a parameter is out of range.
    """
    values = _series(changes)
    if not (sd > 0 and 0 < alpha < 1 and tuned_for >= 1):
        raise ValueError(f"needs sd > 0, 0 < alpha < 1, tuned_for >= 1, got {sd}, {alpha}, {tuned_for}")
    t = len(values)
    # Nearly the r² that makes the interval shortest at t = tuned_for.
    r2 = (-2 * log(alpha) + log(-2 * log(alpha) + 1)) / tuned_for
    scaled = t * r2 + 1
    half = sd * sqrt(2 * scaled / (t * t * r2) * log(sqrt(scaled) / alpha))
    mean = float(values.mean())
    return Interval(mean, mean - half, mean + half, t, descriptive)


def _series(changes: ArrayLike) -> Floats:
    values = np.asarray(changes, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"changes must be one or more finite numbers, got shape {values.shape}")
    return values
