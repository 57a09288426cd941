"""Every distance on every pair of counts: known values, scipy's answers on the rows themselves, and metric laws."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from detectors import distances as ds
from detectors import held_out
from detectors.distances import Distances, compare
from detectors.sketch import Floats
from detectors.verdict import Insufficient

Counts = list[int]
PLACES = [-2.0, 0.0, 0.5, 3.0]


def w1(p: Counts, q: Counts) -> float:
    return ds.wasserstein(p, q, PLACES, 1.0)


def chi2(p: Counts, q: Counts) -> float:
    return ds.chi_square(p, q).statistic


DISTANCES: dict[str, Callable[[Counts, Counts], float]] = {
    "psi": ds.psi,
    "ks": ds.ks,
    "jensen_shannon": ds.jensen_shannon,
    "total_variation": ds.total_variation,
    "wasserstein": w1,
    "chi_square": chi2,
}
METRICS = ("ks", "jensen_shannon", "total_variation", "wasserstein")
"""Those that obey the triangle's inequality."""

SHARES = ("ks", "jensen_shannon", "total_variation", "wasserstein")
"""Those that look at shares alone: the number of rows changes nothing."""

every = pytest.mark.parametrize("name", DISTANCES)
counts = st.lists(st.integers(0, 10_000), min_size=4, max_size=4).filter(any)


def rows(p: Counts) -> np.ndarray:
    return np.repeat(PLACES, p)


SCIPY: dict[str, Callable[[Counts, Counts], float]] = {
    "ks": lambda p, q: stats.ks_2samp(rows(p), rows(q), method="asymp").statistic,
    "wasserstein": lambda p, q: stats.wasserstein_distance(rows(p), rows(q)),
    "jensen_shannon": lambda p, q: float(np.nan_to_num(jensenshannon(p, q, base=2))),
    "chi_square": lambda p, q: stats.chi2_contingency(_both(p, q), correction=False).statistic,
}


def _both(p: Counts, q: Counts) -> np.ndarray:
    table = np.array([p, q])
    return table[:, table.sum(axis=0) > 0]


PAIRS: dict[str, tuple[Counts, Counts]] = {
    "equal": ([10, 20, 30, 40], [10, 20, 30, 40]),
    "disjoint": ([50, 50, 0, 0], [0, 0, 50, 50]),
    "one bin": ([0, 100, 0, 0], [0, 100, 0, 0]),
    "from one bin to another": ([100, 0, 0, 0], [0, 0, 0, 100]),
    "a single row": ([1, 0, 0, 0], [25, 25, 25, 25]),
    "unlike sizes": ([1_000, 2_000, 3_000, 4_000], [2, 1, 1, 3]),
    "unseen": ([100, 100, 0, 0], [100, 100, 0, 40]),
}


@pytest.mark.parametrize("name", SCIPY)
@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS.keys())
def test_scipy_says_the_same_of_the_rows_themselves(name: str, pair: tuple[Counts, Counts]) -> None:
    assert DISTANCES[name](*pair) == pytest.approx(SCIPY[name](*pair), rel=1e-9, abs=1e-7)


@pytest.mark.parametrize("name", SCIPY)
@given(p=st.lists(st.integers(0, 60), min_size=4, max_size=4).filter(any), q=counts)
def test_scipy_says_the_same_of_any_counts(name: str, p: Counts, q: Counts) -> None:
    assert DISTANCES[name](p, q) == pytest.approx(SCIPY[name](p, q), rel=1e-9, abs=1e-7)


@given(p=counts, q=counts)
def test_the_p_value_is_scipy_s(p: Counts, q: Counts) -> None:
    found, expected = ds.chi_square(p, q), stats.chi2_contingency(_both(p, q), correction=False)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-12, rel=1e-6)
    assert found.dof == expected.dof


