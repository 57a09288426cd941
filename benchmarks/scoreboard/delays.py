"""Windows from a change until a page, at the thresholds whose false pages are counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.scoreboard import ours, rivers, rules
from benchmarks.scoreboard.false_pages import window_means
from benchmarks.scoreboard.worlds import DAY, REFERENCE_DAYS, Counts, Floats, Simulated, World
from detectors import calibration, effects, evidence, held_out
from detectors.stream import Stream

BEFORE = 300
"""Quiet windows that every detector has seen before the change."""

AFTER = 100
"""Windows after which a change is missed."""

MILLION = World("iid", rows=1_000_000, streams=1)


@dataclass(frozen=True, slots=True)
class Shift:
    """What happens to one of the streams.

    Attributes:
        mean: in standard deviations of the feature, when it is there.
        sd: of the feature, from the change on.
        gradual: windows over which the mean comes.
        recurring: windows on, windows off; (0, 0): it stays.
    """

    mean: float = 0.0
    sd: float = 1.0
    gradual: int = 0
    recurring: tuple[int, int] = (0, 0)

    def means(self) -> Floats:
        """Mean of each window after the change, shape (AFTER, 1)."""
        since = np.arange(AFTER)
        size = np.minimum((since + 1) / self.gradual, 1) if self.gradual else np.ones(AFTER)
        on, off = self.recurring
        there = since % (on + off) < on if on else np.ones(AFTER, np.bool_)
        means: Floats = (self.mean * size * there)[:, None]
        return means


SHIFTS: Mapping[str, Shift] = {
    "mean .05 sd (the minimum effect)": Shift(0.05),
    "mean .1 sd": Shift(0.1),
    "mean .2 sd": Shift(0.2),
    "mean .5 sd": Shift(0.5),
    "mean 3 sd": Shift(3.0),
    "sd x 1.2": Shift(sd=1.2),
    "gradual, to .5 sd in 50 windows": Shift(0.5, gradual=50),
    "recurring, .5 sd for 6 of 24 windows": Shift(0.5, recurring=(6, 18)),
}


def run(streams: int, repeats: int, seed: int) -> dict[str, dict[str, list[int]]]:
    """Shift -> who -> delay in windows of each repeat, 1 is at once; ``AFTER + 1``: missed.

    One stream of ``streams`` shifts, and only it is looked at: the thresholds are those of all.
    """
    world = World("iid", streams=1)
    simulated = Simulated(world, seed)
    windows = simulated.counts(REFERENCE_DAYS * DAY)
    detector = ours.fit(windows[:, 0], streams)
    reference = rules.Reference(windows)
    found: dict[str, dict[str, list[int]]] = {}
    for name, shift in SHIFTS.items():
        delays = found.setdefault(name, {})
        for repeat in range(repeats):
            # ADWIN looks only every 32 windows: the change is not to fall on the same one each time.
            before = simulated.counts(BEFORE + repeat % 32)
            after = simulated.counts(AFTER, mean=shift.means(), sd=shift.sd)
            for who, alarms in _judge(detector, reference, before, after, streams).items():
                delays.setdefault(who, []).append(first(alarms))
    return found


def _judge(
    detector: Stream, reference: rules.Reference, before: Counts, after: Counts, streams: int
) -> dict[str, NDArray[np.bool_]]:
    judged = {"driftline": _ours(detector, np.concatenate([before, after]))[len(before) :]}
    for name, rule in rules.RULES.items():
        if name == "Evidently, dataset drift (half of the columns)":
            judged[name] = np.zeros(AFTER, np.bool_)  # one column of many never is half of them
        elif name in rules.BONFERRONI:
            judged[name] = rules.ks_p(rules.BONFERRONI[name] / streams)(reference, after)[:, 0]
        else:
            judged[name] = rule(reference, after)[:, 0]
    series = window_means(reference.windows, np.concatenate([before, after]))[:, 0].tolist()
    for name, make in rivers.ON_WINDOWS.items():
        if name not in rivers.SLOW:
            pages = [index - len(before) for index in rivers.pages(make, series) if index >= len(before)]
            judged[name] = np.isin(np.arange(AFTER), pages)
    return judged


def _ours(detector: Stream, counts: Counts) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = ours.alarms([detector], counts, 0)[:, 0]
    return found


def first(alarms: NDArray[np.bool_]) -> int:
    """Delay of the first alarm, 1 is at once; one more than there are windows if there is none."""
    return int(alarms.argmax()) + 1 if alarms.any() else len(alarms) + 1


def around_the_effect(streams: int, repeats: int, seed: int) -> dict[str, Any]:
    """A million rows a window: .8 of the minimum effect for a month, and twice the effect."""
    simulated = Simulated(MILLION, seed)
    detector = ours.fit(simulated.counts(REFERENCE_DAYS * DAY)[:, 0], streams)
    # KS of a small shift s is s times the density at the median.
    unit = ours.EFFECTS[0] * np.sqrt(2 * np.pi)
    small = simulated.counts(30 * DAY, mean=0.8 * unit)
    large = [first(_ours(detector, simulated.counts(AFTER, mean=2 * unit))) for _ in range(repeats)]
    by_p = rules.ks_p(0.05)(rules.Reference(simulated.counts(DAY)), small)
    return {
        "windows": len(small),
        "pages at .8": int(_ours(detector, small).sum()),
        "windows with KS p < .05 at .8": int(by_p.sum()),
        "delays at 2": large,
    }


def one_category(streams: int, repeats: int, seed: int) -> list[int]:
    """Delay of driftline when one of ten categories gains .05 of the rows from the others; 1,000 rows a window."""
    rng = np.random.default_rng(seed)
    usual = 1 / np.arange(1, 11)
    usual /= usual.sum()
    shifted = usual * (1 - 0.05 / (1 - usual[3]))
    shifted[3] = usual[3] + 0.05
    windows = rng.poisson(1_000 * usual, (REFERENCE_DAYS * DAY, 10))
    days = np.arange(len(windows)) // DAY
    distances = categorical(held_out.shares(held_out.of_others(windows, days)), windows)
    both = (effects.CATEGORY_EFFECT,) * 2
    scales = [
        calibration.calibrate(distances[:, index], days, effect=effect, streams=streams)
        for index, effect in enumerate(both)
    ]
    fitted = [scale for scale in scales if isinstance(scale, calibration.Scale)]
    expected = held_out.shares(windows.sum(axis=0))
    delays = []
    for _ in range(repeats):
        now = categorical(expected, rng.poisson(1_000 * shifted, (AFTER, 10)))
        alarms = evidence.alarms(calibration.factors(fitted, now)[:, None, :], ours.threshold(streams))
        delays.append(first(alarms[:, 0]))
    return delays


def categorical(expected: Floats, counts: Counts) -> Floats:
    """Total variation and largest change of a share: shape (windows, 2)."""
    shares = held_out.shares(counts)
    return np.stack([held_out.total_variation(expected, shares), held_out.largest_share(expected, shares)], axis=-1)
