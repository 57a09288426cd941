"""Two samples of one column: how far the second is from the first, and whether that means anything.

At a million rows everything is "significant", so significance alone decides nothing here. A column has drifted when it
is further away than all of: a minimum that its owner would care about, what chance adds to that at these numbers of
rows, and what parts of the first sample differ by among themselves (days, weeks, or its halves).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from detectors import quality
from detectors.distances import ks, total_variation
from detectors.quality import RuleResult
from detectors.reference import profile_codes, profile_number
from detectors.sketch import Floats, Ints, Sketch, group_categorical, group_numeric
from detectors.verdict import Insufficient
from schemas.models import FeatureReference

MIN_SHIFT = 0.05
"""Share of rows that must lie elsewhere: the minimum effect of a distribution. A normal that moves by an eighth of its
standard deviation reaches it. More than the monitor asks for (``effects``), which has many windows to be sure in."""

CHANCE = 0.01
"""Chance that any quantity of a comparison is called drifted when both samples are independent rows of one source."""

MIN_ROWS = quality.MIN_ROWS
"""Fewer rows with a value on either side are :class:`Insufficient`; smaller blocks are not consulted."""

Word = Literal["drift", "as before"]
Chance = Callable[[Floats, Floats, float], float]
"""What chance adds at most to a distance of two rows of counts, with a probability of one less the third."""

Rate = Literal["missing", "filled", "outside", "unseen"]


@dataclass(frozen=True, slots=True)
class Usual:
    """How far the blocks of the first sample are from all others of it together.

    Attributes:
        worst: distance of the worst of the blocks with ``MIN_ROWS`` or more.
        limit: what a new sample may be: as much worse than the worst as that was than the rest (as in ``quality``).
        noise: what chance adds at most to the distance of the smallest block.
    """

    worst: float
    limit: float
    noise: float


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a column was.

    Attributes:
        profile: bins or categories, range, and rates by block.
        usual: None when fewer than two blocks have ``MIN_ROWS`` values.
    """

    profile: FeatureReference
    usual: Usual | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """An effect against what it must exceed, all in one unit.

    Attributes:
        effect: what was measured; positive is worse, or further away.
        minimum: effect that matters.
        chance: what chance adds to the effect at most, with the confidence that was asked for.
        usual: what blocks of the first sample explain; None when they cannot be asked.
        limit: the larger of ``minimum + chance`` and ``usual``.
        variable: structurally variable: the blocks differ by more than what would matter, and not by chance.
    """

    effect: float
    minimum: float
    chance: float
    usual: float | None
    limit: float
    variable: bool = False

    @property
    def word(self) -> Word:
        """The verdict."""
        return "drift" if self.effect > self.limit else "as before"

    @property
    def reason(self) -> str:
        """Which of the three holds it back, or that none does."""
        if self.effect > self.limit:
            return "more than chance and the reference's own blocks explain"
        if self.effect <= self.minimum:
            return "too small to matter"
        if self.effect <= self.minimum + self.chance:
            return "chance may explain what is above the minimum"
        return "the reference's own blocks differ as much"


def judge(effect: float, *, minimum: float, chance: float, usual: Usual | None) -> Judgement:
    """Put an effect beside its three limits."""
    if usual is None:
        return Judgement(effect, minimum, chance, None, minimum + chance)
    limit = max(minimum + chance, usual.limit)
    return Judgement(effect, minimum, chance, usual.limit, limit, usual.worst > minimum + usual.noise)


def number(name: str, values: ArrayLike, blocks: ArrayLike, *, edges: Sequence[float] | None = None) -> Baseline:
    """What a column of numbers was; arguments as for :func:`detectors.reference.profile_number`."""
    profile = profile_number(name, values, blocks, edges=edges)
    ids = _dense(blocks)
    found = group_numeric(values, ids, int(ids.max()) + 1 if ids.size else 0, profile.edges)
    return Baseline(profile, usual(_table(found), ks, chance_of_ks))


def categories(
    name: str,
    codes: ArrayLike,
    blocks: ArrayLike,
    known: Sequence[str],
    *,
    kind: Literal["string", "boolean"] = "string",
) -> Baseline:
    """What a column of categories was; arguments as for :func:`detectors.reference.profile_codes`."""
    profile = profile_codes(name, codes, blocks, known, kind=kind)
    ids = _dense(blocks)
    found = group_categorical(codes, ids, int(ids.max()) + 1 if ids.size else 0, len(profile.categories))
    return Baseline(profile, usual(_table(found), total_variation, chance_of_variation))


def usual(table: Ints, distance: Callable[[Floats, Floats], float], chance: Chance) -> Usual | None:
    """How far each block of counts (rows of ``table``) is from all others together; None without two full blocks."""
    full = table[table.sum(axis=1) >= MIN_ROWS].astype(np.float64) if table.size else table
    if len(full) < 2:
        return None
    whole = full.sum(axis=0)
    second, worst = sorted(distance(whole - block, block) for block in full)[-2:]
    smallest = full[full.sum(axis=1).argmin()]
    noise = chance(whole - smallest, smallest, CHANCE / len(full))
    return Usual(worst, worst + (worst - second), noise)


