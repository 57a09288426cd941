"""What a reference's watch says of one window: how far it is from usual, as evidence, and what a page may claim."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from math import inf, log
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import ArrayLike

from detectors import calibration, held_out
from detectors.estimate import Calibrated as Groups
from detectors.estimate import error_by_bin
from detectors.latency import quantile
from detectors.sketch import LATENCY_EDGES, Floats, Sketch
from detectors.slots import slot_of
from detectors.stream import Measure
from schemas.models import Calibrated, Watch


class Promise(NamedTuple):
    """What the reference lets a stream promise.

    Attributes:
        claim: the one thing a report may claim.
        reason: of the claim, in plain words.
        threshold: at which its evidence pages; infinite: never.
    """

    claim: calibration.Claim
    reason: str
    threshold: float


def components(watch: Watch) -> int:
    """How many components its evidence has (``evidence.start``); 0: it cannot be calibrated."""
    return len(watch.scales) * calibration.COMPONENTS


def distances(watch: Watch, observed: ArrayLike, window_start: int) -> Floats:
    """How far a window is from usual, in the order and the units of ``watch.scales``. Shape (scales,).

    Args:
        watch: of the window's reference.
        observed: of a change its value; else rows with a value per bin, shape (bins,), nulls left out.
        window_start: in milliseconds since the epoch: which slot of the week it is in.

    Raises:
        ValueError: the watch has no scales, the bins are not those of the reference, or nothing was observed.
    """
    if not watch.scales:
        raise ValueError(f"{watch.stream} cannot be judged ({watch.insufficient}): look at examined() first")
    if watch.kind == "change":
        return np.array([float(np.asarray(observed, np.float64)) - watch.usual])
    counts = np.asarray(observed, np.float64)
    expected = np.array(_expected(watch, window_start))
    if counts.shape != expected.shape or not counts.sum() > 0:
        raise ValueError(
            f"{watch.stream}: rows in {len(expected)} bins are needed, got shape {counts.shape} and {counts.sum():g} "
            "rows: was the window counted by another reference, or has it no row with a value?"
        )
    positions = tuple(watch.positions) if watch.kind == "number" else None
    return Measure(positions, watch.sd).distances(expected, counts)


def factors(watch: Watch, observed: ArrayLike, window_start: int) -> Floats:
    """Evidence of one window, for ``evidence.step``. Shape (components,), all >= 0.1.

    Args:
        watch: as for :func:`distances`.
        observed: as for :func:`distances`.
        window_start: as for :func:`distances`.

    Raises:
        ValueError: as :func:`distances`.
    """
    scales = [calibration.Scale(s.effect, tuple(s.lows), s.width, tuple(s.means)) for s in watch.scales]
    return calibration.factors(scales, distances(watch, observed, window_start))


def examined(watch: Watch, threshold: float) -> Promise:
    """What may be claimed of a stream, and at which evidence it pages.

    Args:
        watch: of the model's reference.
        threshold: A / w of the stream (``detectors.budget``); raised where the reference shows dependence.
    """
    if watch.variable:
        return Promise("not enough data", f"structurally variable: {worth(watch)}", inf)
    if not watch.scales:
        return Promise("not enough data", watch.insufficient, inf)
    return Promise(*calibration.claimed(watch.autocorrelation, watch.reached, threshold))


def expected_error(calibrated: Calibrated, counts: ArrayLike) -> float | None:
    """What the stream ``estimate`` watches: the error rate that a window's scores say, without labels; None: no rows.

    Args:
        calibrated: of the reference.
        counts: rows per score bin, shape (``SCORE_BINS``,).
    """
    rows = np.asarray(counts, np.float64)
    errors = error_by_bin(Groups(tuple(calibrated.starts), tuple(calibrated.positives)), len(rows))
    return float(rows @ errors / rows.sum()) if rows.sum() > 0 else None


def log_p99(sketch: Sketch) -> float | None:
    """What the stream ``latency`` watches: the logarithm of a window's 99% quantile in ms; None without rows."""
    found = quantile(sketch, 0.99)
    return None if found is None else log(max(found, float(LATENCY_EDGES[0])))


def worth(watch: Watch) -> str:
    """In a few words, how much a window says."""
    return (
        f"a window of {watch.rows:,.0f} rows is worth {watch.effective_rows:,.0f} independent ones, "
        f"{held_out.MIN_EFFECTIVE:.0f} are needed"
    )


def _expected(watch: Watch, window_start: int) -> Sequence[float]:
    if watch.slots is None:
        return watch.shares
    holidays, zone = _dates(tuple(watch.slots.holidays)), ZoneInfo(watch.slots.timezone)
    return watch.slots.shares[slot_of(window_start, zone, holidays, standard=watch.slots.standard)]


@lru_cache(maxsize=64)
def _dates(holidays: tuple[str, ...]) -> frozenset[date]:
    return frozenset(map(date.fromisoformat, holidays))
