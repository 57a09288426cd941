"""Simulated months of a model's features: counts per window, stream and bin.

A stream is a normal feature in 32 bins of equal mass; its level wanders between windows as the null says. Rows of a
window are Poisson, as traffic is. Everybody judges the same counts, so distances are those at bin edges.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Null = Literal["iid", "overdispersed", "seasonal", "rho .5", "rho .9", "rho .95"]

BINS = 32
EDGES: Floats = ndtri(np.arange(1, BINS) / BINS)
MIDDLES: Floats = np.array(
    [EDGES[0] - 0.3, *((EDGES[1:] + EDGES[:-1]) / 2), EDGES[-1] + 0.3]
)  # the outer bins' means, nearly
DAY = 96
"""Windows of 15 minutes a day."""

MONTH = 30 * DAY
REFERENCE_DAYS = 28
MANY = 100
"""From so many streams on counts are rounded normals instead of Poisson, of levels in thousandths of a standard
deviation, which takes a tenth of the time."""

LEVEL_SD = 0.05
"""Of the level between windows where it wanders, in standard deviations of the feature."""

SEASON = 0.15
"""Amplitude of the daily season, in the same unit."""


@dataclass(frozen=True, slots=True)
class World:
    """How windows come to be when nothing is wrong."""

    null: Null
    rows: int = 1_000
    streams: int = 20


NULLS: tuple[World, ...] = (
    World("iid"),
    World("overdispersed", rows=5_000),
    World("seasonal"),
    World("rho .5"),
    World("rho .9"),
    World("rho .95"),
)


class Simulated:
    """One model's windows, drawn in time order.

    Args:
        world: the null.
        seed: of everything.
    """

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self._rng = np.random.default_rng(seed)
        self._last = self._rng.normal(size=world.streams)
        self._window = 0

    def levels(self, windows: int) -> Floats:
        """Level of the next windows, shape (windows, streams), in standard deviations of the feature."""
        shape = (windows, self.world.streams)
        first, self._window = self._window, self._window + windows
        match self.world.null:
            case "iid":
                return np.zeros(shape)
            case "overdispersed":
                drawn: Floats = LEVEL_SD * self._rng.normal(size=shape)
                return drawn
            case "seasonal":
                hours = 2 * np.pi * (np.arange(first, first + windows) % DAY) / DAY
                phases = 2 * np.pi * np.arange(self.world.streams) / self.world.streams
                season: Floats = SEASON * np.sin(hours[:, None] + phases)
                return season
            case null:
                rho = float(null.removeprefix("rho "))
                steps = np.sqrt(1 - rho**2) * self._rng.normal(size=shape)
                for window in range(windows):
                    self._last = rho * self._last + steps[window]
                    steps[window] = self._last
                scaled: Floats = LEVEL_SD * steps
                return scaled

    def counts(self, windows: int, *, mean: Floats | float = 0.0, sd: float = 1.0) -> Counts:
        """Counts of the next windows, shape (windows, streams, bins).

        Args:
            windows: how many.
            mean: added to the levels, any shape that broadcasts to (windows, streams).
            sd: of the feature; 1 is normal.
        """
        level = self.levels(windows) + mean
        if self.world.streams < MANY:
            poisson: Counts = self._rng.poisson(self.world.rows * _shares(level, sd))
            return poisson
        # A month is 18 million counts: few levels are looked up instead of many computed, and memory is used in place.
        few, place = np.unique(np.round(level, 3), return_inverse=True)
        rows = (self.world.rows * _shares(few, sd)).astype(np.float32)[place.reshape(level.shape)]
        drawn = self._rng.standard_normal(rows.shape, np.float32)
        drawn *= np.sqrt(rows)
        drawn += rows
        rounded: Counts = np.maximum(np.rint(drawn, out=drawn), 0, out=drawn).astype(np.int64)
        return rounded


def _shares(level: Floats, sd: float) -> Floats:
    """Shares of the bins at levels of shape (...): shape (..., bins)."""
    shares: Floats = np.diff(ndtr((EDGES - level[..., None]) / sd), axis=-1, prepend=0, append=1)
    return shares


def slots(windows: int, first: int = 0) -> tuple[Counts, Counts, Counts]:
    """Day, slot of the week and week of consecutive windows, each of shape (windows,)."""
    index = np.arange(first, first + windows)
    days = index // DAY
    return days, 24 * (days % 7) + index % DAY // (DAY // 24), days // 7
