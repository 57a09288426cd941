"""Windows, maturity of labels and the reference, from how many rows there are and how late labels come."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from app.table import Reader
from detectors.bands import MIN_WINDOWS
from schemas.spec import AlertSpec

ENOUGH_ROWS = 200
"""A window with fewer rows tells little."""

MIN_ROWS: int = AlertSpec().min_rows

ENOUGH_WINDOWS = 20
"""A table with fewer windows has too few to make a reference of and to judge."""

WIDTHS = tuple(timedelta(minutes=minutes) for minutes in (15, 60, 6 * 60, 24 * 60, 7 * 24 * 60))
DAY = timedelta(days=1)
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Timing:
    """What is proposed, and why.

    Attributes:
        rows_a_window: on average.
        collect: how long the first rows are collected for a reference; ``rows``: or how many.
        maturity_reason: for a comment.
        longest_delay: of a label.
    """

    span: timedelta
    width: timedelta
    rows_a_window: float
    maturity: timedelta
    maturity_reason: str
    longest_delay: timedelta
    collect: timedelta
    rows: int
    notes: tuple[str, ...]


def infer(reader: Reader) -> Timing:
    """Propose from ``event_time``, ``label`` and ``label_time``.

    Raises:
        TableError: a time cannot be read.
    """
    event_time = reader.needed("event_time", reader.times).to_numpy()
    span = (int(event_time.max() - event_time.min()) + 1) * _MS
    width = window(len(event_time), span)
    a_window = len(event_time) / max(1.0, span / width)
    notes = []
    if a_window < MIN_ROWS:
        notes.append(
            f"about {a_window:.0f} rows in a window of {iso(width)}: tests need {MIN_ROWS} (alerts.min_rows), most "
            "questions will stay open"
        )
    delays = _delays(reader, event_time)
    longest = max(delays, default=0) * _MS
    if not reader.has("label"):
        maturity, why = up(DAY, width), "the table has no labels"
        notes.append("no column label: drift and quality are watched, performance cannot be")
    elif len(delays):
        late = int(np.quantile(delays, 0.95)) * _MS
        maturity, why = up(max(late, timedelta(0)), width), f"95% of the labels come within {_rough(late)}"
    else:
        maturity, why = up(DAY, width), "the table does not say when labels came (label_time)"
    collect = up(min(7 * DAY, span / 4), width)
    collect = max(collect, min((MIN_WINDOWS + 2) * width, up(span / 2, width)))
    rows = max(20_000, int(-(-len(event_time) * (collect / span) // 1000) * 1000)) if span > collect else 20_000
    return Timing(span, width, a_window, maturity, why, longest, collect, rows, tuple(notes))


def window(rows: int, span: timedelta) -> timedelta:
    """The width of windows: a day, less when there would be few of them, more when they would hold too few rows."""
    wanted = next((width for width in reversed(WIDTHS) if width <= DAY and span / width >= ENOUGH_WINDOWS), WIDTHS[0])
    return next(
        (width for width in WIDTHS if width >= wanted and rows * min(1.0, width / span) >= ENOUGH_ROWS), WIDTHS[-1]
    )


def up(duration: timedelta, width: timedelta) -> timedelta:
    """The next multiple of ``width``, at least one."""
    return max(1, -(-duration // width)) * width


def iso(duration: timedelta) -> str:
    """ISO-8601 text of a duration of whole minutes: P7D, PT6H, PT15M."""
    if duration % DAY == timedelta(0):
        return f"P{duration // DAY}D"
    hours, minutes = divmod(duration // timedelta(minutes=1), 60)
    return "PT" + (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes or not hours else "")


def _delays(reader: Reader, event_time: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> list[int]:
    """How long after their predictions the labels came, in ms."""
    times = reader.optional("label_time", reader.times)
    if times is None or not reader.has("label"):
        return []
    labelled = reader.table["label"].combine_chunks().is_valid().to_numpy(zero_copy_only=False)
    known = labelled & times.is_valid().to_numpy(zero_copy_only=False)
    delays: list[int] = (times.fill_null(0).to_numpy() - event_time)[known].tolist()
    return delays


def _rough(duration: timedelta) -> str:
    if duration >= DAY:
        return f"{duration / DAY:.1f} days"
    hours = duration / timedelta(hours=1)
    return f"{hours:.1f} hours" if hours >= 1 else f"{duration / timedelta(minutes=1):.0f} minutes"
