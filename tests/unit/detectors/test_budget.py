"""The owner's number, spent: thresholds and weights."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.budget import SHARES, Budget, of_newcomer, reserved, weights

importances = st.dictionaries(st.text(min_size=1, max_size=5), st.floats(0, 100), min_size=1, max_size=50)


def test_a_page_a_month_of_quarter_hours() -> None:
    budget = Budget.of_width(1, 15 * 60_000)
    assert budget.threshold == 2_880
    assert budget.of(0.45) == pytest.approx(6_400)
    assert Budget.of_width(2, 15 * 60_000).threshold == 1_440


@given(features=importances, appeared=st.integers(0, 200), error=st.none() | st.floats(0, 1))
def test_whatever_pages_together_has_weight_one_at_most(
    features: dict[str, float], appeared: int, error: float | None
) -> None:
    declared = weights(features, estimate_error=error)
    assert sum(declared.values()) + sum(reserved(k) for k in range(1, appeared + 1)) <= 1 + 1e-9
    assert all(weight > 0 for weight in declared.values())
    assert len(declared) == len(features) + len(SHARES) - 2 - ("estimate" not in declared)


def test_features_weigh_by_importance_and_none_is_forgotten() -> None:
    found = weights({"a": 3.0, "b": 1.0, "c": 0.0})
    assert found["feature.a"] > found["feature.b"] > found["feature.c"] > 0
    equal = weights({"a": 0.0, "b": 0.0})
    assert equal["feature.a"] == equal["feature.b"] == SHARES["features"] / 2


def test_an_estimate_that_is_not_believed_gives_its_weight_to_the_loss() -> None:
    believed, not_believed = weights({"a": 1.0}, estimate_error=0.01), weights({"a": 1.0}, estimate_error=0.05)
    assert "estimate" not in not_believed
    assert not_believed["loss"] == pytest.approx(believed["loss"] + believed["estimate"])


def test_the_reserve_is_never_overdrawn_and_nearly_spent() -> None:
    assert reserved(1) == SHARES["reserve"] / 2
    assert sum(reserved(k) for k in range(1, 100_000)) == pytest.approx(SHARES["reserve"], rel=1e-4)


def test_what_cannot_be_promised_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 1"):
        weights({"a": 1.0}, shares={"loss": 0.9, "features": 0.2})
    with pytest.raises(ValueError, match="negative"):
        weights({"a": -1.0})
    with pytest.raises(ValueError, match="weight"):
        Budget(1, 30).of(0)
    with pytest.raises(ValueError, match="positive"):
        Budget(0, 30)
    with pytest.raises(ValueError, match="from 1"):
        reserved(0)


def test_hard_rules_have_a_part_of_the_pages() -> None:
    """50 features of three rules each, a page a month, quarter hours: 5% of a page over all of them."""
    budget = Budget.of_width(1, 15 * 60_000)
    chance = budget.chance(0.05, 150)
    assert chance * 150 * 2_880 == pytest.approx(0.05)
    assert Budget(30, 30).chance(1, 1) == 0.5, "a chance is below 1 however large the budget"
    with pytest.raises(ValueError, match="one rule or more"):
        budget.chance(0.05, 0)


@given(features=importances, k=st.integers(1, 100), taken=st.data())
def test_a_newcomers_streams_share_its_place_as_the_whole_is_shared(
    features: dict[str, float], k: int, taken: st.DataObject
) -> None:
    declared = weights(features)
    streams = taken.draw(st.lists(st.sampled_from([*declared, "unknown"]), unique=True))
    found = of_newcomer(k, streams, declared)
    assert set(found) == set(streams) - {"unknown"}
    assert sum(found.values()) == pytest.approx(reserved(k) if found else 0.0)
    assert all(found[a] * declared[b] == pytest.approx(found[b] * declared[a]) for a in found for b in found)
