"""Seasonal references: what is normal at this hour of this weekday.

A slot is (hour, weekday) in the model's own time zone; a holiday counts as a Sunday. A slot that has been seen in fewer
than ``FULL_WEEKS`` weeks is not believed alone: it shrinks to its hour of any day, and that to the whole
reference, each by the share of weeks that are missing. An hour at which no window began is like the slot nearest to it.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.held_out import shares
from detectors.sketch import Floats

FULL_WEEKS = 8
"""Independent weeks after which a slot speaks for itself."""

SLOTS = 7 * 24
"""Hours of a week."""

MOST_BINS = 64
"""Of a column that may have slots: with more of them an hour has a few rows of each, and the table is large."""

_WEEK_MS = 7 * 86_400_000
_SUNDAY = 6
_NONE = timedelta(0)


def slot_of(instant: int, zone: ZoneInfo, holidays: Collection[date] = (), *, fixed: bool = False) -> int:
    """Slot of an instant in milliseconds since the epoch: 24 * weekday + hour, Monday 0:00 is 0, in [0, 168).

    Args:
        instant: start of a window.
        zone: of the model.
        holidays: days of that zone that count as Sundays.
        fixed: tell summer time all year. Windows of more than an hour lie on a grid of UTC and would move to hours that
            a reference has never or seldom seen, when the clocks change; they go on in the slots that they had. It is
            summer time since a day from local midnight of either half of the year then begins on its own date: by
            winter time one of summer begins at 23:00 of the day before.
    """
    utc = datetime.fromtimestamp(instant / 1000, UTC)
    local = utc.astimezone(zone)
    if fixed:
        # South of the equator summer time is in January.
        local = utc + max(datetime(local.year, month, 1, tzinfo=zone).utcoffset() or _NONE for month in (1, 7))
    weekday = _SUNDAY if local.date() in holidays else local.weekday()
    return 24 * weekday + local.hour


def worthwhile(fixed: float, seasonal: float) -> bool:
    """Whether slots explain at least half of what windows differ beyond sampling: then they are the reference.

    Args:
        fixed: design effect against the other days (:func:`detectors.held_out.design_effect`).
        seasonal: the same against the slots of the other weeks.
    """
    return fixed > 2 and seasonal - 1 < (fixed - 1) / 2


def week_of(instant: int) -> int:
    """The block that is left out for an instant in milliseconds: weeks from Monday, UTC."""
    return (instant - 4 * 86_400_000) // _WEEK_MS


class Slots:
    """A seasonal reference of one column.

    Args:
        counts: rows per reference window and bin, shape (windows, bins).
        slots: slot of each window, in [0, 168), shape (windows,).
        weeks: week of each window, shape (windows,).

    Raises:
        ValueError: shapes differ, or a slot is out of range.
    """

    def __init__(self, counts: ArrayLike, slots: ArrayLike, weeks: ArrayLike) -> None:
        rows, ids = np.asarray(counts, np.float64), np.asarray(slots, np.int64)
        distinct, week_ids = np.unique(np.asarray(weeks, np.int64), return_inverse=True)
        if rows.ndim != 2 or ids.shape != rows.shape[:1] or week_ids.shape != ids.shape:
            raise ValueError(f"one slot and week per window, got {rows.shape}, {ids.shape}, {week_ids.shape}")
        if ids.size and not (ids.min() >= 0 and ids.max() < SLOTS):
            raise ValueError(f"slots must be in [0, {SLOTS}), got {ids.min()} to {ids.max()}")
        self._week = {int(week): index for index, week in enumerate(distinct)}
        self._counts = np.zeros((len(distinct), SLOTS, rows.shape[1]))
        np.add.at(self._counts, (week_ids, ids), rows)
        self._total = self._counts.sum(axis=0)

    def expected(self, slots: ArrayLike, *, without: ArrayLike | None = None) -> Floats:
        """Expected shares of windows in these slots, shape (windows, bins).

        Args:
            slots: slot of each window.
            without: week of each window, which is left out of what is expected of it; None: nothing is.
        """
        ids = np.asarray(slots, np.int64)
        if without is None:
            return self._shrunk(self._total, (self._counts.sum(axis=2) > 0).sum(axis=0))[ids]
        found = np.empty((len(ids), self._total.shape[1]))
        left_out = np.asarray(without, np.int64)
        seen = self._counts.sum(axis=2) > 0
        for week in np.unique(left_out):
            rows: NDArray[np.bool_] = left_out == week
            index = self._week.get(int(week))
            total = self._total if index is None else self._total - self._counts[index]
            weeks = seen.sum(axis=0) - (0 if index is None else seen[index])
            found[rows] = self._shrunk(total, weeks)[ids[rows]]
        return found

    @staticmethod
    def _shrunk(total: Floats, weeks: NDArray[np.int64]) -> Floats:
        by_hour = total.reshape(7, 24, -1).sum(axis=0)
        # An hour has been seen on as many days as its seven slots have weeks.
        trust_hour = np.minimum(weeks.reshape(7, 24).sum(axis=0) / FULL_WEEKS, 1)[:, None]
        hour = trust_hour * shares(by_hour) + (1 - trust_hour) * shares(total.sum(axis=0))
        trust_slot = np.minimum(weeks / FULL_WEEKS, 1)[:, None]
        expected: Floats = trust_slot * shares(total) + (1 - trust_slot) * np.tile(hour, (7, 1))
        begun: NDArray[np.bool_] = weeks.reshape(7, 24).sum(axis=0) > 0
        return expected[_nearest(begun)]


def _nearest(begun: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each slot the nearest in the week, itself or another, of those at whose hour windows began, shape (168,)."""
    slots = np.arange(SLOTS)
    known = np.flatnonzero(np.tile(begun, 7)) if begun.any() else slots
    apart = np.abs(slots[:, None] - known)
    found: NDArray[np.int64] = known[np.minimum(apart, SLOTS - apart).argmin(axis=1)]
    return found
