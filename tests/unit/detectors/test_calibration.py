"""From held-out distances to evidence: minimum effect, fairness, and what may be claimed."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors import evidence
from detectors.budget import Budget
from detectors.calibration import Examined, Scale, autocorrelation, calibrate, claimed, examine, factors
from detectors.sketch import Floats, Ints
from detectors.verdict import Insufficient

DAYS, A_DAY = 28, 96
BLOCKS = np.repeat(np.arange(DAYS), A_DAY)
THRESHOLD = Budget(1, 30 * A_DAY).of(0.45)


def noise(seed: int, level: float = 0.0, correlation: float = 0.0) -> Floats:
    """Distances of a month of windows, half-normal by sampling, around a level that wanders."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=DAYS * A_DAY)
    wander = np.empty(len(steps))
    wander[0] = steps[0]
    for window in range(1, len(steps)):
        wander[window] = correlation * wander[window - 1] + np.sqrt(1 - correlation**2) * steps[window]
    distances: Floats = np.abs(rng.normal(0, 0.02, len(steps)) + level * wander)
    return distances


@cache
def scale(seed: int = 0, effect: float = 0.02) -> Scale:
    found = calibrate(noise(seed), BLOCKS, effect=effect)
    assert isinstance(found, Scale)
    return found


def examined(distances: Floats, blocks: Ints = BLOCKS) -> Examined:
    return examine(distances[:, None], blocks, effects=[0.02], threshold=THRESHOLD)


def paged(distances: Floats, of: Scale) -> int:
    return int(evidence.alarms(of.factors(distances)[:, None, :], THRESHOLD).sum())


def test_a_quiet_month_is_fair_and_silent() -> None:
    calibrated = scale()
    fresh = noise(1)
    # Without the effect the bets are fair, up to the bound on the mean; with it they lose.
    relative = calibrated.scores(fresh, effect=0.0).mean(axis=0) / np.array(calibrated.means)
    assert (relative <= 1).all()
    assert paged(fresh, calibrated) == 0


def test_a_clear_change_pages_in_three_windows() -> None:
    distances = noise(1)[:10]
    distances[5:] = 0.25
    found = evidence.alarms(scale().factors(distances)[:, None, :], THRESHOLD)[:, 0]
    assert found.tolist() == [False] * 7 + [True] + [False] * 2


def test_with_a_million_rows_the_effect_decides() -> None:
    """Sampling noise is gone: .8 of the minimum effect is nothing for a month, twice the effect pages soon."""
    rng = np.random.default_rng(3)
    calibrated = calibrate(np.abs(rng.normal(0, 0.0007, len(BLOCKS))), BLOCKS, effect=0.02, streams=20)
    assert isinstance(calibrated, Scale)
    small = np.abs(rng.normal(0.016, 0.0007, 2_880))
    large = np.abs(rng.normal(0.04, 0.0007, 10))
    threshold = Budget(1, 2_880).of(0.15 / 20)
    assert not evidence.alarms(calibrated.factors(small)[:, None, :], threshold).any()
    assert evidence.alarms(calibrated.factors(large)[:, None, :], threshold).any()


@given(distance=st.floats(0, 2))
def test_below_the_effect_evidence_only_shrinks(distance: float) -> None:
    calibrated = scale()
    factors = calibrated.factors(distance)
    assert factors.shape == (6,)
    assert (factors >= 0.1 - 1e-12).all()
    if distance < calibrated.effect:
        assert (factors <= 1).all()


def test_a_stream_of_two_distances_averages_over_both() -> None:
    calibrated = scale()
    both = factors([calibrated, calibrated], [[0.3, 0.0]])
    assert both.tolist() == [[*calibrated.factors(0.3).tolist(), *calibrated.factors(0.0).tolist()]]


def test_more_streams_share_the_chance_of_a_low_bound() -> None:
    few, many = (calibrate(noise(0), BLOCKS, effect=0.02, streams=streams) for streams in (1, 200))
    assert isinstance(few, Scale)
    assert isinstance(many, Scale)
    assert many.means > few.means


@pytest.mark.parametrize("windows", [0, 3, 19])
def test_too_little_is_insufficient(windows: int) -> None:
    assert isinstance(calibrate(noise(0)[:windows], BLOCKS[:windows], effect=0.02), Insufficient)
    assert examined(noise(0)[:windows], BLOCKS[:windows]).claim == "not enough data"


