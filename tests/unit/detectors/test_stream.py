"""A stream fitted on its reference: which reference it takes, and that what it says later follows from that."""

import numpy as np
import pytest

from detectors import stream
from detectors.budget import Budget
from detectors.sketch import Floats, Ints
from detectors.verdict import Insufficient

HOURS = np.arange(28 * 24)
CALENDAR = stream.Calendar(HOURS // 24, HOURS % 168, HOURS // 168)
THRESHOLD = Budget(1, 720).of(0.01)


def counts(shares: Floats, seed: int) -> Ints:
    drawn: Ints = np.random.default_rng(seed).poisson(1_000 * shares)
    return drawn


def fitted(shares: Floats, measure: stream.Measure) -> stream.Stream:
    found = stream.fit(counts(shares, 1), CALENDAR, measure, threshold=THRESHOLD, streams=10)
    assert isinstance(found, stream.Stream)
    return found


STEADY = np.tile([0.4, 0.3, 0.2, 0.1], (len(HOURS), 1))
BY_DAY = np.where((HOURS % 24 < 12)[:, None], [0.5, 0.3, 0.1, 0.1], [0.3, 0.3, 0.3, 0.1])
BY_CHANCE = np.random.default_rng(3).dirichlet([4, 3, 2, 1], len(HOURS))


@pytest.mark.parametrize("measure", [stream.Measure(None), stream.Measure((0.0, 1.0, 2.0, 3.0), 1.0)])
def test_the_reference_is_chosen_by_what_the_windows_differ_by(measure: stream.Measure) -> None:
    steady, by_day, by_chance = (fitted(shares, measure) for shares in (STEADY, BY_DAY, BY_CHANCE))
    assert (steady.seasonal is None, steady.variable) == (True, False)
    assert (by_day.seasonal is None, by_day.variable) == (False, False)
    assert (by_chance.seasonal is None, by_chance.variable) == (True, True)
    assert (steady.threshold, by_chance.threshold) == (THRESHOLD, np.inf)
    assert len(steady.scales) == len(measure.effects) == 2


def test_only_what_is_unusual_at_its_hour_is_evidence() -> None:
    seasonal = fitted(BY_DAY, stream.Measure(None))
    night = counts(BY_DAY[:6], 5)
    at_night, at_noon = seasonal.factors(night, CALENDAR.slots[:6]), seasonal.factors(night, CALENDAR.slots[12:18])
    assert (at_night.mean(axis=1) < 1).all()
    assert (at_noon.mean(axis=1) > 2).all()


def test_a_constant_is_measured_by_ks_alone() -> None:
    still = np.tile([0.0, 1.0], (len(HOURS), 1))
    found = fitted(still, stream.Measure((0.0, 1.0)))
    assert len(found.scales) == 1
    assert (found.factors([[500, 500]], [0]) > 1).all()


def test_two_days_are_too_little() -> None:
    short = stream.Calendar(CALENDAR.days[:48], CALENDAR.slots[:48], CALENDAR.weeks[:48])
    found = stream.fit(counts(STEADY[:48], 1), short, stream.Measure(None), threshold=THRESHOLD, streams=1)
    assert isinstance(found, Insufficient)
    assert "2 days" in found.reason


def test_days_do_where_weeks_are_too_few_to_be_held_out() -> None:
    """Thirty days: slots explain the weekend, but without a quarter of the weeks there are fewer than 20 windows."""
    days = np.arange(30)
    calendar = stream.Calendar(days, 24 * (days % 7), days // 7)
    shares = np.where((days % 7 < 5)[:, None], [0.5, 0.3, 0.2], [0.44, 0.33, 0.23])
    found = stream.fit(counts(shares, 2), calendar, stream.Measure(None), threshold=THRESHOLD, streams=1)
    assert isinstance(found, stream.Stream)
    assert (found.seasonal, found.examined.blocks) == (None, 30)
    assert found.examined.claim != "not enough data"
