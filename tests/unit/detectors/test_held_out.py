"""Distances of many windows at once, against those of one; leaving out; design effects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, wasserstein_distance

from detectors import distances, held_out

counts = st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any)


@given(reference=counts, current=counts)
def test_the_same_as_one_at_a_time(reference: list[int], current: list[int]) -> None:
    p, q = held_out.shares(reference), held_out.shares(current)
    positions = np.array([0.0, 1.0, 3.0, 7.0])
    assert held_out.ks(p, q) == pytest.approx(distances.ks(reference, current))
    expected = wasserstein_distance(positions, positions, reference, current)
    assert held_out.wasserstein(p, q, positions, 2.0) == pytest.approx(expected / 2)
    assert held_out.largest_share(p, q) <= 2 * held_out.total_variation(p, q) + 1e-12
    assert 0 <= held_out.total_variation(p, q) <= 1 + 1e-12


def test_blocks_are_left_out_whole() -> None:
    rows = np.array([[1, 0], [0, 10], [100, 0]])
    assert held_out.of_others(rows, [7, 7, 9]).tolist() == [[100, 0], [100, 0], [1, 10]]
    with pytest.raises(ValueError, match="two or more"):
        held_out.of_others(rows, [7, 7, 7])


def test_an_empty_window_has_no_shares() -> None:
    assert held_out.shares([[0, 0], [1, 3]]).tolist() == [[0, 0], [0.25, 0.75]]


def test_independent_rows_have_no_design_effect() -> None:
    rng = np.random.default_rng(2)
    rows = rng.multinomial(1_000, [0.1, 0.2, 0.3, 0.4], size=300)
    assert held_out.design_effect(rows, np.arange(300) // 10) == pytest.approx(1, abs=0.25)
    assert held_out.design_effect(rows, np.arange(300) // 10, ordered=False) == pytest.approx(1, abs=0.25)


def test_rows_that_come_in_thirties_are_worth_a_thirtieth() -> None:
    """As a day of flights holds 72 weather rows: each of them counts for all flights of its hour."""
    rng = np.random.default_rng(2)
    rows = 30 * rng.multinomial(50, [0.1, 0.2, 0.3, 0.4], size=300)
    effect = held_out.design_effect(rows, np.arange(300) // 10)
    assert effect == pytest.approx(30, rel=0.2)
    assert held_out.effective_rows(1_500, effect) == pytest.approx(50, rel=0.2)
    assert held_out.structurally_variable(1_500, effect)
    assert not held_out.structurally_variable(1_500, 1.0)


def test_a_level_that_wanders_is_not_hidden_by_many_bins() -> None:
    """1,000 rows in 32 bins of equal mass, the level moving by a standard deviation of .1: 1 + n sd² φ(0)² / .25."""
    rng = np.random.default_rng(2)
    edges = norm.ppf(np.arange(1, 32) / 32)
    below = norm.cdf(edges - rng.normal(0, 0.1, (400, 1)))
    rows = rng.poisson(1_000 * np.diff(below, axis=1, prepend=0, append=1))
    expected = 1 + 1_000 * 0.1**2 * norm.pdf(0) ** 2 / 0.25
    assert held_out.design_effect(rows, np.arange(400) // 10) == pytest.approx(expected, rel=0.2)


def test_windows_without_rows_say_nothing() -> None:
    assert held_out.design_effect(np.zeros((3, 4)), [0, 1, 2]) == 1


def test_design_effect_of_a_rate() -> None:
    rng = np.random.default_rng(4)
    same = rng.binomial(500, 0.1, 400) / 500
    rows = np.full(400, 500)
    assert held_out.design_effect_of_means(same, rows, 0.1 * 0.9) == pytest.approx(1, abs=0.15)
    wandering = rng.binomial(500, np.clip(rng.normal(0.1, 0.03, 400), 0, 1)) / 500
    expected = 1 + 500 * 0.03**2 / (0.1 * 0.9)
    assert held_out.design_effect_of_means(wandering, rows, 0.1 * 0.9) == pytest.approx(expected, rel=0.15)
    with pytest.raises(ValueError, match="variance"):
        held_out.design_effect_of_means([0.1, 0.1], [5, 5], 0.0)


def test_a_reference_without_spread_has_no_unit() -> None:
    with pytest.raises(ValueError, match="constant reference"):
        held_out.wasserstein(np.array([1.0, 0.0]), np.array([1.0, 0.0]), [0, 1], 0.0)
