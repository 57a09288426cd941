"""How large a change was: intervals that hold at all times together."""

from math import log, sqrt

import numpy as np
import pytest

from detectors.sequences import confidence_sequence


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


def test_what_is_no_series_is_refused() -> None:
    for changes in ([], [float("nan")]):
        with pytest.raises(ValueError, match="finite"):
            confidence_sequence(changes, 1.0)
    with pytest.raises(ValueError, match="sd > 0"):
        confidence_sequence([1.0], 0.0)
