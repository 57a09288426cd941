"""Distances against scipy on the same bins, hand values and samples; too little data is its own verdict."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from detectors import distances
from detectors.distances import Distances, bin_positions, compare, compare_each
from detectors.verdict import Insufficient

P = [120, 300, 80, 0, 500]
Q = [100, 310, 0, 20, 570]
POSITIONS = [-2.0, -0.5, 0.0, 1.0, 4.0]

counts = st.lists(st.integers(0, 1000), min_size=6, max_size=6).filter(lambda c: sum(c) > 0)


def test_psi_by_hand() -> None:
    p, q = np.array([100.5, 300.5]) / 401, np.array([200.5, 200.5]) / 401
    assert distances.psi([100, 300], [200, 200]) == pytest.approx(((q - p) * np.log(q / p)).sum())


def test_psi_is_finite_where_a_bin_is_empty() -> None:
    assert 5 < distances.psi([1000, 0], [0, 1000]) < 20


def test_psi_of_samples_of_one_distribution_has_its_known_mean() -> None:
    """Under the null PSI is about (1/n + 1/m) times a chi-square with B - 1 degrees of freedom (Yurdakul 2018)."""
    rng = np.random.default_rng(5)
    values = [distances.psi(rng.multinomial(4000, [0.1] * 10), rng.multinomial(2000, [0.1] * 10)) for _ in range(400)]
    assert np.mean(values) == pytest.approx((1 / 4000 + 1 / 2000) * 9, rel=0.1)


def test_ks_is_exact_when_every_value_has_a_bin() -> None:
    reference, current = np.repeat(POSITIONS, P), np.repeat(POSITIONS, Q)
    assert distances.ks(P, Q) == pytest.approx(stats.ks_2samp(reference, current).statistic)


@given(p=counts, q=counts)
def test_jensen_shannon_agrees_with_scipy_and_is_a_bounded_symmetric_distance(p: list[int], q: list[int]) -> None:
    ours = distances.jensen_shannon(p, q)
    assert 0 <= ours <= 1
    assert ours == pytest.approx(np.nan_to_num(jensenshannon(p, q, base=2)), abs=1e-7)
    assert ours == pytest.approx(distances.jensen_shannon(q, p))
    assert distances.jensen_shannon(p, p) < 1e-7


def test_jensen_shannon_of_disjoint_distributions_is_one() -> None:
    assert distances.jensen_shannon([5, 0], [0, 9]) == 1.0


def test_wasserstein_by_hand_and_by_samples() -> None:
    assert distances.wasserstein([10, 0], [0, 10], [0.0, 3.0], 1.5) == pytest.approx(2.0)
    samples = stats.wasserstein_distance(np.repeat(POSITIONS, P), np.repeat(POSITIONS, Q))
    assert distances.wasserstein(P, Q, POSITIONS, 2.0) == pytest.approx(samples / 2.0)


def test_wasserstein_of_a_shift_is_about_the_shift_in_standard_deviations() -> None:
    rng = np.random.default_rng(2)
    x = np.sort(rng.normal(10, 4, 50_000))
    edges = np.quantile(x, np.arange(1, 32) / 32)
    positions = distances.bin_positions(edges.tolist(), x[0], x[-1])
    reference, current = (np.bincount(np.searchsorted(edges, v, side="right"), minlength=32) for v in (x, x + 2.0))
    assert distances.wasserstein(reference, current, positions, 4.0) == pytest.approx(0.5, rel=0.25)


def test_chi_square_by_hand() -> None:
    result = distances.chi_square([10, 20, 0], [20, 10, 0])
    assert result.statistic == pytest.approx(100 / 15)
    assert result.dof == 1
    assert result.p_value == pytest.approx(stats.chi2.sf(100 / 15, 1))


def test_chi_square_of_one_category_says_nothing() -> None:
    assert distances.chi_square([10, 0], [20, 0]) == distances.ChiSquare(0.0, 1.0, 0)


def test_bin_positions_are_the_middles() -> None:
    assert distances.bin_positions([1.0, 3.0], 0.0, 4.0).tolist() == [0.5, 2.0, 3.5]
    assert distances.bin_positions([], 5.0, 5.0).tolist() == [5.0]


def test_compare_measures_everything_that_is_defined() -> None:
    ordered = compare(P, Q, positions=POSITIONS, sd=2.0)
    assert isinstance(ordered, Distances)
    assert ordered.psi == distances.psi(P, Q)
    assert ordered.ks == distances.ks(P, Q)
    assert ordered.wasserstein == distances.wasserstein(P, Q, POSITIONS, 2.0)
    assert ordered.chi_square == distances.chi_square(P, Q)
    categories = compare(P, Q)
    assert isinstance(categories, Distances)
    assert categories.ks is None
    assert categories.wasserstein is None
    assert categories.jensen_shannon == ordered.jensen_shannon


@given(st.lists(st.tuples(counts, counts, st.sampled_from([None, 0.0, 2.5])), min_size=1, max_size=20), st.booleans())
def test_features_that_are_compared_together_get_the_same_bits_as_each_alone(
    pairs: list[tuple[list[int], list[int], float | None]], ordered: bool
) -> None:
    places = np.arange(6) * np.arange(1, len(pairs) + 1)[:, None]
    was, now, sds = map(list, zip(*pairs, strict=True))
    together = compare_each(was, now, positions=places if ordered else None, sds=sds)
    assert together == [
        compare(p, q, positions=place if ordered else None, sd=sd)
        for (p, q, sd), place in zip(pairs, places, strict=True)
    ]


def test_positions_of_many_numbers_are_those_of_each() -> None:
    both = bin_positions([[0.0, 1.0], [5.0, 9.0]], [-1.0, 5.0], [3.0, 10.0])
    assert both.tolist() == [
        bin_positions([0.0, 1.0], -1.0, 3.0).tolist(),
        bin_positions([5.0, 9.0], 5.0, 10.0).tolist(),
    ]
    assert both[0].tolist() == [-0.5, 0.5, 2.0]


def test_a_constant_reference_has_no_wasserstein_distance() -> None:
    result = compare([200], [300], positions=[1.0], sd=0.0)
    assert isinstance(result, Distances)
    assert (result.ks, result.wasserstein, result.psi) == (0.0, None, 0.0)


@pytest.mark.parametrize(
    ("p", "q", "side"), [([99, 0], [500, 500], "reference"), ([500, 500], [0, 7], "window"), ([500], [0], "window")]
)
def test_too_little_data_is_a_verdict(p: list[int], q: list[int], side: str) -> None:
    verdict = compare(p, q)
    assert isinstance(verdict, Insufficient)
    assert verdict.reason.startswith(f"the {side} has ")
    assert isinstance(compare(p, [0] * len(p), min_rows=0), Insufficient)


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="another reference"):
        compare([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="negative"):
        distances.psi([1, -1], [1, 1])
    with pytest.raises(ValueError, match="Insufficient"):
        distances.ks([0, 0], [1, 1])
    with pytest.raises(ValueError, match="constant reference"):
        distances.wasserstein([1], [1], [0.0], 0.0)


@given(p=counts, q=counts)
def test_total_variation_is_the_share_that_changed_its_category(p: list[int], q: list[int]) -> None:
    found = distances.total_variation(p, q)
    by_hand = sum(max(a / sum(p) - b / sum(q), 0) for a, b in zip(p, q, strict=True))
    assert found == pytest.approx(by_hand, abs=1e-12)
    assert distances.ks(p, q) <= found + 1e-12
