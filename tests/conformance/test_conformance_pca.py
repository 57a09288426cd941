"""Reconstruction error from moments against scikit-learn's own, and the laws of what is merged."""

from functools import reduce

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from detectors import pca
from detectors.pca import Moments, Scaling
from detectors.sketch import Floats
from detectors.verdict import Insufficient

MIX = np.array([[1.0, 0.9, 0.0, 0.2], [0.0, 0.4, 0.1, 0.0], [0.0, 0.0, 1.0, -0.8], [0.0, 0.1, 0.0, 0.5]])


def rows(seed: int, n: int = 5_000) -> Floats:
    made: Floats = np.random.default_rng(seed).normal(size=(n, 4)) @ MIX * [1, 10, 0.1, 3] + [5, -40, 0, 1e3]
    return made


REFERENCE = rows(1)
SCALING = Scaling.of(REFERENCE)


def fitted(reference: Floats = REFERENCE) -> pca.Basis:
    found = pca.fit(pca.moments(SCALING, reference))
    assert isinstance(found, pca.Basis)
    return found


@pytest.mark.parametrize(
    "window", [REFERENCE, rows(2, 300), rows(3) + np.array([0, 5, 0, 0]), rows(4) * np.array([1, 1, 2, 1])]
)
def test_the_error_is_that_of_scikit_learn(window: Floats) -> None:
    basis = fitted()
    other = PCA(n_components=len(basis.components)).fit((REFERENCE - SCALING.means) / SCALING.sds)
    scaled = np.clip((window - SCALING.means) / SCALING.sds, -8, 8)
    expected = ((scaled - other.inverse_transform(other.transform(scaled))) ** 2).mean()
    assert pca.error(basis, pca.moments(SCALING, window)) == pytest.approx(expected, rel=2e-3)
    assert pca.row_errors(basis, SCALING, window).mean() == pytest.approx(
        pca.error(basis, pca.moments(SCALING, window)), rel=1e-6
    )


def test_components_explain_what_was_asked_for() -> None:
    shares = PCA().fit((REFERENCE - SCALING.means) / SCALING.sds).explained_variance_ratio_.cumsum()
    kept = len(fitted().components)
    assert shares[kept - 1] >= pca.EXPLAINED
    assert kept == 1 or shares[kept - 2] < pca.EXPLAINED
    every = pca.fit(pca.moments(SCALING, REFERENCE), explained=0.999999)
    assert isinstance(every, pca.Basis)
    assert len(every.components) == 3, "one direction is always left to be wrong in"


def test_a_broken_correlation_shows_though_no_column_moves() -> None:
    rng = np.random.default_rng(5)
    apart = np.column_stack([rng.permutation(column) for column in rows(6).T])
    basis = fitted()
    same = pca.error(basis, pca.moments(SCALING, rows(6)))
    assert same == pytest.approx(basis.usual, rel=0.05)
    assert pca.error(basis, pca.moments(SCALING, apart)) > 1.5 * basis.usual


values = st.lists(
    st.tuples(*[st.one_of(st.just(float("nan")), st.floats(-1e9, 1e9, allow_subnormal=False))] * 4), max_size=12
)


@settings(max_examples=60)
@given(parts=st.lists(values, min_size=1, max_size=5), order=st.randoms(use_true_random=False))
def test_parts_add_up_in_any_order(parts: list[list[tuple[float, ...]]], order: object) -> None:
    def of(part: list[tuple[float, ...]]) -> Moments:
        return pca.moments(SCALING, np.array(part, np.float64).reshape(-1, 4))

    whole = of([row for part in parts for row in part])
    mixed = list(parts)
    order.shuffle(mixed)  # type: ignore[attr-defined]
    assert reduce(pca.merge, map(of, mixed), pca.empty(4)) == whole
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Moments) == whole


def test_nulls_are_taken_for_the_mean_and_the_wildest_row_for_eight_deviations() -> None:
    nothing = np.full((3, 4), np.nan)
    assert pca.moments(SCALING, nothing) == Moments(3, [0] * 4, [[0] * 4] * 4)
    wild = pca.moments(SCALING, np.full((1, 4), 1e300))
    assert wild.sums == [8 * 1024] * 4
    assert pca.moments(SCALING, np.zeros((0, 4))) == pca.empty(4)


def test_a_million_rows_are_added_exactly() -> None:
    steps = 8 * 1024
    many = pca.moments(SCALING, np.full((1_000_000, 4), 1e300))
    assert (many.sums[0], many.products[1][2]) == (10**6 * steps, 10**6 * steps**2)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        (REFERENCE[:100], "100 rows, 500 are needed"),
        (np.tile(REFERENCE[:, :1], 4), "one direction"),
        (np.ones((600, 4)), "one direction"),
    ],
)
def test_what_cannot_be_fitted_says_why(reference: Floats, says: str) -> None:
    found = pca.fit(pca.moments(Scaling.of(reference), reference))
    assert isinstance(found, Insufficient)
    assert says in found.reason


def test_other_columns_are_an_error() -> None:
    with pytest.raises(ValueError, match="rows of 4 columns"):
        pca.moments(SCALING, REFERENCE[:, :3])
    with pytest.raises(ValueError, match="4 columns with those of 3"):
        pca.merge(pca.empty(4), pca.empty(3))
    with pytest.raises(ValueError, match="without rows"):
        pca.error(fitted(), pca.empty(4))
