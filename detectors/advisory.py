"""What river's detectors would say of a quantity: advice beside the evidence, which pages nobody.

ADWIN (Bifet and Gavaldà 2007), KSWIN (Raab, Heusinger and Schleif 2020) and PageHinkley (Page 1954) with the defaults
that people know, on the per-window value of a quantity. They cannot be saved without pickle, so they have no state
here: advice is a function of the last 500 values alone, at any time and whoever restarts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from river.drift import ADWIN, KSWIN, PageHinkley

LAST = 500
"""Values that are replayed; older ones are forgotten."""

LEAST = 30
"""Fewer values give no advice: ADWIN and PageHinkley look at 30 values or more only, KSWIN at 100."""

_TO_SD = 1.4826 / sqrt(2)
"""The median of |x - y| of two independent normal values times this is their standard deviation."""

DETECTORS: Mapping[str, Callable[[], Any]] = {
    "adwin": ADWIN,
    "kswin": partial(KSWIN, seed=1),
    "pagehinkley": PageHinkley,
}
"""Name -> a fresh detector; KSWIN draws its sample by a seed of its own, so that advice repeats."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What one detector says of one quantity.

    Attributes:
        detector: a name of :data:`DETECTORS`.
        drifts: places among the given values at which it said drift, in order.
    """

    detector: str
    drifts: tuple[int, ...]


def advise(values: ArrayLike) -> tuple[Advice, ...]:
    """Advice on a series, one per detector; none of fewer than :data:`LEAST` values.

    The last :data:`LAST` values are measured from their median in robust standard deviations, since the detectors'
    defaults mean nothing in a quantity's own unit. The deviation is that of neighbouring windows, which a change of
    level does not widen. A series that mostly does not move has none, and is replayed as zeros and signs.

    Args:
        values: one per window in time order, finite, shape (windows,).

    Raises:
        ValueError: a value is not finite.
    """
    series = np.asarray(values, np.float64)
    if series.ndim != 1 or not np.isfinite(series).all():
        raise ValueError(f"values must be finite, one per window, got shape {series.shape}: leave empty windows out")
    if len(series) < LEAST:
        return ()
    last = series[-LAST:]
    away = last - np.median(last)
    unit = _TO_SD * float(np.median(np.abs(np.diff(last))))
    standard = away / unit if unit > 0 else np.sign(away)
    first = len(series) - len(last)
    return tuple(Advice(name, _drifts(make(), standard.tolist(), first)) for name, make in DETECTORS.items())


def _drifts(detector: Any, values: list[float], first: int) -> tuple[int, ...]:
    found = []
    for place, value in enumerate(values, first):
        detector.update(value)
        if detector.drift_detected:
            found.append(place)
    return tuple(found)
