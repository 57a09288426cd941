"""Pages by evidence, through the whole decision clock: silence, one page, the latch, and the same after any restart."""

from collections.abc import Iterable
from typing import Any

import monitor_world as world
import pytest
from msgspec.structs import replace

from schemas.ids import canonical_json
from schemas.lifecycle import Report, StreamReport
from schemas.models import ModelRecord, Reference
from schemas.partials import PartialMessage
from schemas.spec import AlertSpec, RetrainingSpec
from streams.monitor import state as states
from streams.monitor.core import ModelMonitor
from streams.monitor.generations import Generations
from streams.monitor.held import Held
from streams.monitor.state import State

DAYS = 30
REFERENCE = world.calibrated()
QUIET: dict[str, Any] = {"alerts": AlertSpec(min_rows=50), "retraining": RetrainingSpec(enabled=False)}


def record(of: Reference = REFERENCE, number: int = 1, start: int = 0) -> ModelRecord:
    return world.record(number, of=of, effective_from=start, **QUIET)


def run(
    faults: world.Faults | None = None,
    *,
    days: int = DAYS,
    records: Iterable[ModelRecord] = (),
    restarts: bool = False,
    pages: float = 1.0,
    versions: tuple[str, ...] = ("1",),
) -> tuple[list[Report], State]:
    """The reports of ``days``; ``restarts``: the state goes through JSON after every tick, as through the table."""
    generations = Generations(Generations.of(records or [record()]).ordered, pages)
    messages = world.stream(days, faults=faults, of=REFERENCE, versions=versions)
    return world.decided(messages, generations, partitions=2, restarts=restarts)


def rings(reports: Iterable[Report]) -> int:
    """How often people are told."""
    return sum(r.incident is not None and r.incident.changed == r.at for r in reports)


def stream(report: Report, name: str) -> StreamReport:
    return next(found for found in report.streams if found.stream == name)


def day(number: int) -> int:
    return world.START + number * world.DAY


def test_thirty_days_of_no_change_page_nobody() -> None:
    reports, _ = run()
    assert world.opened(reports) == []
    assert {report.claim for report in reports} == {"within budget on held-out reference"}
    loss = stream(reports[-1], "loss")
    assert 0 < loss.evidence < (loss.threshold or 0)
    assert loss.threshold == pytest.approx(30 / 0.45), "windows a month / pages a month / weight"


def test_a_loss_that_rose_is_one_page_that_says_what_since_when_and_how_sure() -> None:
    reports, _ = run(world.Faults(bad=range(15, DAYS)))
    (incident,) = world.opened(reports)
    assert rings(reports) == 1, "a stream that has paged is silent while it lasts"
    (condition,) = incident.conditions
    assert (condition.key, condition.kind, condition.severity) == ("labelled_loss/1", "labelled_loss", "critical")
    assert condition.since == day(15)
    assert incident.opened <= day(15 + 7), "five windows, whose labels are mature a day later"
    assert "since 1972-10-12 00:00 UTC" in incident.text
    assert "95% confidence sequence" in condition.text
    assert "descriptive: these windows were chosen by what they showed" in condition.text
    assert "at which it pages (by a budget of 1 a month for false pages of this model)" in condition.text
    assert "False pages: within budget on held-out reference; the budget is 1 a month." in incident.text
    assert stream(reports[-1], "loss").latched
    assert reports[-1].incident is not None
    assert reports[-1].incident.state == "open"


def test_a_feature_that_moved_waits_for_the_morning() -> None:
    reports, _ = run(world.Faults(warm=range(15, DAYS)))
    (incident,) = world.opened(reports)
    (condition,) = incident.conditions
    assert (condition.key, condition.kind, condition.severity) == ("drift/temp", "drift", "warning")
    assert condition.since == day(15)
    assert condition.value > condition.limit
    assert condition.summary.startswith("temp: on average 12.75, usually 9.989")
    assert rings(reports) == 1


def test_a_feature_that_stands_still_pages_in_one_window() -> None:
    reports, _ = run(world.Faults(stuck=[20]))
    (incident,) = world.opened(reports)
    (condition,) = incident.conditions
    assert (condition.key, condition.since, condition.severity) == ("quality/constant/temp", day(20), "critical")
    assert incident.opened == day(21)
    assert condition.summary == "temp has the same value in every row"
    assert condition.text.startswith("temp has the same value in all 160 rows with a value; in the reference 3.")


def test_what_stands_still_by_nature_never_pages() -> None:
    """Rows of a day that are worth one: the weekday of a day, for instance."""
    by_nature = [replace(watch, effective_rows=1.0, variable=True) for watch in REFERENCE.watched]
    reports, _ = run(world.Faults(stuck=[20]), records=[record(replace(REFERENCE, watched=by_nature))])
    assert world.opened(reports) == []


def test_when_the_windows_are_quiet_again_it_resolves_and_the_stream_may_page_again() -> None:
    reports, state = run(world.Faults(warm=[*range(5, 12), *range(20, DAYS)]))
    first, second = world.opened(reports)
    assert first.opened < day(12) < second.opened
    assert second.conditions[0].since == day(20), "evidence begins anew, it does not go on from the first page"
    assert [r.incident.state for r in reports if r.incident and r.incident.updated == r.at].count("resolved") == 1
    assert state.watched["feature.temp"].evidence["alarms"] == 2


