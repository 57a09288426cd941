"""How large a change is, with an interval that holds however often one looks: confidence sequences of window means.

A monitor looks at every window and writes when it sees something; an interval for one number of windows that was fixed
beforehand is then wrong far more often than it says. Two sequences, for the two things that may be known beforehand:

- :func:`confidence_sequence`: the standard deviation of the reference's windows. Narrow after a few windows, and exact
  for sub-Gaussian ones only.
- :func:`bounded_sequence`: bounds on what a window can be, and nothing else. Always valid, and wide until some tens of
  windows: no method knows more of three numbers whose spread nobody has promised.
"""

from dataclasses import dataclass
from math import isfinite, log, sqrt

import numpy as np
from numpy.typing import ArrayLike

from detectors.sketch import Floats

BISECTIONS = 60
"""Halvings of [0, 1]: the ends of a bounded interval are as exact as a float."""

_MOST = 0.5
"""Largest share of the wealth that a single window may lose: Waudby-Smith and Ramdas's c."""


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


def bounded_sequence(
    changes: ArrayLike, low: float, high: float, *, alpha: float = 0.05, descriptive: bool = False
) -> Interval:
    """The same for windows in [low, high], of any distribution: every mean that betting against it has not ruled out.

    The hedged capital process of Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by
    betting", theorem 3, with their predictable plug-in bets. A gambler bets half of a unit that the mean is above m,
    half that it is below; by Ville's inequality the wealth ever reaches 1 / alpha with probability alpha at most, if
    E[change | past] = m for all windows. That no m is left (low > high) says that the mean changed among the windows.

    Args:
        changes: one per window, in [low, high], shape (t,), t >= 1.
        low: the least that a window can be.
        high: the most, > low.
        alpha: in (0, 1).
        descriptive: see :attr:`Interval.descriptive`.

    Raises:
        ValueError: there is no window, a change is outside the bounds, or a parameter is out of range.
    """
    values = _series(changes)
    if not (isfinite(low) and isfinite(high) and low < high and 0 < alpha < 1):
        raise ValueError(f"needs finite low < high and 0 < alpha < 1, got {low}, {high}, {alpha}")
    if values.min() < low or values.max() > high:
        raise ValueError(f"changes must be in [{low}, {high}], got {values.min()} to {values.max()}")
    unit = (values - low) / (high - low)
    bets = _bets(unit, alpha)
    limit = log(2 / alpha)
    # Mirrored, the upper end is a lower one: the wealth that bets on "above" falls as m rises.
    least, most = _lower_end(unit, bets, limit), 1 - _lower_end(1 - unit, bets, limit)
    width = high - low
    return Interval(float(values.mean()), low + width * least, low + width * most, len(values), descriptive)


def _bets(unit: Floats, alpha: float) -> Floats:
    """Stakes before truncation, shape (t,): each known before its window (eq. 26 of the paper)."""
    t = np.arange(1, len(unit) + 1)
    means = (0.5 + np.cumsum(unit)) / (t + 1)
    variances = (0.25 + np.cumsum((unit - means) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variances[:-1]])
    stakes: Floats = np.sqrt(2 * log(2 / alpha) / (before * t * np.log(t + 1)))
    return stakes


def _lower_end(unit: Floats, bets: Floats, limit: float) -> float:
    """The least m at which the half that bets on a mean above m never held exp(limit) of its stake."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        m = (low + high) / 2
        growth = np.cumsum(np.log1p(np.minimum(bets, _MOST / m) * (unit - m)))
        low, high = (m, high) if growth.max() >= limit else (low, m)
    return low


def _series(changes: ArrayLike) -> Floats:
    values = np.asarray(changes, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"changes must be one or more finite numbers, got shape {values.shape}")
    return values
