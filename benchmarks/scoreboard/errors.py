"""Labelled error: driftline by windows of 500, river's detectors by single events; nulls, jumps and concepts."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.datasets import synth
from sklearn.tree import DecisionTreeClassifier

from benchmarks.scoreboard import rivers
from benchmarks.scoreboard.delays import first
from benchmarks.scoreboard.false_pages import Tally
from benchmarks.scoreboard.worlds import DAY, MONTH, REFERENCE_DAYS, Counts, Floats, slots
from detectors import budget, calibration, effects, evidence, held_out
from detectors.slots import Slots, worthwhile
from detectors.verdict import Insufficient

WINDOW = 500
RATE = 0.10
JUMPS = (0.12, 0.15, 0.20, 0.30)
SEEN = 10_000
"""Events that a per-event detector has seen before the change."""

WATCHED = 10_000
"""Events after which a change is missed: 20 windows."""

NULLS = ("iid", "seasonal ± .03", "Markov, rho .5")
CONCEPTS: dict[str, tuple[Any, Any]] = {
    "SEA, concept 0 to 2": (lambda seed: synth.SEA(variant=0, seed=seed), lambda seed: synth.SEA(variant=2, seed=seed)),
    "Agrawal, concept 0 to 2": (
        lambda seed: synth.Agrawal(classification_function=0, seed=seed),
        lambda seed: synth.Agrawal(classification_function=2, seed=seed),
    ),
    "Sine, concept 0 to 1": (
        lambda seed: synth.Sine(classification_function=0, seed=seed),
        lambda seed: synth.Sine(classification_function=1, seed=seed),
    ),
    "Mixed, concept 0 to 1": (
        lambda seed: synth.Mixed(classification_function=0, seed=seed),
        lambda seed: synth.Mixed(classification_function=1, seed=seed),
    ),
}


class Ours:
    """The labelled-error stream with the default spec.

    Args:
        windows: (right, wrong) of the reference's windows in time order, shape (windows, 2).
        a_day: windows a day.
    """

    def __init__(self, windows: Counts, a_day: int = DAY) -> None:
        index = np.arange(len(windows)) * (DAY // a_day)
        days, of_week, weeks = index // DAY, slots(int(index[-1]) + 1)[1][index], index // (7 * DAY)
        self._fixed, self._seasonal = held_out.shares(windows.sum(axis=0)), None
        expected, blocks = held_out.shares(held_out.of_others(windows, days)), days
        if a_day == DAY:
            by_season = Slots(windows, of_week, weeks)
            of_season = by_season.expected(of_week, without=weeks)
            if worthwhile(held_out.design_effect_of(windows, expected), held_out.design_effect_of(windows, of_season)):
                expected, blocks, self._seasonal = of_season, weeks, by_season
        changes = held_out.shares(windows)[:, 1] - expected[:, 1]
        effect = effects.loss_effect(float(self._fixed[1]))
        scale = calibration.calibrate(changes, blocks, effect=effect)
        if isinstance(scale, Insufficient):
            raise ValueError(scale.reason)
        self._scale = scale
        self.examined = calibration.examine(
            changes[:, None],
            blocks,
            effects=[effect],
            threshold=budget.Budget.of_width(1, 15 * 60_000).of(budget.SHARES["loss"]),
        )

    def alarms(self, windows: Counts, start: int = 0) -> NDArray[np.bool_]:
        """Alarm of each window, which are ``start`` windows after the beginning of a week."""
        of_week = slots(len(windows), start)[1]
        expected = self._fixed if self._seasonal is None else self._seasonal.expected(of_week)
        changes = held_out.shares(windows)[:, 1] - expected[..., 1]
        found: NDArray[np.bool_] = evidence.alarms(self._scale.factors(changes)[:, None, :], self.examined.threshold)[
            :, 0
        ]
        return found


def errors(null: str, n: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """So many single errors (True = wrong) while nothing is wrong; a day has 48,000 events."""
    uniform = rng.random(n)
    if null == "Markov, rho .5":
        # Keep the last answer with probability .5, else draw anew: a run has one answer, drawn at its first event.
        fresh = rng.random(n) >= 0.5
        fresh[0] = True
        uniform = uniform[np.maximum.accumulate(np.where(fresh, np.arange(n), 0))]
    season = 0.03 * np.sin(2 * np.pi * np.arange(n) / (DAY * WINDOW)) if null.startswith("seasonal") else 0.0
    wrong: NDArray[np.bool_] = uniform < RATE + season
    return wrong


def by_window(wrong: NDArray[np.bool_]) -> Counts:
    """(right, wrong) per window of 500 events, shape (windows, 2)."""
    count = wrong.reshape(-1, WINDOW).sum(axis=1)
    return np.stack([WINDOW - count, count], axis=1)


def false_pages(null: str, months: int, events: int, seed: int) -> tuple[Tally, str]:
    """Pages a month of ours over so many months, and of river's detectors over so many events; and our claim."""
    rng = np.random.default_rng(seed)
    ours = Ours(by_window(errors(null, REFERENCE_DAYS * DAY * WINDOW, rng)))
    tally: Tally = {"driftline": {"pages": 0.0, "months": float(months), "in alarm": 0.0}}
    for month in range(months):
        found = ours.alarms(by_window(errors(null, MONTH * WINDOW, rng)), REFERENCE_DAYS * DAY + month * MONTH)
        tally["driftline"]["pages"] += float(found.sum())
    stream = errors(null, events, rng)
    for name, make in rivers.ON_EVENTS.items():
        found_at = rivers.pages(make, fed(name, stream))
        tally[name] = {"pages": float(len(found_at)), "months": events / (MONTH * WINDOW), "in alarm": 0.0}
    return tally, ours.examined.claim


