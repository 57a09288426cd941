"""river's drift detectors, with their defaults and one tuned setting each where a page a month is in reach."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from river import drift
from river.drift import binary

Make = Callable[[], Any]

ON_WINDOWS: Mapping[str, Make] = {
    "river ADWIN": drift.ADWIN,
    "river ADWIN, tuned (delta 1e-6)": partial(drift.ADWIN, delta=1e-6),
    "river PageHinkley": drift.PageHinkley,
    "river PageHinkley, tuned (delta .5, threshold 30)": partial(drift.PageHinkley, delta=0.5, threshold=30),
    "river KSWIN": partial(drift.KSWIN, seed=1),
    "river KSWIN, tuned (alpha 1e-6)": partial(drift.KSWIN, alpha=1e-6, seed=1),
}
"""Of the mean of each window, in standard deviations of the reference's window means."""

SLOW = ("river KSWIN", "river KSWIN, tuned (alpha 1e-6)")
"""A thousand times slower than the others (1.5 ms an update): measured on fewer windows."""

ON_EVENTS: Mapping[str, Make] = {
    "river ADWIN": drift.ADWIN,
    "river PageHinkley": drift.PageHinkley,
    "river DDM": binary.DDM,
    "river EDDM": binary.EDDM,
    "river HDDMA": binary.HDDMA,
    "river HDDMW": binary.HDDMW,
    "river FHDDM (as it is)": binary.FHDDM,
    "river FHDDM (fed 1 - error)": binary.FHDDM,
}
"""Of single errors (1 = wrong)."""


def pages(make: Make, values: Iterable[float]) -> list[int]:
    """Indices at which a fresh detector says drift."""
    detector, found = make(), []
    for index, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            found.append(index)
    return found
