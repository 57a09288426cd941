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
    ((_, found),) = _by_form([Seen(watch, observed, window_start)])
    of_one: Floats = found[0]
    return of_one


class Seen(NamedTuple):
    """One window of one stream; the fields are those of :func:`distances`."""

    watch: Watch
    observed: ArrayLike
    window_start: int


def factors(seen: Sequence[Seen]) -> list[Floats]:
    """Evidence of windows of many streams, for ``evidence.step``: of each one an array (components,), all >= 0.1.

    Streams of one form are computed together; what is said of one does not depend on the others, to the last bit.

    Raises:
        ValueError: as :func:`distances`, of any of them.
    """
    by_place: dict[int, Floats] = {}
    for places, found in _by_form(seen):
        scales = [seen[place].watch.scales for place in places]
        above = found - np.array([[scale.effect for scale in of] for of in scales])
        lows, means = (np.array([[getattr(s, name) for s in of] for of in scales]) for name in ("lows", "means"))
        widths = np.array([[scale.width for scale in of] for of in scales])
        scores = np.clip((above[..., None] - lows) / widths[..., None], 0, 1)
        rows = calibration.bet(scores, means).reshape(len(places), -1)
        by_place |= dict(zip(places, rows, strict=True))
    return [by_place[place] for place in range(len(seen))]


def _by_form(seen: Sequence[Seen]) -> list[tuple[list[int], Floats]]:
    """(places, distances of shape (places, scales)) of windows that can be computed together."""
    forms: dict[tuple[str, int, int], list[int]] = {}
    for place, (watch, observed, start) in enumerate(seen):
        if not watch.scales:
            raise ValueError(f"{watch.stream} cannot be judged ({watch.insufficient}): look at examined() first")
        bins = 0 if watch.kind == "change" else len(_expected(watch, start))
        if bins and (np.shape(observed) != (bins,) or not sum(observed) > 0):  # type: ignore[arg-type]  # a row
            raise ValueError(
                f"{watch.stream}: rows in {bins} bins are needed, got shape {np.shape(observed)}: was the window "
                "counted by another reference, or has it no row with a value?"
            )
        forms.setdefault((watch.kind, bins, len(watch.scales)), []).append(place)
    return [(places, _distances(kind, [seen[place] for place in places])) for (kind, _, _), places in forms.items()]


def _distances(kind: str, seen: Sequence[Seen]) -> Floats:
    """Distances of windows of one form, shape (windows, scales)."""
    observed = np.array([one.observed for one in seen], np.float64)
    if kind == "change":
        changes: Floats = observed - np.array([one.watch.usual for one in seen])
        return changes[:, None]
    now, expected = held_out.shares(observed), np.array([_expected(one.watch, one.window_start) for one in seen])
    if kind == "categories":
        return np.stack([held_out.total_variation(expected, now), held_out.largest_share(expected, now)], axis=-1)
    found = [held_out.ks(expected, now)]
    if len(seen[0].watch.scales) > 1:
        positions, sd = np.array([one.watch.positions for one in seen]), np.array([one.watch.sd for one in seen])
        found.append(held_out.wasserstein(expected, now, positions, sd))
    return np.stack(found, axis=-1)


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
    habit = watch.reached if watch.habit is None else watch.habit
    return Promise(*calibration.claimed(watch.autocorrelation, watch.reached, habit, threshold))


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
    return watch.slots.shares[slot_of(window_start, zone, holidays, fixed=watch.slots.fixed)]


@lru_cache(maxsize=64)
def _dates(holidays: tuple[str, ...]) -> frozenset[date]:
    return frozenset(map(date.fromisoformat, holidays))
