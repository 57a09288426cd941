"""How long it is usually quiet, at each hour of the week: from the minutes in which something arrived. Pure."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

MINUTE = 60_000
HISTORY_DAYS = 28
_HOURS = 24 * 7
_HISTORY_MINUTES = HISTORY_DAYS * 24 * 60
_QUANTILE = 0.99
_TABLE_AGE = 30 * MINUTE
_WEEKLY_FROM = 14 * 24 * 60
"""With less history than so many minutes, all days count alike: an hour of the week was seen once at most."""


class Arrivals:
    """Minutes in which at least one event arrived, of the last 28 days: at most 40,320 numbers."""

    def __init__(self) -> None:
        self._minutes: NDArray[np.int64] = np.empty(0, np.int64)
        self._new: set[int] = set()
        self._table: NDArray[np.float64] | None = None
        self._table_at = 0

    def __len__(self) -> int:
        """How many minutes are remembered."""
        return len(self._minutes) + len(self._new)

    def add(self, at: int) -> None:
        """Something arrived at ``at`` (ms since the epoch)."""
        self._new.add(at // MINUTE)

    def extend(self, minutes: Iterable[int]) -> None:
        """What a table remembers: minutes since the epoch."""
        self._new.update(minutes)
        self._table = None

    @property
    def last(self) -> int | None:
        """End of the newest minute, in ms since the epoch."""
        newest = max(self._new, default=None)
        if len(self._minutes) and (newest is None or self._minutes[-1] > newest):
            newest = int(self._minutes[-1])
        return None if newest is None else (newest + 1) * MINUTE - 1

    def _refresh(self, at: int) -> NDArray[np.float64]:
        """Take in what has arrived since; done now and then, since it costs a pass over all minutes."""
        merged = np.union1d(self._minutes, np.fromiter(self._new, np.int64, len(self._new)))
        if len(merged):
            merged = merged[merged > merged[-1] - _HISTORY_MINUTES]
        self._minutes, self._new = merged, set()
        self._table, self._table_at = usual_gaps(merged), at
        return self._table

    def usual(self, at: int) -> int | None:
        """The usual gap, in ms, in the hour of the week that holds ``at``; None when there is no history at all."""
        table = self._table
        if table is None or at - self._table_at >= (MINUTE if np.isnan(table[0]) else _TABLE_AGE):
            table = self._refresh(at)
        gap = table[at // (60 * MINUTE) % _HOURS]
        return None if np.isnan(gap) else int(gap * MINUTE)


def usual_gaps(minutes: NDArray[np.int64]) -> NDArray[np.float64]:
    """99th percentile of the gaps that touch each hour of the week.

    A gap counts in every hour that it touches, so that a quiet night is usual in all of its hours. One outage in four
    weeks is too rare to become usual; a quiet night or week-end is not.

    Args:
        minutes: in which something arrived, since the epoch, ascending.

    Returns:
        Minutes, one for each of the 168 hours since Thursday 00:00 UTC; NaN everywhere with fewer than two arrivals.
    """
    if len(minutes) < 2:
        return np.full(_HOURS, np.nan)
    gaps = np.diff(minutes)
    first, last = minutes[:-1] // 60, minutes[1:] // 60
    period = _HOURS if minutes[-1] - minutes[0] >= _WEEKLY_FROM else 24
    touched = np.minimum(last - first, period - 1) + 1
    gap = np.repeat(gaps, touched)
    step = np.arange(len(gap)) - np.repeat(np.cumsum(touched) - touched, touched)
    hour = (np.repeat(first, touched) + step) % period
    found = np.full(period, float(gaps.max()))
    for one in np.unique(hour):
        found[one] = np.quantile(gap[hour == one], _QUANTILE, method="higher")
    return np.tile(found, _HOURS // period)
