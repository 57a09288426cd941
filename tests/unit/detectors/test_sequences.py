"""How large a change was: intervals that hold at all times together."""

from math import log, log1p, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detectors.sequences import Interval, bounded_sequence, confidence_sequence


def test_by_hand() -> None:
    interval = confidence_sequence([0.1, 0.3], 0.5, alpha=0.05, tuned_for=10)
    r2 = (2 * log(20) + log(2 * log(20) + 1)) / 10
    half = 0.5 * sqrt(2 * (2 * r2 + 1) / (4 * r2) * log(sqrt(2 * r2 + 1) / 0.05))
    assert interval.n == 2
    assert interval.mean == pytest.approx(0.2)
    assert interval.high - interval.mean == pytest.approx(half) == interval.mean - interval.low


def test_it_holds_at_all_times_together() -> None:
    """2,000 paths of 200 windows: the share that ever leaves is at most alpha; of a pointwise interval it is not."""
    rng = np.random.default_rng(3)
    paths = rng.normal(0, 1, (2_000, 200))
    halves = np.array([confidence_sequence(np.zeros(t), 1.0).high for t in range(1, 201)])
    means = np.cumsum(paths, axis=1) / np.arange(1, 201)
    assert (np.abs(means) > halves).any(axis=1).mean() <= 0.05
    assert (np.abs(means) > 1.96 / np.sqrt(np.arange(1, 201))).any(axis=1).mean() > 0.2


def test_it_shrinks() -> None:
    few, many = confidence_sequence(np.zeros(5), 1.0), confidence_sequence(np.zeros(500), 1.0)
    assert many.high < few.high / 5


def test_bounded_by_hand() -> None:
    """Two windows at 1: by each the wealth on "above m" grows by 1 + bet (1 - m); the interval begins at 2 / alpha."""
    interval = bounded_sequence([1.0, 1.0], 0.0, 1.0, alpha=0.5)
    first = sqrt(2 * log(4) / (0.25 * log(2)))
    variance = (0.25 + (1 - 0.75) ** 2) / 2
    second = sqrt(2 * log(4) / (variance * 2 * log(3)))
    low = interval.low
    assert 0 < low < 1
    grown = sum(log1p(min(bet, 0.5 / low) * (1 - low)) for bet in (first, second))
    assert grown == pytest.approx(log(4), abs=1e-9)
    assert interval.high == pytest.approx(1)
    assert interval.mean == 1


@pytest.mark.parametrize("mean", [0.05, 0.5])
def test_bounded_holds_at_all_times_together(mean: float) -> None:
    """400 paths of 150 windows of a skewed distribution: those that ever left the interval are at most alpha."""
    rng = np.random.default_rng(5)
    paths = rng.beta(2 * mean, 2 * (1 - mean), (400, 150))
    alpha = 0.1
    # The interval after t windows holds all that any of the first t have left, so that the last one tells of all.
    outside = sum(not found.low <= mean <= found.high for found in _bounded(paths, alpha))
    assert outside / len(paths) <= alpha + 3 * sqrt(alpha * (1 - alpha) / len(paths))
    assert all(found.high - found.low < 0.4 for found in _bounded(paths[:20], alpha))


def _bounded(paths: NDArray[np.float64], alpha: float) -> list[Interval]:
    return [bounded_sequence(path, 0, 1, alpha=alpha) for path in paths]


CHANGES = st.lists(st.floats(-1, 1), min_size=1, max_size=40)


@settings(deadline=None)
@given(CHANGES, st.floats(0.01, 0.5))
def test_bounded_is_an_interval_that_only_shrinks(changes: list[float], alpha: float) -> None:
    found = bounded_sequence(changes, -1, 1, alpha=alpha)
    assert -1 <= found.low <= 1
    assert -1 <= found.high <= 1
    longer = bounded_sequence([*changes, changes[0]], -1, 1, alpha=alpha)
    assert longer.low >= found.low - 1e-12
    assert longer.high <= found.high + 1e-12


@settings(deadline=None)
@given(CHANGES)
def test_bounded_does_not_depend_on_the_unit_or_the_sign(changes: list[float]) -> None:
    values = np.array(changes)
    found, scaled = bounded_sequence(values, -1, 1), bounded_sequence(100 * values, -100, 100)
    assert (scaled.low, scaled.high) == pytest.approx((100 * found.low, 100 * found.high), abs=1e-6)
    mirrored = bounded_sequence(-values, -1, 1)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low), abs=1e-9)


def test_what_is_no_series_is_refused() -> None:
    for changes in ([], [float("nan")]):
        with pytest.raises(ValueError, match="finite"):
            confidence_sequence(changes, 1.0)
        with pytest.raises(ValueError, match="finite"):
            bounded_sequence(changes, 0, 1)
    with pytest.raises(ValueError, match="sd > 0"):
        confidence_sequence([1.0], 0.0)
    with pytest.raises(ValueError, match="low < high"):
        bounded_sequence([0.5], 1, 0)
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        bounded_sequence([1.5], 0, 1)
