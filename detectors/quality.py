"""Hard data-quality rules, relative to the reference's own windows.

A rate that no reference window came near is a fault (a broken join, a unit, a new code), whatever the model does
with it. What the reference itself does every day is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np

from detectors.sketch import Sketch
from detectors.verdict import Insufficient

MIN_ROWS = 100
"""Windows with fewer rows are :class:`Insufficient`, and reference windows with fewer rows are not consulted."""

MIN_WINDOWS = 2
"""Fewer reference windows of ``MIN_ROWS`` rows judge nothing."""

SLACK = 0.1
"""A rate may exceed the reference's by this much, or by three standard errors if they are more. Hard rules are for
gross faults (a feed that broke, a unit that changed); what moves less is drift, which is shown and does not page."""


def plausible_range(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """The range beyond which a number is *outside*: the reference's own, widened by its width on both sides.

    A new season goes beyond January's values, and that is drift; a broken sensor or another unit goes far beyond.
    """
    if low is None or high is None:
        return None, None
    return low - (high - low), high + (high - low)


@dataclass(frozen=True, slots=True)
class Rates:
    """Quality of one feature in one window.

    Attributes:
        n: rows (the volume).
        null_rate: share of rows without a value; None without rows.
        outside_rate: share, among rows with a value, of numbers outside the plausible range or of unseen
            categories; None without such rows.
    """

    n: int
    null_rate: float | None
    outside_rate: float | None


@dataclass(frozen=True, slots=True)
class RuleResult:
    """Whether a hard rule is violated, and why.

    Attributes:
        violated: the verdict.
        value: what was measured.
        limit: what is allowed.
        reason: both in plain words.
    """

    violated: bool
    value: float
    limit: float
    reason: str


def rates(sketch: Sketch) -> Rates:
    """Rates of a numeric or categorical sketch."""
    present = sketch.n - sketch.nulls
    return Rates(
        sketch.n,
        sketch.nulls / sketch.n if sketch.n else None,
        sketch.outside / present if present else None,
    )


VOLUME_FACTOR = 2.0
"""A window may have so many times fewer rows than the reference's least, or more than its most: traffic goes by the
calendar, of which a reference has seen a part."""

VOLUME_ALIKE = 1.25
"""A window has as many rows as the reference's if it has at most so many times fewer than the least, or more than the
most. A reference of half of the rows, a sample or those with a label, has none such."""

VOLUME_WINDOWS = 20
"""Fewer windows of a reference do not know how many rows are usual."""

CHANCE = exp(-4.5)
"""Of a false verdict in a window, where nobody says another: three standard errors."""


def check_rate(
    what: str,
    rate: float | None,
    n: int,
    reference_rates: Sequence[float],
    reference_n: Sequence[int],
    *,
    chance: float = CHANCE,
) -> RuleResult | Insufficient:
    """Is a rate higher than the reference's own windows explain?

    limit = worst + max(SLACK, k √(worst (1 - worst) / n), worst - second worst), where *worst* and *second worst* are
    the highest rates among reference windows of ``MIN_ROWS`` or more, and k = √(2 ln(1 / chance)) bounds the tail of a
    normal variable. No reference window violates it, and none would violate the limit of the others by more than the
    last term, which is why that term is there: a new window may be as much worse than the worst as the worst was than
    the rest.

    Args:
        what: name of the rate for the reason, as in ``"null rate of temp"``.
        rate: the window's rate, in [0, 1]; None if it is undefined.
        n: rows that the rate was measured on.
        reference_rates: the same rate of each reference window.
        reference_n: rows of each reference window, same length.
        chance: probability that sampling alone violates it in a window whose true rate is the worst, in (0, 1).
    """
    if rate is None or n < MIN_ROWS:
        return Insufficient(f"{what}: the window has {n} rows, {MIN_ROWS} are needed")
    known = np.array(reference_rates, np.float64)[np.array(reference_n) >= MIN_ROWS]
    if len(known) < MIN_WINDOWS:
        return Insufficient(f"{what}: {len(known)} reference windows have {MIN_ROWS} rows, {MIN_WINDOWS} are needed")
    second, worst = np.partition(known, -2)[-2:].tolist()
    limit = worst + max(SLACK, sqrt(2 * log(1 / chance) * worst * (1 - worst) / n), worst - second)
    verb, allowed = ("exceeds", "above") if rate > limit else ("is within", "up to")
    return RuleResult(
        rate > limit,
        rate,
        limit,
        f"{what} {rate:.4f} {verb} the limit {limit:.4f} ({allowed} the worst of {len(known)} reference windows, "
        f"{worst:.4f}, by {limit - worst:.4f})",
    )


def check_constant(
    what: str, share: float, n: int, effective: float, *, chance: float = CHANCE
) -> RuleResult | Insufficient:
    """Is it a fault that all rows of a window have one value, which is usual in a smaller share of rows?

    Independent rows would all have it with probability share ** (n * effective): a fault if that is below ``chance``.
    What is constant in every window by nature (the weekday of a day) is worth one row a window, and never is.

    Args:
        what: name of the feature for the reason.
        share: of the reference's rows that have this value (lie in its bin), in [0, 1].
        n: rows of the window with a value.
        effective: independent rows that one row is worth, in (0, 1]: ``Watch.effective_rows / Watch.rows``.
        chance: probability of a false verdict in a window, in (0, 1).
    """
    if n < MIN_ROWS:
        return Insufficient(f"{what}: the window has {n} rows, {MIN_ROWS} are needed")
    # The smallest share of which so many independent rows would all be with that probability.
    limit = chance ** (1 / max(n * effective, 1.0))
    constant = share < limit
    verdict = "a fault" if constant else "no fault"
    return RuleResult(
        constant,
        share,
        limit,
        f"{what} has one value in all {n:,} rows, usual in {share:.2%} of them: {verdict}, the limit is {limit:.2%}",
    )


def usual_volume(n: int, reference_n: Sequence[int]) -> bool:
    """Has a window as many rows as the reference's own windows, so that the reference seems to know how many there are?

    From the least by ``VOLUME_ALIKE`` down to the most by ``VOLUME_ALIKE`` up, and two standard errors of a count.

    Args:
        n: rows of the window.
        reference_n: rows of each whole window of the reference, empty ones too; at least one.
    """
    low, high = min(reference_n) / VOLUME_ALIKE, max(reference_n) * VOLUME_ALIKE
    return low - 2 * sqrt(low) <= n <= high + 2 * sqrt(high)


def check_volume(n: int, reference_n: Sequence[int], *, chance: float = CHANCE) -> RuleResult | Insufficient:
    """Has a window fewer rows than the reference's own windows explain, or more?

    The limits are the reference's least and most, widened by ``VOLUME_FACTOR``, or by as much again as the least is
    below the second least (the most above the second most) where that is more, and by k standard errors of a count,
    with k = √(2 ln(1 / chance)). Where the reference has windows without a row, no number is too few.

    Args:
        n: rows of the window.
        reference_n: rows of each whole window of the reference, empty ones too.
        chance: probability that sampling alone violates it in a window that is at the limit, in (0, 1).

    Returns:
        ``limit`` is the one that is nearer in proportion.
    """
    if len(reference_n) < VOLUME_WINDOWS:
        return Insufficient(f"volume: the reference has {len(reference_n)} whole windows, {VOLUME_WINDOWS} are needed")
    known, k = sorted(reference_n), sqrt(2 * log(1 / chance))
    least, most = known[0], known[-1]
    shrunk = least * min(1 / VOLUME_FACTOR, least / known[1] if known[1] else 0.0)
    grown = most * max(VOLUME_FACTOR, most / known[-2] if known[-2] else VOLUME_FACTOR)
    low, high = max(0.0, shrunk - k * sqrt(shrunk)), grown + k * sqrt(grown)
    middle = sqrt(max(least, 1) * most)
    limit = low if n < middle else high
    violated = n < low or n > high
    return RuleResult(
        violated,
        float(n),
        limit,
        f"{n:,} rows {'are not' if violated else 'are'} within {low:,.0f} to {high:,.0f}, by the least and the most of "
        f"{len(known)} reference windows, {least:,} and {most:,}",
    )