def test_a_state_that_goes_through_json_after_every_tick_decides_the_same() -> None:
    faults = world.Faults(bad=range(15, 22), warm=[*range(5, 12), *range(20, DAYS)])
    reports, state = run(faults)
    again, later = run(faults, restarts=True)
    assert [canonical_json(report) for report in again] == [canonical_json(report) for report in reports]
    assert states.encode(later) == states.encode(state)
    assert world.opened(reports)


def test_another_reference_begins_anew_and_the_same_one_goes_on() -> None:
    faults = world.Faults(bad=range(5, DAYS))
    plain, _ = run(faults)
    other = replace(REFERENCE, watched=[replace(watch, windows=watch.windows + 1) for watch in REFERENCE.watched])
    reports, state = run(faults, records=[record(), record(other, 2, day(15))])
    assert [stream(r, "loss").latched for r in reports if r.at == day(16)] == [True], "windows of before are tested yet"
    fresh = next(r for r in reports if r.at > day(16))
    assert not stream(fresh, "loss").latched
    assert stream(reports[-1], "loss").latched, "what a re-baseline did not mend pages again"
    assert state.watched["loss"].evidence["n"] == stream_windows(reports, fresh.at)
    same, _ = run(faults, records=[record(), record(number=2, start=day(15))])
    assert [stream(r, "loss") for r in same] == [stream(r, "loss") for r in plain]


def stream_windows(reports: Iterable[Report], since: int) -> int:
    """Windows from ``since`` on that the loss was watched in until it paged."""
    return 1 + sum(not stream(report, "loss").latched for report in reports if report.at >= since)


def test_the_loss_is_that_of_the_version_that_served() -> None:
    _, state = run(world.Faults(bad=range(15, DAYS)), versions=("2", "1"))
    assert state.watched["loss"].version == "2"


def test_a_larger_budget_pages_sooner_and_none_never() -> None:
    faults = world.Faults(bad=range(15, DAYS))
    (one,) = world.opened(run(faults)[0])
    many = world.opened(run(faults, pages=10.0)[0])
    assert many[-1].opened < one.opened
    reports, state = run(faults, pages=0.0)
    assert world.opened(reports) == []
    assert {stream(report, "loss").threshold for report in reports} == {None}
    assert state.watched == {}
    assert {report.claim for report in reports} == {"not enough data"}


@pytest.mark.parametrize("known", [[], ["feature.temp"]])
def test_where_a_reference_is_too_small_for_evidence_the_band_pages_and_nothing_is_claimed(known: list[str]) -> None:
    """Also where other streams could claim: the band pages beside them, outside of any budget."""
    watched = [
        watch if watch.stream in known else replace(watch, scales=[], insufficient="the reference has 10 windows")
        for watch in REFERENCE.watched
    ]
    small = record(replace(REFERENCE, watched=watched))
    reports, state = run(world.Faults(bad=range(15, DAYS)), records=[small])
    assert [incident.conditions[0].kind for incident in world.opened(reports)] == ["labelled_loss"]
    assert {report.claim for report in reports} == {"not enough data"}
    assert stream(reports[-1], "loss").reason == "the reference has 10 windows"
    assert list(state.watched) == known


def test_a_window_without_enough_rows_is_no_observation_and_resolves_nothing() -> None:
    """The labels stop coming: nobody knows any more, so the stream neither steps nor is it quiet."""
    generations = Generations.of([record()])
    monitor = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2))
    messages = world.in_turn(world.stream(DAYS, faults=world.Faults(bad=range(5, DAYS)), of=REFERENCE))
    unlabelled = [m for m in messages if m.seq <= 26] + [without_labels(m) for m in messages if m.seq > 26]
    reports = []
    for message in unlabelled:
        monitor.apply(message)
        while (start := monitor.due(generations)) is not None:
            reports.append(monitor.tick(start, generations).report)
    assert reports[-1].at == day(DAYS)
    assert reports[-1].incident is not None
    assert reports[-1].incident.state == "open"
    assert "too few rows to tell now" in reports[-1].incident.text
    assert monitor.state is not None
    assert monitor.state.watched["loss"].evidence["n"] < 15


def without_labels(message: PartialMessage) -> PartialMessage:
    return replace(message, sketches=[s for s in message.sketches if s.view not in ("matured", "overdue")])


def test_a_band_that_was_left_asks_for_a_training_and_calls_nobody() -> None:
    """A window above the band is grounds for a retraining, and not yet evidence for a page."""
    spec: dict[str, Any] = {
        "retraining": RetrainingSpec(schedule=None),
        "alerts": AlertSpec(min_rows=50, consecutive=1),
    }
    reports, _ = run(world.Faults(bad=[15]), records=[world.record(of=REFERENCE, **spec)])
    assert world.opened(reports) == []
    (request,) = [request for report in reports for request in report.requests]
    assert request.reason == "performance"
    assert request.cause_id.startswith("performance-")
    assert "above their band" in request.evidence
