"""How a window's distance becomes evidence, calibrated on held-out windows of the reference.

A distance D (see :mod:`detectors.held_out`) is scored as S = clip((D - effect - low) / width, 0, 1), twice: with *low*
the median and the 90% quantile of what the reference's own held-out windows measure; *width* is three times their q99 -
q50. Below the minimum effect no score rises, at any number of rows. The factor of a bet f is L = 1 + f / m (S - m),
where m bounds the mean of S in the reference *without* the effect: its block means plus a t-quantile of their standard
error that is shared over all streams, and one more window that was never seen.

One window is one observation, so events may depend on each other within it. Windows that depend on each other break
the promise: :func:`examine` measures it on the reference, and says which claim a report may make.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from detectors import evidence
from detectors.sketch import Floats
from detectors.verdict import Insufficient

BETS = (0.2, 0.5, 0.9)
"""Shares of the largest stake; the stream averages over them."""

QUANTILES = (0.5, 0.9)
"""Of the reference's held-out distances: where the two scores of a distance begin."""

COMPONENTS = len(BETS) * len(QUANTILES)
"""Of one distance's evidence."""

MIN_WINDOWS = 20
"""Fewer held-out windows are :class:`Insufficient`: their quantiles would be two or three windows."""

MIN_BLOCKS = 3
"""Fewer blocks (days, or weeks for seasonal slots) give no standard error worth the name."""

FOLDS = 4
"""Parts of consecutive blocks that are watched, each as calibrated on the others."""

MISS = 0.05
"""Probability, over all streams of a model together, that the bound on a mean is too low."""

DEPENDENT = 0.3
"""A lag-1 autocorrelation of a score above this is *dependence high*."""

MARGIN = 10.0
"""Where dependence is high, a stream pages at so many times what the reference does out of habit."""

_APART = ((0, 2), (0, 3), (1, 3))
"""Pairs of quarters that do not touch: a habit (nights, weekends) is in both, one odd stretch is not, even if it lies
across the end of a quarter."""

Claim = Literal["within budget on held-out reference", "estimated, dependence high", "not enough data"]


@dataclass(frozen=True, slots=True)
class Scale:
    """The calibrated scores of one distance.

    Attributes:
        effect: minimum effect, in the distance's unit, > 0.
        lows: where each score begins, above the effect.
        width: how far above that a score is 1, > 0.
        means: bound on the mean of each score in the reference, in (0, 1].
    """

    effect: float
    lows: tuple[float, ...]
    width: float
    means: tuple[float, ...]

    def scores(self, distances: ArrayLike, *, effect: float | None = None) -> Floats:
        """Scores in [0, 1] of distances of shape (...): shape (..., 2)."""
        above = np.asarray(distances, np.float64)[..., None] - (self.effect if effect is None else effect)
        # np.clip takes five times as long to begin, and a window asks for hundreds of these.
        scores: Floats = np.minimum(np.maximum((above - np.array(self.lows)) / self.width, 0), 1)
        return scores

    def factors(self, distances: ArrayLike) -> Floats:
        """Factors L of distances of shape (...): shape (..., COMPONENTS), one per score and bet, all >= 0.1."""
        return bet(self.scores(distances), np.array(self.means))


@dataclass(frozen=True, slots=True)
class Examined:
    """What the reference's own windows say of a stream.

    Attributes:
        claim: the one thing a report may claim.
        windows: held-out windows.
        blocks: independent blocks of them.
        autocorrelation: lag-1 autocorrelation of the score between neighbouring windows, in [-1, 1].
        reached: highest M over the reference, each quarter calibrated on the others.
        habit: highest M that two quarters reached which do not touch; at most ``reached``.
        threshold: at which the stream pages: A / w; where dependence is high ``MARGIN`` times ``habit``, if that is
            more.
        reason: the claim's reason, in plain words.
    """

    claim: Claim
    windows: int
    blocks: int
    autocorrelation: float
    reached: float
    habit: float
    threshold: float
    reason: str


def calibrate(distances: ArrayLike, blocks: ArrayLike, *, effect: float, streams: int = 1) -> Scale | Insufficient:
    """The scale of one distance, from the reference's held-out windows.

    Args:
        distances: of each window to the reference without its block, finite, shape (windows,).
        blocks: block of each window, any integers: days for a fixed reference, weeks for seasonal slots.
        effect: minimum effect in the distance's unit, > 0.
        streams: how many streams share the probability ``MISS`` that a bound is too low.

    Raises:
        ValueError: a distance is not finite, or the effect is not positive.
    """
    held_out, ids = _checked(distances, blocks, effect)
    n_blocks = int(ids.max()) + 1 if ids.size else 0
    if len(held_out) < MIN_WINDOWS or n_blocks < MIN_BLOCKS:
        return Insufficient(
            f"the reference has {len(held_out)} windows in {n_blocks} blocks, {MIN_WINDOWS} in {MIN_BLOCKS} are needed"
        )
    middle, top = np.quantile(held_out, [0.5, 0.99])
    # A million rows leave nearly no spread: the effect itself is then the unit, and twice the effect scores 1.
    width = max(3 * float(top - middle), effect)
    lows = tuple(float(low) for low in np.quantile(held_out, QUANTILES))
    raw = Scale(effect, lows, width, (1.0,) * len(lows)).scores(held_out, effect=0)
    sizes = np.bincount(ids)
    by_block = np.stack([np.bincount(ids, weights=raw[:, score]) / sizes for score in range(len(lows))], axis=1)
    error = by_block.std(axis=0, ddof=1) / np.sqrt(n_blocks)
    unseen = (raw.sum(axis=0) + 1) / (len(raw) + 1)
    bounds = np.minimum(unseen + float(stdtrit(n_blocks - 1, 1 - MISS / max(streams, 1))) * error, 1)
    return Scale(effect, lows, width, tuple(bounds.tolist()))


