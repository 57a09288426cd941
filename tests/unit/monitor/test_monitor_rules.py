"""Owner's rules at the ticks: runs, missing data, their condition; and every stored number can be asked for."""

import monitor_world as world
import pytest

from schemas import rules as grammar
from schemas.partials import PartialMessage
from schemas.spec import AlertSpec
from streams.monitor.close import Metric
from streams.monitor.core import ModelMonitor, Tick
from streams.monitor.generations import Generation, Generations
from streams.monitor.held import Held
from streams.monitor.rules import judge
from streams.monitor.state import RuleRun

DAY = world.DAY
DAYS = 10
STREAM = world.in_turn(world.stream(DAYS, faults=world.Faults(nulls=[3], bad=[5, 6])))
REVISED = {("quality", "late"), ("quality", "duplicate")}


def run(messages: list[PartialMessage], *rules: str, min_rows: int = 50) -> list[Tick]:
    alerts = AlertSpec(rules=rules, labelled_loss=False, min_rows=min_rows)
    generations = Generations.of([world.record(of=world.meaning(world.reference()), alerts=alerts)])
    monitor, ticks = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2)), []
    for message in messages:
        monitor.apply(message)
        while (start := monitor.due(generations)) is not None:
            ticks.append(monitor.tick(start, generations))
    return ticks


def broken(ticks: list[Tick]) -> list[tuple[int, str]]:
    """(day, rule) of every day on which a rule's condition was seen anew."""
    found = []
    for tick in ticks:
        for condition in tick.report.incident.conditions if tick.report.incident else []:
            day = (tick.report.window_start - world.START) // DAY
            held_now = condition.last in (tick.report.window_start, tick.report.window_start - DAY)
            if condition.kind == "rule" and held_now and tick.report.incident.updated == tick.report.at:  # type: ignore[union-attr]
                found.append((day, condition.key))
    return found


def test_a_rule_pages_when_it_is_broken_for_as_many_windows_as_it_says() -> None:
    auc = "labelled.auc < 0.5 for 2 windows"
    ticks = run(world.in_turn(world.stream(DAYS, faults=world.Faults(bad=[5, 6]))), auc)
    (opened,) = [t.report.incident for t in ticks if t.report.incident and t.report.incident.opened == t.report.at]
    # The windows of days 5 and 6 are bad; the second is tested when day 7 closes.
    assert opened.opened == world.START + 8 * DAY
    (condition,) = opened.conditions
    assert (condition.kind, condition.metric, condition.version) == ("rule", "labelled.auc", "1")
    assert (condition.since, condition.last) == (world.START + 5 * DAY, world.START + 6 * DAY)
    assert condition.text == (
        f"your rule 'labelled.auc < 0.5 for 2 windows' is broken: labelled.auc of version 1 is {condition.value:.6g}, "
        "in 2 windows in a row; 140 rows in the newest window"
    )
    assert opened.summary == f"your rule: labelled.auc is {condition.value:.4g} (< 0.5 for 2 windows)"
    assert "It asked for no retraining because of this: only the labelled loss asks for one." in opened.text


def test_one_window_of_every_view() -> None:
    temp, counted, slow = "feature.temp.null_rate > 0.2", "quality.counted < 161", "latency.p99 > 1e6"
    assert (3, f"rule/{temp}") in broken(run(STREAM, temp))
    assert {day for day, _ in broken(run(STREAM, counted))} == set(range(DAYS))
    assert broken(run(STREAM, slow)) == []
    assert broken(run(STREAM, "score.mean > 0.6"))
    assert broken(run(STREAM, "labelled.coverage < 0.9"))
    assert broken(run(STREAM, "estimate.recall < 0.99"))
    assert broken(run(STREAM, "quality.counted < 1 [origin=LGA]")), "no row of a segment is a number: 0"
    assert broken(run(STREAM, "feature.temp.null_rate > 0.2 [origin=EWR]", min_rows=20))
    assert broken(run(STREAM, "labelled.log_loss > 0.1 [origin=JFK]"))


NULLS = "feature.temp.null_rate > 0.2 for 2 windows"


def number(start: int, value: float | None) -> Metric:
    return Metric(1, start, "feature", "", "", "temp", "null_rate", value, 160)


def test_missing_data_neither_starts_nor_ends_a_run() -> None:
    generation = Generation.of(world.record(alerts=AlertSpec(rules=(NULLS,))))
    runs: dict[str, RuleRun] = {}
    seen = []
    for day, value in enumerate([None, 0.5, None, 0.4, None, 0.1, 0.3]):
        metrics = [] if day == 4 else [number(day * DAY, value)]
        runs, found = judge(
            runs, generation, metrics, window=day * DAY, served=None, mature=(day - 1) * DAY, tested_by=None
        )
        windows = runs[NULLS].windows if runs else 0
        seen.append((windows, len(found.active), len(found.unknown)))
    assert seen == [(0, 0, 1), (1, 0, 0), (1, 0, 1), (2, 1, 0), (2, 0, 1), (0, 0, 0), (1, 0, 0)]


def test_a_rule_that_is_gone_is_forgotten() -> None:
    generation = Generation.of(world.record())
    runs = {NULLS: RuleRun(0, 0, 1, 0.5, 100, "")}
    after, found = judge(runs, generation, [], window=0, served=None, mature=0, tested_by=None)
    assert (after, found.active, found.unknown) == ({}, (), frozenset())


def test_every_number_that_is_settled_once_can_be_asked_for_and_nothing_else() -> None:
    known = grammar.metrics("binary", [("temp", "number"), ("origin", "string")])
    stored: dict[str, bool] = {}
    for metric in (m for tick in run(STREAM) for m in tick.metrics if m.view != "performance"):
        if (metric.view, metric.metric) in REVISED:
            continue
        view = "labelled" if metric.view == "tested" else metric.view
        path = ".".join(part for part in (view, metric.name, metric.metric) if part)
        stored[path] = stored.get(path, False) or metric.segment != ""
    assert stored.keys() == known.keys() - {grammar.COVERAGE}
    assert {path for path, by_segment in stored.items() if by_segment} <= {path for path in known if known[path]}


def test_the_segments_that_break_a_rule_by_themselves_are_named() -> None:
    stream = world.in_turn(world.stream(4, faults=world.Faults(nulls=[3], nulls_of="JFK")))
    tick = run(stream, "feature.temp.null_rate > 0.2")[-1]
    assert tick.report.incident is not None
    (where,) = [c.where for c in tick.report.incident.conditions if c.kind == "rule"]
    assert where == "broken in 1 of 2 segments with enough rows: origin=JFK (0.5211, 71 rows)"
    tick = run(stream, "feature.temp.mean < 1000")[-1]
    assert tick.report.incident is not None
    assert "broken in 2 of 2 segments with enough rows: origin=" in tick.report.incident.text
    tick = run(stream, "quality.counted > 100")[-1]
    assert tick.report.incident is not None
    assert "broken in none of 2 segments with enough rows by itself" in tick.report.incident.text


@pytest.mark.parametrize("rule", ["labelled.auc < 0.5", "labelled.auc > 0.5"])
def test_a_shadow_breaks_no_rule(rule: str) -> None:
    """Version 2 serves; its numbers count, whatever the name of the shadow."""
    ticks = run(world.in_turn(world.stream(4, versions=("2", "1"))), rule)
    versions = {c.version for t in ticks if t.report.incident for c in t.report.incident.conditions}
    assert versions <= {"2"}
