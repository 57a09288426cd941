"""Makes the watches of a reference: each quantity is calibrated on the reference's own held-out windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import inf
from zoneinfo import ZoneInfo

import numpy as np
from msgspec.structs import replace
from numpy.typing import ArrayLike, NDArray

from detectors import calibration, held_out, quality, stream
from detectors.sketch import Floats, Ints
from detectors.slots import SLOTS, slot_of, week_of
from detectors.verdict import Insufficient
from schemas.models import Scale, Slots, Watch
from schemas.windows import Windows as Grid

_HOUR = 3_600_000
_DAY = 24 * _HOUR
_DIGITS = 6
"""Of stored shares: far below any minimum effect, and a third of the bytes."""


@dataclass(frozen=True, slots=True)
class Windows:
    """When the reference's windows were.

    Attributes:
        calendar: of the windows, in time order.
        timezone: IANA name of the zone of seasonal slots.
        holidays: ISO dates that count as Sundays.
        fixed: slots are told by a clock that never changes, see :func:`detectors.slots.slot_of`.
    """

    calendar: stream.Calendar
    timezone: str
    holidays: tuple[str, ...]
    fixed: bool

    @classmethod
    def of(cls, starts: Ints, grid: Grid, timezone: str = "UTC", holidays: Sequence[date] = ()) -> "Windows":
        """Windows of a grid that start at these instants (ms, ascending); a day begins at the grid's offset, UTC."""
        zone, free, fixed = ZoneInfo(timezone), frozenset(holidays), grid.width > _HOUR
        return cls(
            stream.Calendar(
                days=(starts - grid.offset) // _DAY,
                slots=np.array([slot_of(int(start), zone, free, fixed=fixed) for start in starts], np.int64),
                weeks=np.array([week_of(int(start)) for start in starts], np.int64),
            ),
            timezone,
            tuple(day.isoformat() for day in sorted(free)),
            fixed,
        )

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.calendar.days)


def of_counts(
    name: str, counts: Ints, measure: stream.Measure, windows: Windows, *, streams: int, seasonal: bool = True
) -> Watch:
    """The watch of a distribution.

    Args:
        name: of the stream.
        counts: rows with a value per window and bin, shape (windows, bins); windows of fewer than ``quality.MIN_ROWS``
            rows are left out.
        measure: of a number or of categories.
        windows: of the counts.
        streams: how many streams the model has: they share the chance that a bound on a mean is too low.
        seasonal: whether it may have slots of the week.
    """
    full: NDArray[np.bool_] = counts.sum(axis=1) >= quality.MIN_ROWS
    calendar = stream.Calendar(windows.calendar.days[full], windows.calendar.slots[full], windows.calendar.weeks[full])
    # Thresholds belong to who pages: what is stored here is the same at any.
    found = stream.fit(counts[full], calendar, measure, threshold=inf, streams=streams, seasonal=seasonal)
    common = Watch(
        stream=name,
        kind="categories" if measure.positions is None else "number",
        positions=list(measure.positions or ()),
        sd=measure.sd,
        shares=_rounded(held_out.shares(counts.sum(axis=0))),
        windows=int(full.sum()),
        blocks=len(np.unique(calendar.days)),
        rows=float(counts[full].sum(axis=1).mean()) if full.any() else 0.0,
    )
    counted = f"windows of {quality.MIN_ROWS} rows with a value count"
    if isinstance(found, Insufficient):
        return replace(common, insufficient=f"{found.reason} ({counted})")
    if found.examined.claim == "not enough data":
        return replace(common, insufficient=f"{found.examined.reason} ({counted})")
    return replace(
        common,
        shares=_rounded(found.fixed),
        slots=None if found.seasonal is None else _slots(found.seasonal.expected(np.arange(SLOTS)), windows),
        scales=_scales(("total_variation", "largest_share") if measure.positions is None else _NUMBER, found.scales),
        blocks=found.examined.blocks,
        effective_rows=found.effective_rows,
        autocorrelation=found.examined.autocorrelation,
        reached=found.examined.reached,
        habit=found.examined.habit,
        variable=found.variable,
    )


def of_values(
    name: str,
    values: ArrayLike,
    rows: ArrayLike,
    days: ArrayLike,
    *,
    effect: float,
    design_effect: float,
    streams: int,
    counted: str,
) -> Watch:
    """The watch of one number per window, of which more is worse; a window is held against those of the other days.

    Args:
        name: of the stream.
        values: one per window, finite, shape (windows,).
        rows: that each is a mean over, > 0.
        days: block of each window.
        effect: least rise that may page, in the unit of the values, > 0.
        design_effect: how many times more values differ than independent rows would make them, >= 1.
        streams: as for :func:`of_counts`.
        counted: which windows have a value, in plain words.
    """
    found, n = np.asarray(values, np.float64), np.asarray(rows, np.float64)
    blocks = len(np.unique(np.asarray(days)))
    common = Watch(
        stream=name,
        kind="change",
        usual=float(np.average(found, weights=n)) if len(found) else 0.0,
        windows=len(found),
        blocks=blocks,
        rows=float(n.mean()) if len(n) else 0.0,
    )
    if blocks < calibration.MIN_BLOCKS:
        least = f"{calibration.MIN_WINDOWS} in {calibration.MIN_BLOCKS} are needed"
        return replace(
            common, insufficient=f"the reference has {len(found)} windows in {blocks} days, {least} ({counted})"
        )
    others = held_out.of_others(np.stack([found * n, n], axis=1), days)
    changes = found - others[:, 0] / others[:, 1]
    scale = calibration.calibrate(changes, days, effect=effect, streams=streams)
    if isinstance(scale, Insufficient):
        return replace(common, insufficient=f"{scale.reason} ({counted})")
    examined = calibration.examine(changes[:, None], days, effects=[effect], threshold=inf, streams=streams)
    if examined.claim == "not enough data":
        return replace(common, insufficient=f"{examined.reason} ({counted})")
    return replace(
        common,
        scales=_scales(("change",), (scale,)),
        effective_rows=held_out.effective_rows(common.rows, design_effect),
        autocorrelation=examined.autocorrelation,
        reached=examined.reached,
        habit=examined.habit,
    )


_NUMBER = ("ks", "wasserstein")


def _scales(names: Sequence[str], scales: Sequence[calibration.Scale]) -> list[Scale]:
    # A constant has no second distance.
    return [Scale(name, s.effect, list(s.lows), s.width, list(s.means)) for name, s in zip(names, scales, strict=False)]


def _slots(expected: Floats, windows: Windows) -> Slots:
    shares = [_rounded(row) for row in expected]
    return Slots(windows.timezone, list(windows.holidays), shares, windows.fixed)


def _rounded(shares: Floats) -> list[float]:
    rounded: list[float] = np.round(shares, _DIGITS).tolist()
    return rounded
