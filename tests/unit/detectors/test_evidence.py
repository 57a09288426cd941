"""The e-detector: its algebra, its promise, and that a state is all it needs."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from detectors.evidence import Evidence, alarms, highest, start, step

COMPONENTS = 12
games = st.lists(st.tuples(*[st.floats(0.1, 40)] * COMPONENTS), min_size=1, max_size=40)


def test_by_hand() -> None:
    first = step(start(2), [2.0, 0.5], 100.0)
    second = step(first.evidence, [3.0, 1.0], 100.0)
    assert first.evidence.values == (2.0, 0.5)
    assert second.evidence.values == ((2 + 1) * 3.0, 1.5)
    assert second.reached == second.evidence.value == (9 + 1.5) / 2
    assert second.evidence.runs == (6.0, 1.0)
    assert second.evidence.lengths == (2, 0)


def test_an_alarm_resets_everything_but_the_counts() -> None:
    after = step(Evidence((9.0,), (9.0,), (4,), n=7, alarms=1), [2.0], 20.0)
    assert (after.alarm, after.reached, after.since) == (True, 20.0, 5)
    assert after.evidence == Evidence((0.0,), (1.0,), (0,), n=8, alarms=2)


@given(game=games, threshold=st.floats(1, 1000))
def test_many_streams_at_once_decide_as_one(game: list[tuple[float, ...]], threshold: float) -> None:
    evidence, expected = start(COMPONENTS), []
    for factors in game:
        result = step(evidence, factors, threshold)
        evidence = result.evidence
        expected.append(result.alarm)
    beside = np.ones((len(game), 5, COMPONENTS))
    beside[:, 1] = game
    assert alarms(beside, [threshold] * 5)[:, 1].tolist() == expected


@given(game=games, cut=st.integers(0, 40), threshold=st.floats(1, 1000))
def test_a_restart_anywhere_changes_nothing(game: list[tuple[float, ...]], cut: int, threshold: float) -> None:
    straight = restarted = start(COMPONENTS)
    for index, factors in enumerate(game):
        if index == cut:
            restarted = Evidence.from_dict(json.loads(json.dumps(restarted.to_dict())))
        straight = step(straight, factors, threshold).evidence
        restarted = step(restarted, factors, threshold).evidence
    assert restarted == straight


@given(game=games)
def test_the_highest_is_what_no_threshold_above_it_would_alarm_at(game: list[tuple[float, ...]]) -> None:
    factors = np.array(game)[:, None, :]
    most = float(highest(factors)[0])
    assert alarms(factors, [most * (1 - 1e-9)]).any()
    assert not alarms(factors, [most * (1 + 1e-9)]).any()


def test_the_highest_of_ruin_and_of_certainty() -> None:
    ruined = np.array([[[5.0]], [[0.0]], [[2.0]]])
    assert highest(ruined)[0] == pytest.approx(5.0)
    assert highest(ruined[1:])[0] == pytest.approx(2.0)
    assert highest(np.full((500, 1, 1), 40.0))[0] == pytest.approx(1e100)


def test_fair_factors_alarm_at_most_as_often_as_promised() -> None:
    """10,000 streams of 300 windows with E[L] = 1, a few times larger than any calibrated one's: T / A a stream."""
    rng = np.random.default_rng(6)
    fair = np.where(rng.random((300, 10_000, 1)) < 0.05, 10.5, 0.5)
    assert fair.mean() == pytest.approx(1, abs=0.01)
    found, promised = int(alarms(fair, 200.0).sum()), 300 * 10_000 / 200
    assert found <= poisson.ppf(0.999, promised)
    assert found > promised / 20  # the bound is not met by never alarming


def test_since_points_at_the_change() -> None:
    rng = np.random.default_rng(1)
    quiet, loud = rng.choice([0.6, 1.3], 50), rng.choice([1.4, 2.5], 8)
    evidence = start(1)
    for factor in [*quiet, 0.3, *loud]:
        result = step(evidence, [factor], 1e9)
        evidence = result.evidence
    assert result.since == 8


def test_what_is_no_factor_is_refused() -> None:
    for factors in ([-0.1], [float("nan")], [float("inf")], [1.0, 1.0]):
        with pytest.raises(ValueError, match="finite numbers"):
            step(start(1), factors, 10.0)
    with pytest.raises(ValueError, match="component"):
        start(0)
