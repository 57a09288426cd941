"""What two samples are called: by a minimum that matters, by chance, and by what the first differs by in itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import two_samples
from detectors.column import sketch_codes, sketch_numbers
from detectors.distances import ks, total_variation
from detectors.quality import RuleResult, plausible_range
from detectors.sketch import Sketch
from detectors.two_samples import CHANCE, MIN_SHIFT, Baseline, Judgement, shift
from detectors.verdict import Insufficient


def now(baseline: Baseline, values: np.ndarray) -> Sketch:
    profile = baseline.profile
    if profile.kind != "number":
        return sketch_codes(values, len(profile.categories))
    low, high = plausible_range(profile.low, profile.high)
    return sketch_numbers(values, profile.edges, low=low, high=high)


def halves(rows: int) -> np.ndarray:
    return np.arange(rows) * 2 // rows


def judged(before: np.ndarray, after: np.ndarray, blocks: np.ndarray | None = None, alpha: float = CHANCE) -> Judgement:
    baseline = two_samples.number("x", before, halves(len(before)) if blocks is None else blocks)
    found = shift(baseline, now(baseline, after), alpha=alpha)
    assert isinstance(found, Judgement)
    return found


@pytest.mark.parametrize("rows", [200, 2_000, 20_000])
def test_a_source_that_is_at_the_minimum_is_seldom_called_drift_at_any_number_of_rows(rows: int) -> None:
    rng, alpha = np.random.default_rng(rows), 0.05
    called = 0
    for _ in range(300):
        # A share of MIN_SHIFT of the rows moves beyond all others: the distance of the sources is exactly that.
        before, after = rng.random(rows), np.where(rng.random(rows) < MIN_SHIFT, 2.0, rng.random(rows))
        called += judged(before, after, alpha=alpha).word == "drift"
    assert called <= 300 * alpha


@pytest.mark.parametrize("categories", [2, 20, 200])
def test_categories_likewise(categories: int) -> None:
    rng, alpha, called = np.random.default_rng(categories), 0.05, 0
    p = rng.dirichlet(np.ones(categories))
    q = p * (1 - MIN_SHIFT)
    q[0] += MIN_SHIFT
    names = [f"c{place}" for place in range(categories)]
    for _ in range(200):
        before, after = (rng.choice(categories, 2_000, p=share) for share in (p, q))
        baseline = two_samples.categories("x", before, halves(2_000), names)
        found = shift(baseline, now(baseline, after), alpha=alpha)
        assert isinstance(found, Judgement)
        called += found.word == "drift"
    assert called <= 200 * alpha


def test_a_tiny_change_of_a_million_rows_is_no_drift_and_a_twice_the_minimum_is() -> None:
    rng = np.random.default_rng(1)
    before = rng.random(1_000_000)
    found = judged(before, np.where(rng.random(1_000_000) < 0.8 * MIN_SHIFT, 2.0, rng.random(1_000_000)))
    assert (found.word, found.reason) == ("as before", "too small to matter")
    assert found.chance < 0.01  # it is significant without any doubt
    assert judged(before, np.where(rng.random(1_000_000) < 2 * MIN_SHIFT, 2.0, rng.random(1_000_000))).word == "drift"


def test_what_the_reference_s_own_blocks_differ_by_is_not_called_drift() -> None:
    rng = np.random.default_rng(2)
    days = np.repeat(np.arange(20), 500)
    weather = rng.normal(0, 0.5, 20)  # every day has its own level
    before = weather[days] + rng.normal(0, 1, len(days))
    found = judged(before, 0.4 + rng.normal(0, 1, 500), days)
    assert found.word == "as before"
    assert found.variable
    assert found.reason == "the reference's own blocks differ as much"
    assert judged(before, 8 + rng.normal(0, 1, 500), days).word == "drift"
    assert not judged(rng.normal(0, 1, len(days)), rng.normal(0, 1, 500), days).variable


@given(st.integers(0, 99))
def test_too_few_rows_are_no_verdict(rows: int) -> None:
    baseline = two_samples.number("x", np.arange(500.0), halves(500))
    assert isinstance(shift(baseline, now(baseline, np.full(rows, 1e9)), alpha=CHANCE), Insufficient)
    small = two_samples.number("x", np.arange(float(rows)), np.zeros(rows, int))
    assert small.usual is None
    assert isinstance(shift(small, now(small, np.arange(500.0)), alpha=CHANCE), Insufficient)


@given(
    counts=st.lists(st.lists(st.integers(100, 500), min_size=3, max_size=3), min_size=2, max_size=6),
    order=st.randoms(),
)
def test_the_order_of_blocks_changes_nothing(counts: list[list[int]], order: object) -> None:
    table = np.array(counts)
    shuffled = np.array(sorted(counts, key=lambda _: order.random()))  # type: ignore[attr-defined]
    for distance, chance in ((ks, two_samples.chance_of_ks), (total_variation, two_samples.chance_of_variation)):
        assert two_samples.usual(table, distance, chance) == two_samples.usual(shuffled, distance, chance)


def test_hard_rules_see_what_is_gone_what_came_and_what_nobody_knew() -> None:
    before = np.where(np.arange(1000) % 2 == 0, np.nan, np.arange(1000) / 1000)
    baseline = two_samples.number("x", before, halves(1000))
    for quantity, after in (
        ("missing", np.full(500, np.nan)),
        ("filled", np.full(500, 0.5)),
        ("outside", np.full(500, 50.0)),
    ):
        found = two_samples.rates(baseline, now(baseline, after))
        violated = {name for name, rule in found.items() if isinstance(rule, RuleResult) and rule.violated}
        assert quantity in violated, quantity
    known = two_samples.categories("c", np.arange(1000) % 3, halves(1000), ["a", "b", "c"])
    rule = two_samples.rates(known, now(known, np.full(500, 3)))["unseen"]
    assert isinstance(rule, RuleResult)
    assert rule.violated
    assert "filled" not in two_samples.rates(known, now(known, np.zeros(500, int)))


def test_a_loss_must_rise_by_what_matters_by_more_than_chance_and_beyond_its_blocks() -> None:
    rng = np.random.default_rng(3)
    before, blocks = rng.exponential(1.0, 8_000), np.arange(8_000) * 8 // 8_000

    def of(after: np.ndarray, high: float | None = None) -> Judgement:
        found = two_samples.worse(before, blocks, after, alpha=CHANCE, minimum=0.05, high=high)
        assert isinstance(found, Judgement)
        return found

    assert of(rng.exponential(1.5, 8_000)).word == "drift"
    assert of(rng.exponential(1.5, 8_000), high=2.0).word == "as before"
    assert of(rng.exponential(0.5, 8_000)).word == "as before"  # better
    assert of(rng.exponential(1.03, 1_000_000)).reason == "too small to matter"
    assert isinstance(
        two_samples.worse(before[:99], blocks[:99], before, alpha=CHANCE, minimum=0.05, high=None), Insufficient
    )
