"""The leave-one-out band holds its own windows, is no narrower than 3 sd, and says when it cannot be made."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.bands import Band, leave_one_out_band
from detectors.verdict import Insufficient

# Steps of a hundredth: a spread made of rounding errors alone is no spread.
losses = st.lists(st.integers(0, 500).map(lambda x: x / 100), min_size=5, max_size=40)


def band_of(values: list[float]) -> Band:
    band = leave_one_out_band(values)
    assert isinstance(band, Band)
    return band


@given(values=losses)
def test_every_reference_window_is_inside(values: list[float]) -> None:
    band = band_of(values)
    assert all(value in band for value in values)
    assert band.width >= 3
    assert band.n == len(values)


@given(values=losses)
def test_every_window_is_inside_the_band_of_that_width_made_of_the_others(values: list[float]) -> None:
    band = band_of(values)
    for index, value in enumerate(values):
        others = np.delete(values, index)
        spread = others.std(ddof=1)
        if len(set(others)) > 1:
            assert abs(value - others.mean()) <= band.width * spread * (1 + 1e-9)


@given(values=losses)
def test_the_order_of_windows_does_not_matter(values: list[float]) -> None:
    forth, back = band_of(values), band_of(values[::-1])
    assert (forth.low, forth.high) == pytest.approx((back.low, back.high))


def test_by_hand() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    band = band_of(values)
    sd = np.std(values, ddof=1)
    assert (band.low, band.high, band.width) == pytest.approx((3 - 3 * sd, 3 + 3 * sd, 3.0))


def test_an_odd_window_widens_the_band() -> None:
    calm = [0.40, 0.41, 0.42, 0.43, 0.44, 0.45]
    assert band_of([*calm, 0.9]).width > 10
    assert 0.9 not in band_of(calm)


def test_an_odd_one_among_equals_is_held() -> None:
    band = band_of([0.5] * 9 + [0.8])
    assert 0.5 in band
    assert 0.8 in band


def test_equal_windows_give_a_point() -> None:
    assert band_of([0.5] * 5) == Band(0.5, 0.5, 5, 3.0)


def test_few_windows_are_insufficient() -> None:
    verdict = leave_one_out_band([0.4] * 4)
    assert verdict == Insufficient("the reference has 4 labelled windows, a band needs 5")


def test_refuses_a_window_without_a_loss() -> None:
    with pytest.raises(ValueError, match="leave windows without labels out"):
        leave_one_out_band([0.4] * 5 + [float("nan")])
