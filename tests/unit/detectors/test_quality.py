"""Quality rules fire on what the reference never did, and never on the reference's own windows."""

from math import inf, log, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.quality import (
    SLACK,
    VOLUME_WINDOWS,
    Rates,
    RuleResult,
    check_constant,
    check_rate,
    check_volume,
    plausible_range,
    rates,
    usual_volume,
)
from detectors.sketch import EMPTY_SCORE, Sketch
from detectors.verdict import Insufficient

WEEK_RATES = [0.0, 0.01, 0.0, 0.03, 0.01, 0.0, 0.02]
WEEK_ROWS = [900] * 7

week = st.lists(st.tuples(st.floats(0, 1), st.integers(100, 10_000)), min_size=3, max_size=30)


def verdict(rate: float, n: int = 900) -> RuleResult:
    result = check_rate("null rate of temp", rate, n, WEEK_RATES, WEEK_ROWS)
    assert isinstance(result, RuleResult)
    return result


def test_rates_of_a_sketch() -> None:
    assert rates(Sketch(10, 2, 4, (0,), 0.0, 1.0, (8,))) == Rates(10, 0.2, 0.5)
    assert rates(EMPTY_SCORE) == Rates(0, None, None)
    assert rates(Sketch(10, 10, 0, (0,), None, None, (0,))) == Rates(10, 1.0, None)


def test_a_rate_that_no_reference_window_came_near_is_a_fault() -> None:
    assert not verdict(0.03).violated
    assert not verdict(0.12).violated
    broken = verdict(0.25)
    assert broken.violated
    assert broken.limit == pytest.approx(0.03 + SLACK)
    assert broken.reason.startswith("null rate of temp 0.2500 exceeds the limit 0.1300")


def test_few_rows_get_three_standard_errors() -> None:
    few = check_rate("null rate of temp", 0.0, 100, [0.4, 0.38], [900, 900])
    assert isinstance(few, RuleResult)
    assert few.limit == pytest.approx(0.4 + 3 * (0.4 * 0.6 / 100) ** 0.5)


def test_a_new_season_is_plausible_and_another_unit_is_not() -> None:
    assert plausible_range(10.0, 60.0) == (-40.0, 110.0)
    assert plausible_range(None, None) == (None, None)


@given(week=week)
def test_no_reference_window_violates_its_own_rule(week: list[tuple[float, int]]) -> None:
    reference_rates, reference_n = [r for r, _ in week], [n for _, n in week]
    for rate, n in week:
        result = check_rate("null rate", rate, n, reference_rates, reference_n)
        assert isinstance(result, RuleResult)
        assert not result.violated


@given(week=week)
def test_left_out_only_the_worst_window_can_violate_and_by_no_more_than_the_documented_term(
    week: list[tuple[float, int]],
) -> None:
    for index, (rate, n) in enumerate(week):
        others = [*week[:index], *week[index + 1 :]]
        result = check_rate("null rate", rate, n, [r for r, _ in others], [rows for _, rows in others])
        assert isinstance(result, RuleResult)
        worst = max(r for r, _ in others)
        if result.violated:
            assert rate > worst
            full = check_rate("null rate", rate, n, [r for r, _ in week], [rows for _, rows in week])
            assert isinstance(full, RuleResult)
            assert full.limit >= rate + (rate - worst)


def test_small_reference_windows_are_not_consulted() -> None:
    result = check_rate("null rate", 0.2, 500, [0.9, 0.0, 0.0], [3, 900, 900])
    assert isinstance(result, RuleResult)
    assert result.violated


def test_too_little_data_is_a_verdict() -> None:
    assert isinstance(check_rate("null rate", 1.0, 99, WEEK_RATES, WEEK_ROWS), Insufficient)
    assert isinstance(check_rate("outside", None, 500, WEEK_RATES, WEEK_ROWS), Insufficient)
    assert isinstance(check_rate("null rate", 1.0, 500, [0.0], [900]), Insufficient)