@every
@given(p=counts, q=counts)
def test_none_is_negative_equals_are_at_zero_and_order_does_not_matter(name: str, p: Counts, q: Counts) -> None:
    distance = DISTANCES[name]
    assert distance(p, p) == pytest.approx(0, abs=1e-7)
    assert distance(p, q) >= 0
    if sum(p) == sum(q) or name != "psi":  # smoothing weighs more in fewer rows
        assert distance(p, q) == pytest.approx(distance(q, p), rel=1e-9, abs=1e-7)


HELD_OUT: dict[str, Callable[[Floats, Floats], Floats]] = {
    "ks": held_out.ks,
    "total_variation": held_out.total_variation,
    "wasserstein": lambda p, q: held_out.wasserstein(p, q, PLACES, 1.0),
}


@pytest.mark.parametrize("name", HELD_OUT)
@given(p=counts, q=counts)
def test_what_is_calibrated_is_what_is_shown(name: str, p: Counts, q: Counts) -> None:
    """Evidence is weighed on shares of many windows at once, by code of its own."""
    of_shares = HELD_OUT[name](held_out.shares(p), held_out.shares(q))
    assert float(of_shares) == pytest.approx(DISTANCES[name](p, q), abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
@given(p=counts, q=counts, r=counts)
def test_a_detour_is_no_shorter(name: str, p: Counts, q: Counts, r: Counts) -> None:
    distance = DISTANCES[name]
    assert distance(p, r) <= distance(p, q) + distance(q, r) + 1e-7


@pytest.mark.parametrize("name", SHARES)
@given(p=counts, q=counts, times=st.integers(1, 10**9))
def test_the_number_of_rows_changes_no_distance_of_shares(name: str, p: Counts, q: Counts, times: int) -> None:
    assert DISTANCES[name](p, [x * times for x in q]) == pytest.approx(DISTANCES[name](p, q), rel=1e-9, abs=1e-7)


@pytest.mark.parametrize(
    ("name", "most"), [("ks", 1.0), ("jensen_shannon", 1.0), ("total_variation", 1.0), ("wasserstein", 5.0)]
)
@given(p=counts, q=counts)
def test_what_has_nothing_in_common_is_furthest(name: str, most: float, p: Counts, q: Counts) -> None:
    assert DISTANCES[name](p, q) <= most + 1e-12
    assert DISTANCES[name]([7, 0, 0, 0], [0, 0, 0, 3]) == pytest.approx(most)


@given(p=counts, q=counts)
def test_what_differs_is_told_apart_by_all(p: Counts, q: Counts) -> None:
    assume(abs(np.array(p) / sum(p) - np.array(q) / sum(q)).max() > 1e-3)
    for name, distance in DISTANCES.items():
        assert distance(p, q) > 0, name


@every
def test_a_thousand_billion_rows_overflow_nothing(name: str) -> None:
    found = DISTANCES[name]([10**15, 1, 0, 10**15], [10**15, 0, 10**15, 1])
    assert np.isfinite(found)
    assert found > 0.1


@pytest.mark.parametrize(
    ("p", "q"), [([0, 0], [5, 5]), ([5, 5], [0, 0]), ([0, 0], [0, 0]), ([99, 0], [500, 0]), ([500, 0], [99, 0])]
)
def test_too_few_rows_are_a_verdict_of_their_own(p: Counts, q: Counts) -> None:
    found = compare(p, q, positions=[0.0, 1.0], sd=1.0)
    assert isinstance(found, Insufficient)
    assert "100 are needed" in found.reason


def test_a_reference_without_spread_has_no_unit_and_says_none() -> None:
    found = compare([500], [500], positions=[3.0], sd=0.0)
    assert isinstance(found, Distances)
    assert (found.wasserstein, found.ks, found.psi) == (None, 0.0, 0.0)


@every
@pytest.mark.parametrize("wrong", [([1, 2], [1, 2, 3]), ([], []), ([1, -1, 1, 1], [1, 1, 1, 1])])
def test_counts_that_do_not_fit_are_refused(name: str, wrong: tuple[Counts, Counts]) -> None:
    with pytest.raises(ValueError, match=r"same bins|negative"):
        DISTANCES[name](*wrong)
