"""Total breaks of a feature: the hard rules, which need one window, and how often they are wrong."""

from collections.abc import Callable, Mapping

import numpy as np

from benchmarks.scoreboard.false_pages import Tally
from benchmarks.scoreboard.worlds import DAY, MONTH, Floats
from detectors import quality, reference
from detectors.quality import RuleResult
from detectors.sketch import group_categorical, group_numeric

ROWS = 1_000
REFERENCE_WINDOWS = 7 * DAY
CATEGORIES = 10
USUAL_NULLS = 0.05
"""Share of rows without a value in the quiet months, of which whole days have up to twice as many."""

STREAMS = 20
MISSED = 101

NUMBERS: Mapping[str, Callable[[Floats], Floats]] = {
    "gone null": lambda values: np.full_like(values, np.nan),
    "null in a fifth of the rows": lambda values: np.where(np.arange(len(values)) % 5 == 0, np.nan, values),
    "another unit (°F for °C)": lambda values: values * 1.8 + 32,
}
"""What happens to all rows of a window of a standard normal feature."""

UNSEEN = "every category unseen"


def delays(repeats: int, seed: int) -> dict[str, list[int]]:
    """Break -> windows until a hard rule is violated, of each repeat; 1 is at once, ``MISSED``: not by the first."""
    rng = np.random.default_rng(seed)
    windows = np.repeat(np.arange(REFERENCE_WINDOWS), ROWS)
    number = reference.profile_number("x", rng.normal(size=len(windows)), windows)
    names = [f"v{code}" for code in range(CATEGORIES)]
    category = reference.profile_codes("c", rng.integers(0, CATEGORIES, len(windows)), windows, names)
    low, high = quality.plausible_range(number.low, number.high)
    one = np.zeros(ROWS, np.int64)
    found: dict[str, list[int]] = {}
    for _ in range(repeats):
        for name, broken in NUMBERS.items():
            values = broken(rng.normal(size=ROWS))
            now = quality.rates(group_numeric(values, one, 1, number.edges, low=low, high=high)[0])
            found.setdefault(name, []).append(_first(now, number.window_nulls, number.window_outside, number.window_n))
        codes = np.full(ROWS, CATEGORIES)
        now = quality.rates(group_categorical(codes, one, 1, CATEGORIES)[0])
        of_window = _first(now, category.window_nulls, category.window_outside, category.window_n)
        found.setdefault(UNSEEN, []).append(of_window)
    return found


def _first(now: quality.Rates, nulls: list[float], outside: list[float], n: list[int]) -> int:
    judged = (
        quality.check_rate("null rate", now.null_rate, now.n, nulls, n),
        quality.check_rate("outside rate", now.outside_rate, now.n, outside, n),
    )
    return 1 if any(isinstance(rule, RuleResult) and rule.violated for rule in judged) else MISSED


def false_pages(months: int, seed: int) -> Tally:
    """Hard rules on the null rates of 20 features whose days differ, so many quiet months; every violation counts."""
    rng = np.random.default_rng(seed)
    pages = 0.0
    for _ in range(months):
        for _ in range(STREAMS):
            own = rng.binomial(ROWS, _levels(rng, REFERENCE_WINDOWS)) / ROWS
            now = rng.binomial(ROWS, _levels(rng, MONTH)) / ROWS
            # The limit depends on the window by its rows alone, and all have as many.
            rule = quality.check_rate("null rate", float(now.max()), ROWS, own.tolist(), [ROWS] * len(own))
            if not isinstance(rule, RuleResult):
                raise ValueError(rule.reason)
            pages += float((now > rule.limit).sum())
    return {"driftline": {"pages": pages, "months": float(months), "in alarm": pages}}


def _levels(rng: np.random.Generator, windows: int) -> Floats:
    by_day = USUAL_NULLS * (1 + rng.random(windows // DAY))
    levels: Floats = np.repeat(by_day, DAY)
    return levels