def shift(baseline: Baseline, current: Sketch, *, alpha: float, minimum: float = MIN_SHIFT) -> Judgement | Insufficient:
    """How many of the rows lie elsewhere: the Kolmogorov-Smirnov distance of numbers, total variation of categories.

    If the sources differ by no more than ``minimum``, and rows are independent, "drift" has a chance of at most about
    ``alpha`` at any number of rows, because neither distance of samples exceeds that of their sources by more than
    ``chance``. Dependent rows are what the blocks are for.

    Args:
        baseline: of the column.
        current: sketch of the second sample in the bins of ``baseline.profile``.
        alpha: in (0, 1); divide it by the number of columns that are looked at.
        minimum: share of rows, in [0, 1].
    """
    profile = baseline.profile
    for side, counts in (("reference", profile.counts), ("current rows", current.counts)):
        if sum(counts) < MIN_ROWS:
            return Insufficient(f"the {side} have {sum(counts):,} values, {MIN_ROWS} are needed")
    expected, observed = np.array(profile.counts, np.float64), np.array(current.counts, np.float64)
    if profile.kind == "number":
        effect, chance = ks(expected, observed), chance_of_ks(expected, observed, alpha)
    else:
        effect, chance = total_variation(expected, observed), chance_of_variation(expected, observed, alpha)
    return judge(effect, minimum=minimum, chance=chance, usual=baseline.usual)


def rates(baseline: Baseline, current: Sketch) -> dict[Rate, RuleResult | Insufficient]:
    """The hard rules of ``quality``: shares of missing, filled and unheard-of values that the blocks do not explain.

    ``filled`` is the rule on missing values read the other way, of a column that was partly empty.
    """
    profile, now = baseline.profile, quality.rates(current)
    rows, present = profile.window_n, current.n - current.nulls
    found: dict[Rate, RuleResult | Insufficient] = {
        "missing": quality.check_rate("missing", now.null_rate, current.n, profile.window_nulls, rows)
    }
    if profile.nulls > quality.SLACK * profile.n and now.null_rate is not None:
        full = [1.0 - rate for rate in profile.window_nulls]
        found["filled"] = quality.check_rate("filled", 1.0 - now.null_rate, current.n, full, rows)
    unheard: Rate = "outside" if profile.kind == "number" else "unseen"
    found[unheard] = quality.check_rate(unheard, now.outside_rate, present, profile.window_outside, rows)
    return found


def worse(
    before: Floats, blocks: Ints, after: Floats, *, alpha: float, minimum: float, high: float | None
) -> Judgement | Insufficient:
    """How much larger the mean loss of labelled rows is.

    Args:
        before: loss of each labelled row of the first sample.
        blocks: block of each of them, in [0, number of blocks).
        after: loss of each labelled row of the second sample.
        alpha: one-sided, in (0, 1); chance is a normal's quantile times the standard error of rows.
        minimum: in the unit of the loss.
        high: upper end of the band of the blocks' means (``bands``); None: the worst block stands for it.
    """
    for side, values in (("reference", before), ("current rows", after)):
        if len(values) < MIN_ROWS:
            return Insufficient(f"the {side} have {len(values):,} labels, {MIN_ROWS} are needed")
    centre = float(before.mean())
    spread = before.std(ddof=1)
    error = sqrt(spread**2 / len(before) + after.var(ddof=1) / len(after))
    rows = np.bincount(blocks)
    full = rows >= MIN_ROWS
    known = None
    if full.sum() > 1:
        worst = float((np.bincount(blocks, weights=before)[full] / rows[full]).max()) - centre
        noise = -float(ndtri(CHANCE / full.sum())) * float(spread) / sqrt(rows[full].min())
        known = Usual(worst, worst if high is None else high - centre, noise)
    return judge(float(after.mean()) - centre, minimum=minimum, chance=-float(ndtri(alpha)) * error, usual=known)


def chance_of_ks(expected: Floats, observed: Floats, alpha: float) -> float:
    """What chance adds to the Kolmogorov-Smirnov distance at most, for sources that nearly agree.

    √(ln(2/α) / 2 · (1/n + 1/m)): Smirnov's limit, and from some hundred rows on a bound (Wei and Dudley 2012).
    """
    return sqrt(log(2 / alpha) / 2 * float(1 / expected.sum() + 1 / observed.sum()))


def chance_of_variation(expected: Floats, observed: Floats, alpha: float) -> float:
    """What chance adds to the total variation of two rows of counts at most.

    Its mean is at most ½ Σ √(p (1 - p) (1/n + 1/m)) over categories (Jensen), and it exceeds its mean by more than
    √(ln(1/α) / 2 · (1/n + 1/m)) with a chance of ``alpha`` (McDiarmid 1989: a row moves it by 1/n or 1/m).
    """
    n, m = expected.sum(), observed.sum()
    p = (expected + observed) / (n + m)
    both = 1 / n + 1 / m
    return float(np.sqrt(p * (1 - p) * both).sum()) / 2 + sqrt(log(1 / alpha) / 2 * both)


def _table(blocks: Sequence[Sketch]) -> Ints:
    return np.array([sketch.counts for sketch in blocks], np.int64)


def _dense(blocks: ArrayLike) -> Ints:
    _, ids = np.unique(np.asarray(blocks, np.int64), return_inverse=True)
    return ids.astype(np.int64)