@given(share=st.floats(0, 1), n=st.integers(100, 100_000), chance=st.floats(1e-9, 0.1))
def test_what_independent_rows_would_do_by_chance_is_no_fault(share: float, n: int, chance: float) -> None:
    """Share ** n, in logarithms: it would underflow."""
    found = check_constant("origin", share, n, 1.0, chance=chance)
    assert isinstance(found, RuleResult)
    log_probability = n * log(share) if share > 0 else -inf
    if abs(log_probability - log(chance)) > 1e-6:
        assert found.violated == (log_probability < log(chance))


def test_rows_that_are_worth_one_are_constant_by_nature() -> None:
    weekday = check_constant("weekday", 1 / 7, 900, 1 / 900, chance=1e-6)
    assert isinstance(weekday, RuleResult)
    assert not weekday.violated
    stuck = check_constant("temp", 1 / 32, 900, 1.0, chance=1e-6)
    assert isinstance(stuck, RuleResult)
    assert stuck.violated
    assert "temp has one value in all 900 rows, usual in 3.12% of them: a fault" in stuck.reason


def test_too_few_rows_are_not_judged_constant() -> None:
    assert isinstance(check_constant("temp", 0.1, 99, 1.0), Insufficient)


def test_a_smaller_chance_allows_more() -> None:
    usual, rare = (check_rate("nulls", 0.56, 200, [0.4, 0.4], [900, 900], chance=chance) for chance in (0.01, 1e-9))
    assert isinstance(usual, RuleResult)
    assert isinstance(rare, RuleResult)
    assert usual.violated
    assert not rare.violated
    assert rare.limit == pytest.approx(0.4 + sqrt(2 * log(1e9) * 0.24 / 200))


volumes = st.lists(st.integers(0, 1_000_000), min_size=VOLUME_WINDOWS, max_size=60)


def volume(n: int, reference: list[int], chance: float = 1e-6) -> RuleResult:
    found = check_volume(n, reference, chance=chance)
    assert isinstance(found, RuleResult)
    return found


@given(reference=volumes, chance=st.floats(1e-12, 0.1))
def test_no_window_of_the_reference_has_too_few_rows_or_too_many(reference: list[int], chance: float) -> None:
    assert not any(volume(n, reference, chance).violated for n in reference)
    assert [volume(n, reference[::-1]) for n in reference] == [volume(n, reference) for n in reference]


@given(reference=volumes, n=st.integers(0, 2_000_000))
def test_a_volume_as_usual_violates_nothing_and_the_reference_s_own_are_usual(reference: list[int], n: int) -> None:
    assert all(usual_volume(rows, reference) for rows in reference)
    assert not (usual_volume(n, reference) and volume(n, reference).violated)
    full = [1_000 + rows for rows in reference]
    assert not usual_volume(2 * max(full), full), "a reference of every second row"


@given(reference=volumes, n=st.integers(0, 10_000_000), more=st.integers(0, 1_000_000))
def test_what_is_further_from_the_references_rows_is_no_better(reference: list[int], n: int, more: int) -> None:
    if n > max(reference) and volume(n, reference).violated:
        assert volume(n + more, reference).violated
    if n < min(reference) and volume(n, reference).violated:
        assert volume(max(0, n - more), reference).violated


def test_half_of_the_least_is_too_few_and_twice_the_most_too_many_beyond_sampling() -> None:
    usual = [1_000, 1_050, *[2_000] * 20, 3_900, 4_000]
    assert [volume(n, usual).violated for n in (360, 420, 8_200, 9_000)] == [True, False, False, True]
    assert volume(360, usual).limit == pytest.approx(500 - sqrt(2 * log(1e6) * 500))
    assert volume(9_000, usual).limit == pytest.approx(8_000 + sqrt(2 * log(1e6) * 8_000))
    assert not volume(0, [0, *usual]).violated, "empty windows are usual"
    assert not volume(60, [100, 900, *usual]).violated, "once it had a ninth of all others"


def test_a_short_reference_does_not_know_how_many_rows_are_usual() -> None:
    assert isinstance(check_volume(0, [1_000] * (VOLUME_WINDOWS - 1)), Insufficient)
