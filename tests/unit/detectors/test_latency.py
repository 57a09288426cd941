"""Latency quantiles against the exact ones."""

from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.latency import quantile, summarise
from detectors.sketch import EMPTY_LATENCY, EMPTY_SCORE, group_latency


@given(values=st.lists(st.floats(0.01, 1e5), min_size=1, max_size=50), level=st.floats(0.001, 1))
def test_a_quantile_is_at_most_four_percent_above_the_exact_one(values: list[float], level: float) -> None:
    got = quantile(group_latency(values, [0] * len(values), 1)[0], level)
    exact = sorted(values)[ceil(level * len(values)) - 1]
    assert got is not None
    assert exact <= got <= exact * 1.0401


def test_summary_by_hand() -> None:
    values = [*np.arange(1.0, 100.0), 5000.0, float("nan")]
    got = summarise(group_latency(values, [0] * len(values), 1)[0], window_seconds=10)
    assert got.n == 100
    assert got.mean == pytest.approx((4950 + 5000) / 100, abs=1e-6)
    assert got.p50 == pytest.approx(50, rel=0.04)
    assert got.p95 == pytest.approx(95, rel=0.04)
    assert got.p99 == pytest.approx(99, rel=0.04)
    assert got.maximum == 5000.0
    assert got.throughput == 10.1


def test_beyond_the_edges() -> None:
    (slow,) = group_latency([1e6, 2e6], [0, 0], 1)
    (fast,) = group_latency([0.001, 0.02], [0, 0], 1)
    assert quantile(slow, 0.5) == 2e6
    assert quantile(fast, 0.5) == 0.01


def test_nothing_measured_is_none() -> None:
    got = summarise(EMPTY_LATENCY, 1)
    assert (got.n, got.mean, got.p50, got.p99, got.maximum, got.throughput) == (0, None, None, None, None, 0.0)


def test_errors_say_what_is_valid() -> None:
    with pytest.raises(ValueError, match="not a latency sketch: 128 bins"):
        quantile(EMPTY_SCORE, 0.5)
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\]"):
        quantile(EMPTY_LATENCY, 0)
    with pytest.raises(ValueError, match="more than 0 seconds"):
        summarise(EMPTY_LATENCY, 0)
