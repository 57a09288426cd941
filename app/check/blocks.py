"""Cut the reference into parts, so that it says itself what differs by nature: by time where it is known."""

from dataclasses import dataclass

import numpy as np

from detectors.sketch import Ints

HOUR = 3_600_000
DAY = 24 * HOUR
WEEK = 7 * DAY
LEAST = 4
"""A width is used when the reference has as many blocks of it; otherwise a smaller one is."""

_ABOUT = 0.9
"""A time is as long as a width when it lacks less than a tenth of it: the first and last row are never at the edges."""

_NAMES = {HOUR: "hours", DAY: "days", WEEK: "weeks"}


@dataclass(frozen=True, slots=True)
class Blocks:
    """How the reference is cut.

    Attributes:
        ids: block of each row of the reference, shape (rows,), in [0, n).
        n: how many there are.
        name: for a person: ``31 days``, ``its two halves in the order of the file``.
        timed: whether rows were put together by their time.
    """

    ids: Ints
    n: int
    name: str
    timed: bool


class Unusable(ValueError):
    """The reference cannot be cut as it is asked for."""


def cut(rows: int, times: Ints | None, span: int | None, *, width: int | None = None, least: int = HOUR) -> Blocks:
    """Blocks about as long as the rows that are compared with them, since a longer time averages more away.

    Args:
        rows: of the reference.
        times: of its rows in ms since the epoch; None: not known, and the halves are those of the file.
        span: how long the current rows last, in ms; None: not known.
        width: of a block in ms, where its owner knows better.
        least: a width that is used as well, and shorter ones are not: that of the model's windows.

    Raises:
        Unusable: a width is asked for, and there are no times, or only one block of it.
    """
    if times is None:
        if width is not None:
            raise Unusable("--block needs the column event_time in the reference, to know which rows are of one block")
        return Blocks(
            np.arange(rows, dtype=np.int64) * 2 // max(rows, 1), 2, "its two halves in the order of the file", False
        )
    first = int(times.min()) // DAY * DAY
    length = int(times.max()) - first + 1
    if width is None:
        widths = sorted({least, *(known for known in _NAMES if known > least)})
        wanted = max(least, DAY if span is None else span)
        fitting = [known for known in widths if _ABOUT * known <= wanted and length >= _ABOUT * LEAST * known]
        if not fitting:
            ranks = np.argsort(np.argsort(times, kind="stable"), kind="stable")
            return Blocks(ranks.astype(np.int64) * 2 // rows, 2, "its earlier and its later half", True)
        width = fitting[-1]
    starts, ids = np.unique((times - first) // width, return_inverse=True)
    if len(starts) < 2:
        raise Unusable("the reference has rows of one block only; give it a longer time, or make --block shorter")
    name = f"{len(starts)} {_NAMES[width]}" if width in _NAMES else f"{len(starts)} blocks of {width / HOUR:g} h"
    return Blocks(ids.astype(np.int64), len(starts), name, True)