def fed(name: str, wrong: NDArray[np.bool_]) -> list[int]:
    """What a detector of single events is given: errors, or their opposite where the name says so."""
    given: list[int] = (~wrong if name.endswith("(fed 1 - error)") else wrong).astype(int).tolist()
    return given


def jumps(repeats: int, seed: int) -> dict[str, dict[str, list[int]]]:
    """Jump of the error rate -> who -> delay in events; ``WATCHED + 1``: missed."""
    rng = np.random.default_rng(seed)
    ours = Ours(by_window(errors("iid", REFERENCE_DAYS * DAY * WINDOW, rng)))
    found: dict[str, dict[str, list[int]]] = {}
    for rate in JUMPS:
        delays = found.setdefault(f"error {RATE} to {rate}", {})
        for repeat in range(repeats):
            # River looks only every 32 events: the change is not to fall on the same one each time.
            before = rng.random(SEEN + repeat) < RATE
            _delays(delays, ours, before, rng.random(WATCHED) < rate)
    return found


def concepts(repeats: int, seed: int) -> dict[str, dict[str, list[int]]]:
    """Change of concept -> who -> delay in events of the errors of a tree that learned the old one."""
    found: dict[str, dict[str, list[int]]] = {}
    per_day = 2
    reference = REFERENCE_DAYS * per_day * WINDOW
    for name, (old, new) in CONCEPTS.items():
        delays = found.setdefault(name, {})
        for repeat in range(repeats):
            x, y = _rows(old(seed + repeat), 5_000 + reference)
            tree = DecisionTreeClassifier(max_depth=6, random_state=seed).fit(x[:5_000], y[:5_000])
            wrong = tree.predict(x[5_000:]) != y[5_000:]
            after_x, after_y = _rows(new(seed + 1_000 + repeat), WATCHED)
            _delays(delays, Ours(by_window(wrong), per_day), wrong[-SEEN:], tree.predict(after_x) != after_y)
    return found


def _delays(delays: dict[str, list[int]], ours: Ours, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> None:
    delay = first(ours.alarms(by_window(after))) * WINDOW
    delays.setdefault("driftline", []).append(min(delay, WATCHED + 1))
    for name, make in rivers.ON_EVENTS.items():
        pages = rivers.pages(make, fed(name, np.concatenate([before, after])))
        since = [page - len(before) + 1 for page in pages if page >= len(before)]
        delays.setdefault(name, []).append(min(since, default=WATCHED + 1))


def _rows(stream: Any, n: int) -> tuple[Floats, NDArray[np.int64]]:
    rows = list(stream.take(n))
    return np.array([list(x.values()) for x, _ in rows], np.float64), np.array([int(y) for _, y in rows])
