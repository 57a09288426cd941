"""Three rules that page."""

import monitor_world as world
import pytest

from schemas.lifecycle import PerformanceWindow
from schemas.spec import AlertSpec
from streams.monitor.conditions import advance, find
from streams.monitor.generations import Generation
from streams.monitor.held import Held
from streams.monitor.labelled import band
from streams.monitor.state import Run

DAY = world.DAY
GENERATION = Generation.of(world.record())


def held(faults: world.Faults, days: int = 1) -> Held:
    found = Held(2)
    for message in world.in_turn(world.stream(days, faults=faults)):
        found.apply(message)
    return found


def test_the_days_of_the_reference_raise_nothing() -> None:
    for day in range(8):
        assert find(held(world.Faults(), 8), GENERATION, world.START + day * DAY, "1", None).active == ()


def test_a_null_rate_that_the_reference_does_not_explain() -> None:
    (found,) = find(held(world.Faults(nulls=[0])), GENERATION, world.START, "1", None).active
    assert (found.key, found.kind, found.value) == ("quality/null_rate/temp", "quality", 0.5)
    assert found.summary == "temp is missing in 50.0% of rows (usually 0.0%)"
    assert found.text == (
        "temp is missing in 50.00% of 160 rows, in the reference in 0.00%; "
        f"the reference's own windows explain up to {found.limit:.2%}"
    )
    assert found.where == "about the same in all 2 segments with enough rows to tell"
    assert found.severity == "critical"


def test_the_latency_objective_is_the_champions() -> None:
    slow = held(world.Faults(slow=[0]))
    (found,) = find(slow, GENERATION, world.START, "1", None).active
    assert (found.key, found.limit) == ("latency/p99/1", 100.0)
    assert "above the owner's objective of 100 ms" in found.text
    assert find(slow, GENERATION, world.START, None, None).active == ()


def test_too_little_data_is_unknown_and_not_a_pass() -> None:
    generation = Generation.of(world.record(alerts=AlertSpec(min_rows=1000, latency_p99_ms=1.0)))
    found = find(held(world.Faults(nulls=[0], slow=[0])), generation, world.START, "1", None)
    assert found.active == ()
    assert {"quality/null_rate/temp", "quality/unseen_share/origin", "latency/p99/1"} <= found.unknown


def window(start: int, log_loss: float | None, verdict: str = "outside", version: str = "1") -> PerformanceWindow:
    numbers = {"log_loss": log_loss, "brier": 0.2, "auc": 0.6}
    return PerformanceWindow(version, start, 140, 160, 0.875, "log_loss", log_loss, numbers, 0.4, 0.6, verdict)  # type: ignore[arg-type]


def test_a_run_counts_windows_above_the_band_in_a_row() -> None:
    run = advance(None, window(0, 0.9), GENERATION)
    run = advance(run, window(DAY, 0.8), GENERATION)
    assert run is not None
    assert (run.windows, run.since, run.last, run.value) == (2, 0, DAY, 0.8)
    assert advance(run, window(2 * DAY, None, "insufficient"), GENERATION) == run
    assert advance(run, None, GENERATION) == run
    assert advance(run, window(2 * DAY, 0.5, "inside"), GENERATION) is None
    normal = band(GENERATION)
    assert normal is not None
    assert advance(run, window(2 * DAY, normal.low - 0.01), GENERATION) is None
    other = advance(run, window(2 * DAY, 0.9, version="2"), GENERATION)
    assert other is not None
    assert (other.windows, other.since) == (1, 2 * DAY)


@pytest.mark.parametrize(("windows", "expected"), [(1, 0), (2, 1), (3, 1)])
def test_labelled_loss_is_raised_after_consecutive_windows(windows: int, expected: int) -> None:
    run = Run("1", 0, world.START - GENERATION.maturity, windows, 0.9, 0.6, 0.5)
    found = find(held(world.Faults()), GENERATION, world.START, "1", run).active
    assert len(found) == expected
    assert all(c.kind == "labelled_loss" and c.since == 0 and "0.5000" in c.text for c in found)


@pytest.mark.parametrize(("since", "active"), [(0, True), (3, True), (4, False), (400, False)])
def test_a_run_without_news_asks_for_nothing_after_three_windows_and_ends_nothing(since: int, active: bool) -> None:
    run = Run("1", 0, world.START - GENERATION.maturity - since * DAY, 2, 0.9, 0.6, 0.5)
    found = find(held(world.Faults()), GENERATION, world.START, "1", run)
    assert [c.key for c in found.active] == ["labelled_loss/1"] * active
    assert ("labelled_loss/1" in found.unknown) is not active


@pytest.mark.parametrize(("gap", "windows"), [(1, 3), (3, 3), (4, 1)])
def test_a_window_long_after_a_run_begins_another(gap: int, windows: int) -> None:
    run = advance(Run("1", 0, DAY, 2, 0.9, 0.6, 0.5), window((1 + gap) * DAY, 0.9), GENERATION)
    assert run is not None
    assert (run.windows, run.since) == (windows, 0 if windows == 3 else (1 + gap) * DAY)
