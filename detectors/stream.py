"""One watched distribution, fitted on its reference: which reference, which scale, which threshold, which claim."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors import calibration, effects, held_out
from detectors.sketch import Floats, Ints
from detectors.slots import MOST_BINS, Slots, worthwhile
from detectors.verdict import Insufficient


@dataclass(frozen=True, slots=True)
class Measure:
    """How a window's shares are held against what is expected.

    Attributes:
        positions: where each bin of a number lies, increasing; None: categories, which have no order.
        sd: of the reference, the unit of the Wasserstein distance; 0: a constant, which is measured by KS alone.
    """

    positions: tuple[float, ...] | None
    sd: float = 0.0

    @property
    def effects(self) -> tuple[float, ...]:
        """Minimum effect of each distance."""
        if self.positions is None:
            return (effects.CATEGORY_EFFECT, effects.CATEGORY_EFFECT)
        return (effects.KS_EFFECT, effects.WASSERSTEIN_EFFECT) if self.sd > 0 else (effects.KS_EFFECT,)

    def distances(self, expected: Floats, counts: ArrayLike) -> Floats:
        """Number: KS and W1. Categories: total variation and largest share. Shape (windows, distances).

        Args:
            expected: shares, shape (bins,) or (windows, bins).
            counts: rows per window and bin, shape (windows, bins).
        """
        now = held_out.shares(counts)
        if self.positions is None:
            found = [held_out.total_variation(expected, now), held_out.largest_share(expected, now)]
        else:
            found = [held_out.ks(expected, now)]
            if self.sd > 0:
                found.append(held_out.wasserstein(expected, now, self.positions, self.sd))
        return np.stack(found, axis=-1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """When the reference's windows were, in time order; each of shape (windows,).

    Attributes:
        days: block of a fixed reference.
        slots: slot of the week, in [0, 168), see :func:`detectors.slots.slot_of`.
        weeks: block of a seasonal reference.
    """

    days: Ints
    slots: Ints
    weeks: Ints


@dataclass(frozen=True, slots=True)
class Stream:
    """A fitted stream.

    Attributes:
        measure: how windows are measured.
        fixed: expected shares of a fixed reference, shape (bins,).
        seasonal: slots, where they explain at least half of what the reference's windows differ by, and there are at
            most ``slots.MOST_BINS`` bins; else None.
        scales: one per distance.
        examined: what a report may claim, and the threshold.
        effective_rows: independent rows that a window of the reference is worth.
        variable: structurally variable either way: reported, never paged.
    """

    measure: Measure
    fixed: Floats
    seasonal: Slots | None
    scales: tuple[calibration.Scale, ...]
    examined: calibration.Examined
    effective_rows: float
    variable: bool

    @property
    def threshold(self) -> float:
        """At which evidence pages; infinite for a stream that never may."""
        return np.inf if self.variable else self.examined.threshold

    def factors(self, counts: ArrayLike, slots: ArrayLike) -> Floats:
        """Evidence factors of windows (windows, bins) in these slots: shape (windows, components)."""
        expected = self.fixed if self.seasonal is None else self.seasonal.expected(slots)
        return calibration.factors(self.scales, self.measure.distances(expected, counts))


def fit(
    counts: ArrayLike, calendar: Calendar, measure: Measure, *, threshold: float, streams: int, seasonal: bool = True
) -> Stream | Insufficient:
    """Fit a stream on its reference's windows.

    Args:
        counts: rows per window and bin in time order, shape (windows, bins).
        calendar: of the windows.
        measure: of a number or of categories.
        threshold: A / w, see :mod:`detectors.budget`.
        streams: how many streams the model has.
        seasonal: whether slots of the week are looked at.
    """
    rows: NDArray[np.float64] = np.asarray(counts, np.float64)
    if len(np.unique(calendar.days)) < calibration.MIN_BLOCKS:
        return Insufficient(
            f"the reference has {len(np.unique(calendar.days))} days, {calibration.MIN_BLOCKS} are needed"
        )
    ordered = measure.positions is not None
    expected = held_out.shares(held_out.of_others(rows, calendar.days))
    effect = held_out.design_effect_of(rows, expected, ordered=ordered)
    if seasonal and rows.shape[1] <= MOST_BINS and len(np.unique(calendar.weeks)) >= calibration.MIN_BLOCKS:
        slots = Slots(rows, calendar.slots, calendar.weeks)
        of_season = slots.expected(calendar.slots, without=calendar.weeks)
        seasonal_effect = held_out.design_effect_of(rows, of_season, ordered=ordered)
        if worthwhile(effect, seasonal_effect):
            season = _Against(of_season, calendar.weeks, seasonal_effect, slots)
            found = _fitted(rows, season, measure, threshold, streams)
            # A month of days has too few weeks to be held out in quarters; its days may do.
            if isinstance(found, Stream) and found.examined.claim != "not enough data":
                return found
    return _fitted(rows, _Against(expected, calendar.days, effect, None), measure, threshold, streams)


class _Against(NamedTuple):
    """What windows are held against: shares expected without their block, the blocks, the design effect, the slots."""

    expected: Floats
    blocks: Ints
    effect: float
    seasonal: Slots | None


def _fitted(rows: Floats, against: _Against, measure: Measure, threshold: float, streams: int) -> Stream | Insufficient:
    expected, blocks, effect, seasonal = against
    distances = measure.distances(expected, rows)
    scales = _scales(distances, blocks, measure.effects, streams)
    if isinstance(scales, Insufficient):
        return scales
    a_window = float(rows.sum(axis=-1).mean())
    return Stream(
        measure=measure,
        fixed=held_out.shares(rows.sum(axis=0)),
        seasonal=seasonal,
        scales=scales,
        examined=calibration.examine(distances, blocks, effects=measure.effects, threshold=threshold, streams=streams),
        effective_rows=held_out.effective_rows(a_window, effect),
        variable=held_out.structurally_variable(a_window, effect),
    )


def _scales(
    distances: Floats, blocks: Ints, least: Sequence[float], streams: int
) -> tuple[calibration.Scale, ...] | Insufficient:
    found = []
    for index, effect in enumerate(least):
        scale = calibration.calibrate(distances[:, index], blocks, effect=effect, streams=streams)
        if isinstance(scale, Insufficient):
            return scale
        found.append(scale)
    return tuple(found)
