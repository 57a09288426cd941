"""Profiles of reference columns: bins, categories, ranges, rates; the order of rows does not matter."""

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.reference import profile_categories, profile_number, quantile_edges
from detectors.sketch import encode, group_categorical, group_numeric

NAN = float("nan")
numbers = st.lists(
    st.tuples(st.one_of(st.just(NAN), st.integers(-20, 20).map(float)), st.integers(0, 4)), min_size=1, max_size=80
)


def test_many_values_are_cut_into_bins_of_equal_mass() -> None:
    values = np.random.default_rng(0).normal(size=32_000)
    profile = profile_number("x", values, np.zeros(32_000, int))
    assert len(profile.counts) == 32
    assert all(990 <= count <= 1010 for count in profile.counts)


def test_few_values_get_a_bin_each() -> None:
    assert quantile_edges([3.0, 1.0, 1.0, 2.0]) == [2.0, 3.0]
    assert profile_number("x", [3.0, 1.0, 1.0, 2.0], [0] * 4).counts == [2, 1, 1]


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), max_bins=st.integers(1, 32))
def test_edges_increase_and_no_bin_is_empty(values: list[float], max_bins: int) -> None:
    edges = quantile_edges(values, max_bins)
    (sketch,) = group_numeric(values, [0] * len(values), 1, edges)
    assert len(sketch.counts) <= max_bins
    assert all(count > 0 for count in sketch.counts)


def test_a_heavy_value_merges_quantiles() -> None:
    values = np.concatenate([np.zeros(9_000), np.linspace(1, 2, 1_000)])
    profile = profile_number("precip", values, np.zeros(10_000, int))
    assert 2 <= len(profile.counts) <= 5
    assert profile.counts[0] >= 9_000


def test_a_constant_column_has_one_bin_and_no_spread() -> None:
    profile = profile_number("x", [4.0] * 10, [0] * 5 + [1] * 5)
    assert (profile.edges, profile.counts, profile.sd) == ([], [10], 0.0)
    assert (profile.low, profile.high, profile.mean) == (4.0, 4.0, 4.0)


def test_a_column_of_nulls_is_described_not_refused() -> None:
    profile = profile_number("x", [NAN, NAN], [0, 1])
    assert (profile.n, profile.nulls, profile.low, profile.sd) == (2, 2, None, None)
    assert (profile.counts, profile.window_nulls, profile.window_outside) == ([0], [1.0, 1.0], [0.0, 0.0])


def test_window_rates_by_hand() -> None:
    profile = profile_number("x", [1.0, 5.0, NAN, 2.0, 4.0, 19.0], [10, 10, 10, 20, 20, 30])
    assert profile.window_n == [3, 2, 1]
    assert profile.window_nulls == [1 / 3, 0.0, 0.0]
    # Plausible by the other windows: [2, 19] ± 17, [1, 19] ± 18, [1, 5] ± 4; the 19 of the last window is not.
    assert profile.window_outside == [0.0, 0.0, 1.0]


@given(rows=numbers, seed=st.integers(0, 9))
def test_the_order_of_rows_does_not_matter_and_the_profile_is_json(rows: list[tuple[float, int]], seed: int) -> None:
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    first, second = (
        json.dumps(msgspec.to_builtins(profile_number("x", [v for v, _ in r], [w for _, w in r])))
        for r in (rows, shuffled)
    )
    assert first == second


@given(rows=numbers)
def test_the_profile_counts_what_a_sketch_with_its_edges_counts(rows: list[tuple[float, int]]) -> None:
    values = [v for v, _ in rows]
    profile = profile_number("x", values, [w for _, w in rows])
    (sketch,) = group_numeric(values, [0] * len(rows), 1, profile.edges, low=profile.low, high=profile.high)
    assert list(sketch.counts) == profile.counts
    assert (sketch.n, sketch.nulls, sketch.outside) == (profile.n, profile.nulls, 0)
    assert sum(profile.window_n) == profile.n


def test_mean_and_spread() -> None:
    profile = profile_number("x", [1.0, 2.0, 6.0, NAN], [0] * 4)
    assert (profile.mean, profile.sd) == pytest.approx((3.0, 7**0.5))


def test_categories_by_frequency_then_name_and_the_rest_is_other() -> None:
    values = ["b", "c", "a", "c", None, "d"]
    profile = profile_categories("carrier", values, [0, 0, 0, 1, 1, 1], max_categories=3)
    assert profile.categories == ["c", "a", "b"]
    assert profile.counts == [2, 1, 1, 1]
    assert (profile.n, profile.nulls) == (6, 1)
    assert profile.window_nulls == [0.0, 1 / 3]
    # Window 0: a and b are in no other window. Window 1: d was not kept.
    assert profile.window_outside == [2 / 3, 1 / 2]
    (sketch,) = group_categorical(encode(values, profile.categories), [0] * 6, 1, 3)
    assert list(sketch.counts) == profile.counts


def test_booleans_are_known_without_having_been_seen() -> None:
    profile = profile_categories("late", [True, True, None], [0, 1, 1], kind="boolean")
    assert profile.categories == ["false", "true"]
    assert profile.counts == [0, 2, 0]
    assert profile.window_outside == [0.0, 0.0]
    assert json.loads(json.dumps(msgspec.to_builtins(profile)))["kind"] == "boolean"


def test_infinity_is_refused() -> None:
    with pytest.raises(ValueError, match="infinity"):
        profile_number("x", [float("inf")], [0])
