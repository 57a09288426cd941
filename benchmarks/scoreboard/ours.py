"""driftline's feature detectors with the default spec, as a user gets them who sets nothing but the budget."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.scoreboard.worlds import MIDDLES, Counts, slots
from detectors import budget, evidence, stream
from detectors.verdict import Insufficient

EFFECTS = stream.Measure((0.0, 1.0), 1.0).effects
"""Minimum effects of KS and W1."""


def weight(streams: int) -> float:
    """Of one of so many features of equal importance."""
    return budget.weights({str(feature): 1.0 for feature in range(streams)})["feature.0"]


def threshold(streams: int) -> float:
    """A / w of one feature: one page a month of 15-minute windows."""
    return budget.Budget.of_width(1, 15 * 60_000).of(weight(streams))


def fit(reference: Counts, streams: int) -> stream.Stream:
    """The detector of one feature from its reference's windows in time order, shape (windows, bins).

    Raises:
        ValueError: the reference is too short.
    """
    shares = reference.sum(axis=0) / reference.sum()
    spread = float(np.sqrt((shares * MIDDLES**2).sum()))
    measure = stream.Measure(tuple(MIDDLES.tolist()), spread)
    calendar = stream.Calendar(*slots(len(reference)))
    found = stream.fit(reference, calendar, measure, threshold=threshold(streams), streams=streams)
    if isinstance(found, Insufficient):
        raise ValueError(found.reason)
    return found


def alarms(streams: list[stream.Stream], counts: Counts, first: int) -> NDArray[np.bool_]:
    """Alarms per window and stream; counts have shape (windows, streams, bins), ``first`` after a week's beginning."""
    of_week = slots(len(counts), first)[1]
    factors = np.stack([one.factors(counts[:, index], of_week) for index, one in enumerate(streams)], axis=1)
    return evidence.alarms(factors, [one.threshold for one in streams])