def bet(scores: Floats, means: Floats) -> Floats:
    """Factors L of scores (..., 2) whose bounds are ``means`` (..., 2): shape (..., COMPONENTS), all >= 0.1."""
    by_bet: Floats = 1 + (scores / means - 1)[..., None] * np.array(BETS)
    return by_bet.reshape(*by_bet.shape[:-2], -1)


def factors(scales: Sequence[Scale], distances: ArrayLike) -> Floats:
    """Factors of a stream that is measured by several distances, shape (..., distances): shape (..., components)."""
    by_distance = np.asarray(distances, np.float64)
    return np.concatenate([scale.factors(by_distance[..., index]) for index, scale in enumerate(scales)], axis=-1)


def examine(
    distances: ArrayLike, blocks: ArrayLike, *, effects: Sequence[float], threshold: float, streams: int = 1
) -> Examined:
    """What may be claimed of a stream: its reference is watched, each quarter as calibrated on the others.

    Args:
        distances: of each held-out window, in time order, finite, shape (windows, distances).
        blocks: as for :func:`calibrate`.
        effects: minimum effect of each distance.
        threshold: A / w of the stream.
        streams: as for :func:`calibrate`.

    Raises:
        ValueError: as for :func:`calibrate`.
    """
    held_out = np.asarray(distances, np.float64)
    ids = np.unique(np.asarray(blocks, np.int64), return_inverse=True)[1]
    n_blocks = int(ids.max()) + 1 if ids.size else 0

    def scales(part: NDArray[np.bool_]) -> list[Scale] | Insufficient:
        found = []
        for index, effect in enumerate(effects):
            scale = calibrate(held_out[part, index], ids[part], effect=effect, streams=streams)
            if isinstance(scale, Insufficient):
                return scale
            found.append(scale)
        return found

    def too_little(reason: str) -> Examined:
        return Examined("not enough data", len(held_out), n_blocks, 0.0, 0.0, 0.0, threshold, reason)

    whole = scales(np.ones(len(held_out), np.bool_))
    if isinstance(whole, Insufficient):
        return too_little(whole.reason)
    folds = ids * FOLDS // n_blocks
    by_quarter = []
    for fold in range(FOLDS):
        part: NDArray[np.bool_] = folds == fold
        others = scales(~part)
        if isinstance(others, Insufficient):
            return too_little(f"without a quarter of it, {others.reason}")
        by_quarter.append(float(evidence.highest(factors(others, held_out[part])[:, None, :])[0]))
    reached, habit = max(by_quarter), max(min(by_quarter[one], by_quarter[other]) for one, other in _APART)
    dependence = max(
        autocorrelation(scale.scores(held_out[:, index], effect=0)[:, 0]) for index, scale in enumerate(whole)
    )
    claim, reason, raised = claimed(dependence, reached, habit, threshold)
    return Examined(claim, len(held_out), n_blocks, dependence, reached, habit, raised, reason)


def claimed(dependence: float, reached: float, habit: float, threshold: float) -> tuple[Claim, str, float]:
    """What a stream whose reference was watched may claim: the claim, its reason, and the threshold it pages at.

    Args:
        dependence: lag-1 autocorrelation of its score between neighbouring windows.
        reached: highest M over the reference, each quarter calibrated on the others.
        habit: what two quarters reached which do not touch. A threshold beyond one odd stretch, which reaches 1e20 to
            1e99, would silence a clear harm for weeks; one below a habit pages every night.
        threshold: A / w of the stream; raised where the reference shows dependence.
    """
    if dependence > DEPENDENT:
        reason = f"neighbouring windows are alike (lag-1 autocorrelation {dependence:.2f}, limit {DEPENDENT})"
    elif reached >= threshold:
        reason = f"the reference would have paged, each quarter judged by the others ({reached:.3g} of {threshold:.3g})"
    else:
        reason = f"the reference is silent, each quarter judged by the others ({reached:.3g} of {threshold:.3g})"
        return "within budget on held-out reference", reason, threshold
    raised = max(threshold, MARGIN * habit)
    if reached > raised:
        reason += f"; one stretch of the reference reached {reached:.2g}, another like it pages"
    return "estimated, dependence high", reason, raised


def autocorrelation(values: ArrayLike) -> float:
    """Lag-1 autocorrelation in [-1, 1]; 0 of a series without spread or of fewer than 3 values."""
    series = np.asarray(values, np.float64)
    centred = series - series.mean() if series.size else series
    power = float((centred**2).sum())
    return float((centred[1:] * centred[:-1]).sum()) / power if len(series) >= 3 and power > 0 else 0.0


def _checked(distances: ArrayLike, blocks: ArrayLike, effect: float) -> tuple[Floats, NDArray[np.int64]]:
    held_out, ids = np.asarray(distances, np.float64), np.asarray(blocks, np.int64)
    if held_out.ndim != 1 or ids.shape != held_out.shape or not np.isfinite(held_out).all():
        raise ValueError(
            f"distances must be finite, one per window and block, got shapes {held_out.shape} and {ids.shape}: "
            "leave windows without enough rows out"
        )
    if not effect > 0:
        raise ValueError(f"the minimum effect must be positive, got {effect}: without one every difference pages")
    return held_out, np.unique(ids, return_inverse=True)[1].astype(np.int64)
