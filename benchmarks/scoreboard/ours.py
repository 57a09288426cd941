"""driftline's feature detectors with the default spec, as a user gets them who sets nothing but the budget."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.scoreboard.worlds import MIDDLES, Counts, Floats, slots
from detectors import budget, calibration, effects, evidence, held_out
from detectors.slots import Slots, worthwhile
from detectors.verdict import Insufficient

EFFECTS = (effects.KS_EFFECT, effects.WASSERSTEIN_EFFECT)


def measured(expected: Floats, counts: Counts | Floats) -> Floats:
    """KS and W1 of counts (..., bins) to expected shares: shape (..., 2)."""
    shares = held_out.shares(counts)
    spread = float(np.sqrt((expected.reshape(-1, expected.shape[-1]).mean(axis=0) * MIDDLES**2).sum()))
    return np.stack([held_out.ks(expected, shares), held_out.wasserstein(expected, shares, MIDDLES, spread)], axis=-1)


@dataclass(frozen=True)
class Stream:
    """One feature's detector.

    Attributes:
        seasonal: slots, where a fixed reference is structurally variable; else None.
        fixed: shares of the fixed reference.
        scales: of KS and W1.
        examined: what its report may claim, and its threshold.
        silent: structurally variable either way: it reports and never pages.
    """

    seasonal: Slots | None
    fixed: Floats
    scales: tuple[calibration.Scale, ...]
    examined: calibration.Examined
    silent: bool

    def factors(self, counts: Counts, first: int) -> Floats:
        """Evidence factors of windows (windows, bins) that start ``first`` windows after the reference's."""
        expected = self.fixed if self.seasonal is None else self.seasonal.expected(slots(len(counts), first)[1])
        return calibration.factors(self.scales, measured(expected, counts))


def weight(streams: int) -> float:
    """Of one of so many features of equal importance."""
    return budget.weights({str(stream): 1.0 for stream in range(streams)})["feature.0"]


def threshold(streams: int) -> float:
    """A / w of one feature: one page a month of 15-minute windows."""
    return budget.Budget.of_width(1, 15 * 60_000).of(weight(streams))


def fit(reference: Counts, streams: int) -> Stream:
    """The detector of one feature from its reference's windows in time order, shape (windows, bins).

    Raises:
        ValueError: the reference is too short.
    """
    days, of_week, weeks = slots(len(reference))
    fixed = held_out.shares(reference.sum(axis=0))
    rows = float(reference.sum(axis=-1).mean())
    expected, blocks, seasonal = held_out.shares(held_out.of_others(reference, days)), days, None
    effect = held_out.design_effect_of(reference, expected)
    by_season = Slots(reference, of_week, weeks)
    of_season = by_season.expected(of_week, without=weeks)
    seasonal_effect = held_out.design_effect_of(reference, of_season)
    if worthwhile(effect, seasonal_effect):
        expected, blocks, seasonal, effect = of_season, weeks, by_season, seasonal_effect
    silent = held_out.structurally_variable(rows, effect)
    distances = measured(expected, reference)
    scales = []
    for index, effect in enumerate(EFFECTS):
        scale = calibration.calibrate(distances[:, index], blocks, effect=effect, streams=streams)
        if isinstance(scale, Insufficient):
            raise ValueError(scale.reason)
        scales.append(scale)
    examined = calibration.examine(distances, blocks, effects=EFFECTS, threshold=threshold(streams), streams=streams)
    return Stream(seasonal, fixed, tuple(scales), examined, silent)


def alarms(streams: list[Stream], counts: Counts, first: int) -> NDArray[np.bool_]:
    """Alarms per window and stream; counts have shape (windows, streams, bins)."""
    factors = np.stack([stream.factors(counts[:, index], first) for index, stream in enumerate(streams)], axis=1)
    limits = [np.inf if stream.silent else stream.examined.threshold for stream in streams]
    return evidence.alarms(factors, limits)