def test_what_may_be_claimed() -> None:
    quiet = examined(noise(0))
    assert (quiet.claim, quiet.windows, quiet.blocks) == ("within budget on held-out reference", 2_688, 28)
    assert quiet.threshold == THRESHOLD
    alike = examined(noise(0, level=0.1, correlation=0.95))
    assert alike.claim == "estimated, dependence high"
    assert alike.autocorrelation > 0.5
    assert alike.habit <= alike.reached
    assert alike.threshold == pytest.approx(max(THRESHOLD, 10 * alike.habit))


@pytest.mark.parametrize(
    ("reached", "habit", "threshold", "said"),
    [(50.0, 50.0, 1_000.0, False), (500.0, 500.0, 5_000.0, False), (1e12, 1e12, 1e13, False), (1e57, 50.0, 1e3, True)],
)
def test_a_threshold_is_raised_to_what_a_reference_does_out_of_habit_and_an_odd_stretch_is_said(
    reached: float, habit: float, threshold: float, said: bool
) -> None:
    claim, reason, found = claimed(0.5, reached, habit, 1_000.0)
    assert (claim, found) == ("estimated, dependence high", threshold)
    assert ("one stretch of the reference reached 1e+57, another like it pages" in reason) == said


def losses_of(on: NDArray[np.bool_], rise: float, seed: int) -> Floats:
    """Losses of a month of windows that are higher in some of them."""
    found: Floats = 0.4 + rise * on + np.random.default_rng(seed).normal(0, 0.01, len(BLOCKS))
    return found


def of_losses(values: Floats) -> tuple[Examined, Scale]:
    changes = values - values.mean()
    scale = calibrate(changes, BLOCKS, effect=0.02, streams=15)
    assert isinstance(scale, Scale)
    return examine(changes[:, None], BLOCKS, effects=[0.02], threshold=THRESHOLD, streams=15), scale


@pytest.mark.parametrize(("first", "end"), [(7, 8), (6, 8), (10, 17)])
def test_one_odd_stretch_of_a_reference_does_not_silence_a_clear_harm(first: int, end: int) -> None:
    """Days at five times the minimum effect, also where they lie across a quarter's end: a month's harm pages soon."""
    found, scale = of_losses(losses_of((first <= BLOCKS) & (end > BLOCKS), 0.1, 1))
    assert found.reached > 1e20
    assert found.claim == "estimated, dependence high"
    assert found.threshold == THRESHOLD
    harm = scale.factors(np.full((36, 1), 0.1))
    assert evidence.highest(harm)[0] > found.threshold
    assert evidence.highest(harm)[0] < found.reached, "what it used to page beyond"


@pytest.mark.parametrize("rise", [0.06, 0.08, 0.12])
def test_a_loss_that_is_higher_every_night_pages_nobody_by_night(rise: float) -> None:
    """What a reference does out of habit is nobody's fault; what comes on top of it is."""
    night = np.arange(len(BLOCKS)) % A_DAY < A_DAY // 3
    before, after = losses_of(night, rise, 1), losses_of(night, rise, 2)
    found, scale = of_losses(before)
    assert found.claim == "estimated, dependence high"
    assert found.habit > 1_000 * THRESHOLD
    assert not evidence.alarms(scale.factors(after - before.mean())[:, None, :], found.threshold).any()
    harmed = scale.factors(after[: A_DAY // 3] + 0.1 - before.mean())
    assert evidence.alarms(harmed[:, None, :], found.threshold).any()


def test_a_reference_whose_half_pages_by_the_other_claims_nothing() -> None:
    moved = noise(0)
    moved[len(moved) // 2 :] += 0.1
    found = examined(moved)
    assert found.claim == "estimated, dependence high"
    assert found.reached > THRESHOLD


def test_a_constant_reference_is_calibrated_by_the_effect() -> None:
    still = calibrate(np.zeros(len(BLOCKS)), BLOCKS, effect=0.02)
    assert isinstance(still, Scale)
    assert still.width == 0.02
    assert still.scores(0.04).tolist() == [1, 1]
    assert still.scores(0.02).tolist() == [0, 0]


def test_autocorrelation_of_known_series() -> None:
    assert autocorrelation([1.0, -1.0] * 500) == pytest.approx(-1, abs=0.01)
    assert autocorrelation([5.0] * 10) == 0
    assert autocorrelation([1.0, 2.0]) == 0


def test_what_is_no_distance_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        calibrate([0.1, float("nan")], [0, 1], effect=0.02)
    with pytest.raises(ValueError, match="minimum effect"):
        calibrate([0.1, 0.1], [0, 1], effect=0.0)
