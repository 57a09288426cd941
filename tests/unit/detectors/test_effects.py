"""The least change worth a page, and the order of a page's features."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.effects import Ranked, loss_effect, ranking


def test_least_loss() -> None:
    assert loss_effect(0.05) == 0.005
    assert loss_effect(0.4) == pytest.approx(0.02)
    assert loss_effect(0.05, "mae") == pytest.approx(0.0025), "in the label's own unit .005 may be much"
    assert loss_effect(0.0, "mae") > 0, "without one every difference pages"


def test_features_are_ranked_by_effect_times_importance() -> None:
    moved = {"age": 4.0, "city": 1.0, "colour": 10.0, "debt": 2.0}
    found = ranking(moved, {"age": 1.0, "city": 6.0, "debt": 1.0, "gone": 12.0}, most=3)
    assert found == (Ranked("city", 1.0, 0.75), Ranked("age", 4.0, 0.125), Ranked("debt", 2.0, 0.125))


def test_without_importances_the_effect_alone_ranks() -> None:
    assert [one.name for one in ranking({"b": 2.0, "a": 2.0, "c": 3.0}, {})] == ["c", "a", "b"]
    assert ranking({}, {"a": 1.0}) == ()


@given(
    st.dictionaries(st.text(max_size=3), st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), max_size=12),
    st.integers(1, 12),
)
def test_a_longer_ranking_begins_as_a_shorter_one(features: dict[str, tuple[float, float]], most: int) -> None:
    moved = {name: effect for name, (effect, _) in features.items()}
    importances = {name: importance for name, (_, importance) in features.items()}
    whole = ranking(moved, importances, most=len(features))
    assert ranking(moved, importances, most=most) == whole[:most]
    products = [one.effect * one.importance for one in whole]
    assert products == sorted(products, reverse=True)
    assert sum(one.importance for one in whole) == pytest.approx(1 if whole else 0)


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(ValueError, match="effects"):
        ranking({"a": float("nan")}, {})
    with pytest.raises(ValueError, match="importances"):
        ranking({"a": 1.0}, {"a": -1.0})
