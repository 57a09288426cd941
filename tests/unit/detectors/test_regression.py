"""Errors of predicted numbers from exact sums, against scikit-learn on the raw pairs, and beyond the range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from detectors.regression import RegressionPerformance, group_errors, summarise
from detectors.sketch import SQUARE_LIMIT, SQUARE_ONE, merge

LIMIT = int(SQUARE_LIMIT)


@pytest.mark.parametrize(("middle", "scale"), [(0.0, 1.0), (20.0, 5.0), (-4e6, 1e4), (1e6, 1.0), (0.05, 0.01)])
def test_agrees_with_scikit_learn(middle: float, scale: float) -> None:
    rng = np.random.default_rng(8)
    labels = rng.normal(middle, scale, 10_000)
    predictions = labels + rng.normal(0.1 * scale, 0.5 * scale, 10_000)
    got = summarise(group_errors(predictions, labels, np.zeros(10_000, int), 1)[0])
    assert got.n == 10_000
    assert got.mae == pytest.approx(metrics.mean_absolute_error(labels, predictions), rel=1e-6, abs=1e-6)
    assert got.rmse == pytest.approx(metrics.root_mean_squared_error(labels, predictions), rel=1e-6)
    assert got.bias == pytest.approx((predictions - labels).mean(), rel=1e-5, abs=1e-6)
    assert got.r2 == pytest.approx(metrics.r2_score(labels, predictions), abs=1e-4)
    assert got.mean_label == pytest.approx(labels.mean(), abs=1e-6)
    assert got.clipped == 0


def test_by_hand() -> None:
    (sketch,) = group_errors([3.0, 1.0, 6.0], [1.0, 2.0, 6.0], [0, 0, 0], 1)
    assert (sketch.minimum, sketch.maximum, sketch.counts) == (-1.0, 2.0, (3,))
    got = summarise(sketch)
    assert (got.n, got.mae, got.mean_label, got.clipped) == (3, 1.0, 3.0, 0)
    assert (got.rmse, got.bias, got.r2) == pytest.approx(((5 / 3) ** 0.5, 1 / 3, 1 - 5 / 14))


@pytest.mark.parametrize("label", [0.0, 0.1, -123456.789, 2e9])
def test_labels_that_are_all_the_same_have_no_r2(label: float) -> None:
    got = summarise(group_errors([label + 1, label + 2], [label, label], [0, 0], 1)[0])
    assert got.r2 is None
    assert got.mae == pytest.approx(1.5, abs=1e-6)


def test_nothing_is_none_not_zero() -> None:
    assert summarise(group_errors([], [], [], 1)[0]) == RegressionPerformance(0, None, None, None, None, None, 0)


def test_what_is_beyond_the_range_is_clipped_and_counted() -> None:
    (sketch,) = group_errors([1e300, 0.0, LIMIT, -1e308], [-1e300, 2.0 * LIMIT, 0.0, 1e308], [0] * 4, 1)
    assert sketch.outside == 3
    assert sketch.sums == (
        4 * LIMIT * 2**20, (1 - 1 + 1 - 1) * LIMIT * 2**20, (-1 + 1 + 0 + 1) * LIMIT * 2**20,
        4 * LIMIT**2 * SQUARE_ONE, 3 * LIMIT**2 * SQUARE_ONE,
    )  # fmt: skip
    got = summarise(sketch)
    assert (got.clipped, got.mae, got.rmse) == (3, LIMIT, LIMIT)
    # As many rows of it as a window can have fit in the 128 bits of a table.
    assert 2**32 * LIMIT**2 * SQUARE_ONE < 2**127


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_refuses_what_is_no_number(wrong: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        group_errors([wrong], [0.0], [0], 1)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30), st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_however_pairs_are_cut_the_sum_is_the_same(pairs: list[tuple[float, float]], cut: list[int]) -> None:
    predictions, labels = [p for p, _ in pairs], [label for _, label in pairs]
    (whole,) = group_errors(predictions, labels, [0] * len(pairs), 1)
    a, b, c, d = group_errors(predictions, labels, cut[: len(pairs)], 4)
    assert merge(merge(a, b), merge(c, d)) == whole == merge(d, merge(c, merge(b, a)))


@given(st.lists(st.integers(-LIMIT * 2**10, LIMIT * 2**10), max_size=20))
def test_squares_are_whole_numbers_summed_exactly(labels: list[int]) -> None:
    """Labels in units of 2**-10 have squares that need no rounding until a double ends: then its 53 bits."""
    numbers = [label / 2**10 for label in labels]
    (sketch,) = group_errors(numbers, numbers, [0] * len(labels), 1)
    squares = [int(float(number * number) * SQUARE_ONE) for number in numbers]
    assert sketch.sums == (0, 0, sum(label * 2**10 for label in labels), 0, sum(squares))
