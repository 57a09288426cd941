"""Three rules that page, and one incident that gathers them."""

from typing import Any

import monitor_world as world
import pytest
from msgspec.structs import replace

from schemas.lifecycle import Condition, Incident, PerformanceWindow
from schemas.spec import AlertSpec
from streams.monitor.conditions import Findings, advance, find, update
from streams.monitor.generations import Generation
from streams.monitor.held import Held
from streams.monitor.labelled import band
from streams.monitor.state import Run

DAY = world.DAY
GENERATION = Generation.of(world.record())
NOTHING = Findings((), frozenset())


def condition(key: str = "quality/null_rate/temp", since: int = 0) -> Condition:
    return Condition(key, "quality", "", "", "temp", "null_rate", 0.5, 0.02, since, since, "null rate rose")


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
    assert found.text == (
        "null rate of temp rose from 0.00% (reference) to 50.00% of 160 rows; "
        f"the reference's windows explain up to {found.limit:.2%}"
    )


def test_the_latency_objective_is_the_champions() -> None:
    slow = held(world.Faults(slow=[0]))
    (found,) = find(slow, GENERATION, world.START, "1", None).active
    assert (found.key, found.limit) == ("latency/p99/1", 100.0)
    assert "above the objective of 100.0 ms" in found.text
    assert find(slow, GENERATION, world.START, None, None).active == ()


def test_too_little_data_is_unknown_and_not_a_pass() -> None:
    generation = Generation.of(world.record(alerts=AlertSpec(min_rows=1000, latency_p99_ms=1.0)))
    found = find(held(world.Faults(nulls=[0], slow=[0])), generation, world.START, "1", None)
    assert found.active == ()
    assert {"quality/null_rate/temp", "quality/unseen_share/origin", "latency/p99/1"} <= found.unknown


def window(start: int, log_loss: float | None, verdict: str = "outside", version: str = "1") -> PerformanceWindow:
    return PerformanceWindow(version, start, 140, 160, 0.875, log_loss, 0.2, 0.6, 0.4, 0.6, verdict)  # type: ignore[arg-type]


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


def step(incident: Incident | None, quiet: int, found: Findings, at: int) -> tuple[Any, int]:
    return update(incident, quiet, found, namespace="default", model="flights", at=at)


def test_one_incident_gathers_conditions_and_resolves_after_two_quiet_ticks() -> None:
    first = Findings((condition(since=DAY),), frozenset())
    opened, quiet = step(None, 0, first, 2 * DAY)
    assert (opened.state, opened.opened, len(opened.conditions)) == ("open", 2 * DAY, 1)
    assert opened.conditions[0].text == "null rate rose, since 1970-01-02T00:00:00Z"

    both = Findings((condition("latency/p99/1", 2 * DAY), replace(condition(since=2 * DAY), value=0.7)), frozenset())
    grown, quiet = step(opened, quiet, both, 3 * DAY)
    assert grown.id == opened.id
    assert [(c.key, c.since, c.last) for c in grown.conditions] == [
        ("latency/p99/1", 2 * DAY, 2 * DAY),
        ("quality/null_rate/temp", DAY, 2 * DAY),
    ]
    same, quiet = step(grown, quiet, NOTHING, 4 * DAY)
    assert same is grown
    resolved, quiet = step(same, quiet, NOTHING, 5 * DAY)
    assert (resolved.state, resolved.updated, quiet) == ("resolved", 5 * DAY, 0)
    again, _ = step(None, 0, first, 6 * DAY)
    assert again.id != opened.id


def test_a_condition_that_comes_back_keeps_the_incident_open() -> None:
    found = Findings((condition(),), frozenset())
    incident, quiet = step(None, 0, found, DAY)
    for at in range(2, 12, 2):
        incident, quiet = step(incident, quiet, NOTHING, at * DAY)
        incident, quiet = step(incident, quiet, found, (at + 1) * DAY)
        assert (incident.state, quiet) == ("open", 0)


def test_missing_data_does_not_resolve() -> None:
    incident, quiet = step(None, 0, Findings((condition(),), frozenset()), DAY)
    silent = Findings((), frozenset({"quality/null_rate/temp"}))
    for at in range(2, 9):
        incident, quiet = step(incident, quiet, silent, at * DAY)
    assert (incident.state, quiet) == ("open", 0)
