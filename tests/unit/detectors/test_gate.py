"""The gate: the algebra of its steps, and the error rate it promises."""

import json
from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.gate import (
    Direction,
    GatePolicy,
    Wealth,
    decided,
    decision_rate,
    e_value,
    log_e_value,
    start,
    step,
    wrong_promotion_rate,
)

POLICY = GatePolicy(margin=0.0, bound=0.02, bets=(0.4, 0.8), alpha=0.05)
differences = st.lists(st.floats(-0.1, 0.1), max_size=30)


def play(policy: GatePolicy, observations: list[float]) -> Wealth:
    wealth = start(policy)
    for z in observations:
        wealth = step(policy, wealth, z)
    return wealth


def test_by_hand() -> None:
    wealth = play(POLICY, [-0.01, 0.02])
    expected = ((1 + 0.4 * 0.5) * (1 - 0.4) + (1 + 0.8 * 0.5) * (1 - 0.8)) / 2
    assert e_value(wealth) == pytest.approx(expected)
    assert (wealth.n, wealth.n_clipped) == (2, 0)


def test_the_start_is_one() -> None:
    assert e_value(start(POLICY)) == 1.0
    assert start(POLICY).share_clipped == 0.0


def test_what_is_beyond_the_bound_is_clipped_and_counted() -> None:
    wealth = play(POLICY, [-0.5, 0.001])
    assert wealth.log_wealth == play(POLICY, [-0.02, 0.001]).log_wealth
    assert wealth.share_clipped == 0.5


@given(zs=differences)
def test_worse_is_the_mirror_of_better(zs: list[float]) -> None:
    worse = replace(POLICY, direction="worse")
    assert play(worse, zs) == play(POLICY, [-z for z in zs])


@given(zs=differences)
def test_the_state_survives_json_to_the_bit(zs: list[float]) -> None:
    wealth = play(POLICY, zs)
    assert Wealth.from_dict(json.loads(json.dumps(wealth.to_dict()))) == wealth


@given(zs=differences.filter(len), min_windows=st.integers(1, 30))
def test_the_simulation_plays_the_same_game(zs: list[float], min_windows: int) -> None:
    policy = replace(POLICY, min_windows=min(min_windows, len(zs)))
    stepwise = any(decided(policy, play(policy, zs[: n + 1])) for n in range(len(zs)))
    assert decision_rate(np.array([zs]), policy).rate == stepwise


def test_decides_at_one_over_alpha_and_not_before_min_windows() -> None:
    rich = Wealth((log(20), log(20) + 1e-9), n=5)
    assert decided(POLICY, rich)
    assert not decided(replace(POLICY, min_windows=6), rich)
    assert not decided(POLICY, Wealth((log(19), log(19)), n=5))


def test_a_better_candidate_is_promoted_and_an_identical_one_is_not() -> None:
    assert decided(POLICY, play(POLICY, [-0.01] * 15))
    identical = play(POLICY, [0.0] * 1000)
    assert log_e_value(identical) == pytest.approx(0.0)
    assert decided(replace(POLICY, margin=0.005), play(replace(POLICY, margin=0.005), [0.0] * 40))


def test_wealth_never_ends_in_ruin() -> None:
    assert e_value(play(POLICY, [9.0] * 100)) > 0
    assert exp(play(POLICY, [9.0]).log_wealth[1]) == pytest.approx(0.2)


@pytest.mark.parametrize("direction", ["better", "worse"])
@pytest.mark.parametrize("days", ["clipped, symmetric", "skewed, not clipped"])
def test_wrong_decisions_stay_below_alpha_for_a_year_of_daily_looks(direction: Direction, days: str) -> None:
    """Days resampled with the null exactly true; alpha must be inside or above the 95% interval of the error rate."""
    rng = np.random.default_rng(20)
    half = rng.standard_t(5, 60) * 0.02
    real = np.concatenate([half, -half]) if days == "clipped, symmetric" else rng.exponential(0.01, 120)
    policy = replace(POLICY, direction=direction, bound=0.02 if days == "clipped, symmetric" else 0.06)
    measured = wrong_promotion_rate(real, policy, windows=365, repeats=2000, seed=1)
    assert measured.ci_low <= measured.rate <= measured.ci_high
    assert measured.ci_low <= policy.alpha


def test_clipping_half_of_skewed_days_breaks_the_promise_and_the_measurement_says_so() -> None:
    """Why the bound must be wide enough: rare harm, clipped away, makes a worthless candidate look good."""
    rare_harm = np.random.default_rng(20).exponential(0.03, 120)
    tight = wrong_promotion_rate(rare_harm, POLICY, windows=28, repeats=2000, seed=1)
    assert tight.ci_low > POLICY.alpha
    wide = wrong_promotion_rate(rare_harm, replace(POLICY, bound=0.06), windows=28, repeats=2000, seed=1)
    assert wide.ci_low <= POLICY.alpha


def test_per_event_bets_would_break_the_promise_that_windows_keep() -> None:
    """What the unit is for: events that share their day's weather, bet on one by one, promote a null all the time."""
    rng = np.random.default_rng(8)
    day_means = rng.normal(0, 0.02, (400, 28))
    events = np.repeat(day_means, 50, axis=1) + rng.normal(0, 0.05, (400, 28 * 50))
    per_event = GatePolicy(0.0, bound=0.3, bets=(0.1, 0.2, 0.4, 0.8))
    assert decision_rate(events, per_event).ci_low > 0.2
    assert decision_rate(day_means, POLICY).ci_low <= 0.05


def test_power_within_four_weeks() -> None:
    rng = np.random.default_rng(9)
    clearly_better = rng.normal(-0.012, 0.02, (1000, 28))
    assert decision_rate(clearly_better, POLICY).rate > 0.6
    no_worse = rng.normal(-0.003, 0.01, (1000, 28))
    assert decision_rate(no_worse, replace(POLICY, margin=0.005)).rate > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bound": 0.0}, "bound must be positive"),
        ({"bets": ()}, "non-empty grid"),
        ({"bets": (0.5, 1.0)}, "can ruin"),
        ({"alpha": 1.0}, r"alpha must be in \(0, 1\)"),
        ({"direction": "sideways"}, "'better' or 'worse'"),
    ],
)
def test_impossible_terms_are_refused(change: dict[str, object], message: str) -> None:
    terms: dict[str, object] = {"margin": 0.0, "bound": 0.02, "bets": (0.5,), **change}
    with pytest.raises(ValueError, match=message):
        GatePolicy(**terms)  # type: ignore[arg-type]


def test_impossible_observations_are_refused() -> None:
    with pytest.raises(ValueError, match="no observation"):
        step(POLICY, start(POLICY), float("nan"))
    with pytest.raises(ValueError, match="policy of 2"):
        step(POLICY, Wealth((0.0,)), 0.0)
    with pytest.raises(ValueError, match="at least 2 finite"):
        wrong_promotion_rate([0.1], POLICY, windows=2, repeats=2, seed=0)
