"""Hard data-quality rules, relative to the reference's own windows.

A rate that no reference window came near is a fault (a broken join, a unit, a new code), whatever the model does
with it. What the reference itself does every day is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

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


def check_rate(
    what: str, rate: float | None, n: int, reference_rates: Sequence[float], reference_n: Sequence[int]
) -> RuleResult | Insufficient:
    """Is a rate higher than the reference's own windows explain?

    limit = worst + max(SLACK, 3 √(worst (1 - worst) / n), worst - second worst), where *worst* and *second worst* are
    the highest rates among reference windows of ``MIN_ROWS`` or more. No reference window violates it, and none
    would violate the limit of the others by more than the last term, which is why that term is there: a new window may
    be as much worse than the worst as the worst was than the rest.

    Args:
        what: name of the rate for the reason, as in ``"null rate of temp"``.
        rate: the window's rate, in [0, 1]; None if it is undefined.
        n: rows that the rate was measured on.
        reference_rates: the same rate of each reference window.
        reference_n: rows of each reference window, same length.
    """
    if rate is None or n < MIN_ROWS:
        return Insufficient(f"{what}: the window has {n} rows, {MIN_ROWS} are needed")
    known = sorted(r for r, rows in zip(reference_rates, reference_n, strict=True) if rows >= MIN_ROWS)
    if len(known) < MIN_WINDOWS:
        return Insufficient(f"{what}: {len(known)} reference windows have {MIN_ROWS} rows, {MIN_WINDOWS} are needed")
    second, worst = known[-2:]
    limit = worst + max(SLACK, 3 * sqrt(worst * (1 - worst) / n), worst - second)
    verb, allowed = ("exceeds", "above") if rate > limit else ("is within", "up to")
    return RuleResult(
        rate > limit,
        rate,
        limit,
        f"{what} {rate:.4f} {verb} the limit {limit:.4f} ({allowed} the worst of {len(known)} reference windows, "
        f"{worst:.4f}, by {limit - worst:.4f})",
    )
