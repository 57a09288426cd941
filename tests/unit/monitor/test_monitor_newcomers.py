"""Segments, and versions beside the one that leads: they page from a reserve, and take nothing from the whole."""

from collections.abc import Iterable
from typing import Any

import monitor_world as world
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from detectors import budget
from detectors.budget import Budget
from schemas.ids import canonical_json
from schemas.lifecycle import Report, StreamReport
from schemas.models import Reference, Watch
from schemas.spec import AlertSpec, RetrainingSpec
from streams.monitor import state as states
from streams.monitor.core import ModelMonitor
from streams.monitor.generations import Generation, Generations
from streams.monitor.held import Held
from streams.monitor.newcomers import AWAY, GONE, away, seated
from streams.monitor.observing import LEAST_SHARE, Observed, leading
from streams.monitor.promises import NOT_SEEN, promised
from streams.monitor.state import Newcomer, State, named

DAYS = 30
JFK = "origin=JFK"
WHOLE = world.calibrated()
LOSS, TEMP = WHOLE.watched
OF_JFK = replace(LOSS, segment=JFK)


def run(
    faults: world.Faults,
    *,
    of: Reference | None = None,
    versions: tuple[str, ...] = ("1",),
    canary: int | None = None,
    restarts: bool = False,
    retraining: RetrainingSpec | None = None,
    partitions: int = 2,
    days: int = DAYS,
) -> tuple[list[Report], State]:
    spec: dict[str, Any] = {
        "alerts": AlertSpec(min_rows=50),
        "retraining": retraining or RetrainingSpec(enabled=False),
    }
    reference = of or replace(WHOLE, watched=[*WHOLE.watched, OF_JFK])
    generations = Generations.of([world.record(of=reference, **spec)])
    messages = world.stream(days, partitions, faults=faults, of=reference, versions=versions, canary=canary)
    return world.decided(messages, generations, partitions=partitions, restarts=restarts)


def rung(reports: Iterable[Report]) -> list[tuple[int, str, list[str]]]:
    """(day, state, keys of the conditions) of each report that people are told of."""
    return [
        ((r.at - world.START) // world.DAY, r.incident.state, [c.key for c in r.incident.conditions])
        for r in reports
        if r.incident is not None and r.incident.changed == r.at
    ]


def of_loss(report: Report, segment: str = "", *, beside: bool = False) -> StreamReport:
    (found,) = [s for s in report.streams if (s.stream, s.segment, s.beside) == ("loss", segment, beside)]
    return found


def test_a_segment_that_gets_worse_alone_pages_and_the_whole_is_silent() -> None:
    reports, state = run(world.Faults(bad=range(8, DAYS), bad_of=JFK))
    (incident,) = world.opened(reports)
    (condition,) = incident.conditions
    assert (condition.key, condition.segment) == (f"labelled_loss/1 [{JFK}]", JFK)
    assert condition.since == world.START + 8 * world.DAY
    assert f"version 1 predicts worse than usual in {JFK}" in incident.summary
    assert not of_loss(reports[-1]).latched
    assert of_loss(reports[-1], JFK).latched
    assert state.newcomers == [Newcomer(JFK, "", 1, state.at)]
    whole, part = of_loss(reports[-1]).threshold, of_loss(reports[-1], JFK).threshold
    assert whole == pytest.approx(30 / budget.SHARES["loss"])
    assert part == pytest.approx(30 / budget.reserved(1)), "the loss is all that is watched of it"


def test_a_segment_that_nobody_has_seen_or_that_cannot_be_calibrated_says_so_and_never_pages() -> None:
    small = replace(OF_JFK, scales=[], insufficient="the reference has 10 windows in 10 days")
    unseen = replace(LOSS, segment="origin=LGA")
    reference = replace(WHOLE, watched=[*WHOLE.watched, small, unseen])
    reports, state = run(world.Faults(bad=range(8, DAYS), bad_of=JFK), of=reference)
    assert world.opened(reports) == []
    for segment, reason in ((JFK, small.insufficient), ("origin=LGA", NOT_SEEN)):
        found = of_loss(reports[-1], segment)
        assert (found.threshold, found.claim, found.reason) == (None, "not enough data", reason)
    assert state.newcomers == []


def test_a_feature_pages_in_a_segment_alone() -> None:
    silent = replace(TEMP, scales=[], insufficient="the reference has 10 windows")
    watched = [silent, replace(TEMP, segment=JFK)]
    reference = replace(WHOLE, watched=watched, features=WHOLE.features | {JFK: WHOLE.features[""]})
    reports, _ = run(world.Faults(warm=range(8, DAYS)), of=reference, partitions=4)
    (incident,) = world.opened(reports)
    (condition,) = incident.conditions
    assert (condition.key, condition.name, condition.severity) == (f"drift/temp [{JFK}]", "temp", "warning")
    assert condition.summary.startswith(f"temp in {JFK}: on average 1")


def test_a_version_beside_the_one_that_leads_pages_from_the_reserve_and_asks_for_no_training() -> None:
    faults = world.Faults(bad=range(10, DAYS), bad_of="2")
    trained = RetrainingSpec(schedule=None)
    reports, state = run(faults, versions=("1", "2"), canary=8, retraining=trained)
    (incident,) = world.opened(reports)
    assert [c.key for c in incident.conditions] == ["labelled_loss/2"]
    assert incident.conditions[0].since == world.START + 10 * world.DAY
    assert (of_loss(reports[-1]).version, of_loss(reports[-1]).latched) == ("1", False)
    assert (of_loss(reports[-1], beside=True).version, of_loss(reports[-1], beside=True).latched) == ("2", True)
    assert [(one.version, one.place) for one in state.newcomers] == [("", 1), ("2", 2)]
    assert [request for report in reports for request in report.requests] == []


def test_a_shadow_is_not_beside_anybody() -> None:
    reports, state = run(world.Faults(bad=range(10, DAYS), bad_of="2"), versions=("1", "2"))
    assert world.opened(reports) == []
    assert [one.version for one in state.newcomers] == [""]


def test_a_latched_loss_stays_so_when_a_canary_takes_more_than_half() -> None:
    """It used to be forgotten, and to page once more as soon as the champion led again."""
    faults = world.Faults(bad=range(5, DAYS), bad_of="1")
    reports, state = run(faults, versions=("1", "2"), canary=15)
    assert [incident.conditions[0].key for incident in world.opened(reports)] == ["labelled_loss/1"]
    assert (of_loss(reports[-1]).version, of_loss(reports[-1]).latched) == ("1", True)
    assert state.leading == "1"
    assert reports[-1].incident is not None
    assert reports[-1].incident.state == "open"


def test_a_bad_canary_that_is_rolled_back_holds_its_incident_open_for_a_week() -> None:
    faults = world.Faults(bad=range(10, DAYS), bad_of="2", away=range(16, DAYS))
    reports, state = run(faults, versions=("1", "2"), canary=8)
    (_, opened_as, keys), (day, resolved_as, _) = rung(reports)
    assert (opened_as, keys, resolved_as) == ("open", ["labelled_loss/2"], "resolved")
    assert 16 + 7 < day < 16 + 7 + 4, "a week after its last labels, and two quiet windows"
    assert state.incident is None
    assert ("2", 2) in [(one.version, one.place) for one in state.newcomers], "its place is kept for longer"


def test_a_segment_that_vanishes_while_it_is_bad_swallows_no_later_page() -> None:
    warm = [*range(30, 36), *range(50, 56)]
    faults = world.Faults(bad=range(8, 15), bad_of=JFK, away=range(15, 70), warm=warm)
    found = rung(run(faults, days=70)[0])
    assert [(state, keys) for _, state, keys in found] == [
        ("open", [f"labelled_loss/1 [{JFK}]"]),
        ("resolved", [f"labelled_loss/1 [{JFK}]"]),
        ("open", ["drift/temp"]),
        ("resolved", ["drift/temp"]),
        ("open", ["drift/temp"]),
        ("resolved", ["drift/temp"]),
    ]


def test_a_segment_that_is_closed_for_some_days_is_neither_resolved_nor_paged_again() -> None:
    faults = world.Faults(bad=range(8, DAYS), bad_of=JFK, away=range(14, 18))
    reports, _ = run(faults)
    assert [state for _, state, _ in rung(reports)] == ["open"]
    assert of_loss(reports[-1], JFK).latched


@pytest.mark.parametrize(("width", "longest"), [(3_600_000, AWAY), (world.DAY, AWAY), (AWAY, 3 * AWAY)])
def test_nobody_waits_for_who_was_not_seen_for_a_week_and_three_windows(width: int, longest: int) -> None:
    one, other = Newcomer(JFK, "", 1, 0), Newcomer("", "2", 2, 1)
    assert away([one, other], longest - 1, width) == set()
    assert away([one, other], longest, width) == {(JFK, "")}


def test_a_segment_that_follows_the_whole_rings_nobody_again() -> None:
    """One fault of all rows used to ring once more for each feature of each segment, window after window."""
    reports, _ = run(world.Faults(all_bad=range(8, DAYS)))
    assert [(state, keys) for _, state, keys in rung(reports)] == [("open", ["labelled_loss/1"])]
    assert of_loss(reports[-1], JFK).latched, "the report says where it stands"


def test_a_segment_that_was_first_stays_a_condition_when_the_whole_follows() -> None:
    faults = world.Faults(bad=range(8, 14), bad_of=JFK, all_bad=range(14, DAYS))
    reports, _ = run(faults)
    keys = ["labelled_loss/1", f"labelled_loss/1 [{JFK}]"]
    assert [(state, found) for _, state, found in rung(reports)] == [("open", keys[1:]), ("open", keys)]
    assert reports[-1].incident is not None
    assert [c.last for c in reports[-1].incident.conditions] == [world.START + (DAYS - 2) * world.DAY] * 2


def test_what_goes_on_in_a_segment_alone_keeps_the_incident_open_and_is_told() -> None:
    faults = world.Faults(all_bad=range(8, 16), bad=range(16, DAYS), bad_of=JFK)
    reports, _ = run(faults)
    found = rung(reports)
    assert [state for _, state, _ in found] == ["open", "open"]
    assert [keys for _, _, keys in found] == [["labelled_loss/1"], ["labelled_loss/1", f"labelled_loss/1 [{JFK}]"]]
    assert found[1][0] > 16


def test_a_place_is_shared_once_while_two_generations_are_in_force() -> None:
    """Labels mature by the calibrations of before, and the rest is watched by the newest."""
    before = Generation.of(world.record(1, of=replace(WHOLE, watched=[LOSS, OF_JFK])))
    watched = [LOSS, replace(LOSS, stream="latency"), TEMP, replace(TEMP, segment=JFK)]
    newest = Generation.of(world.record(2, of=replace(WHOLE, watched=watched)))
    places = [Newcomer(JFK, "", 1, 0), Newcomer("", "2", 2, 1)]
    found = promised(newest, 1.0, newcomers=places, tested=before)
    assert {promise.key for promise in found} == {
        *("loss", "latency", "feature.temp"),
        *(named("loss", JFK), named("feature.temp", JFK)),
        *(named("loss", version="2"), named("latency", version="2")),
    }
    spent = {promise.key: Budget.of_width(1.0, world.DAY).threshold / promise.threshold for promise in found}
    of_jfk, of_2 = (sum(w for key, w in spent.items() if who in key) for who in (JFK, '"2"'))
    assert of_jfk == pytest.approx(budget.reserved(1))
    assert of_2 == pytest.approx(budget.reserved(2))
    assert sum(spent.values()) <= 1
    assert {promise.calibration for promise in found if promise.watch.stream == "loss"} == {
        n for n, _ in before.watches
    }


def test_a_state_that_goes_through_json_after_every_tick_gives_the_same_places() -> None:
    faults = world.Faults(bad=range(10, DAYS), bad_of="2")
    plain, state = run(faults, versions=("1", "2"), canary=8)
    again, later = run(faults, versions=("1", "2"), canary=8, restarts=True)
    assert [canonical_json(report) for report in again] == [canonical_json(report) for report in plain]
    assert states.encode(later) == states.encode(state)


def test_what_a_team_changes_counts_from_the_next_tick_on() -> None:
    """So a tick that is repeated by somebody who knows more of the team decides the same."""
    one, ten = (Generations(Generations.of([world.record(of=WHOLE)]).ordered, pages) for pages in (1.0, 0.1))
    messages = world.in_turn(world.stream(3, of=WHOLE))

    def ticks(*known: Generations) -> list[Report]:
        monitor = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2))
        found: list[Report] = []
        for message in messages:
            monitor.apply(message)
            while (start := monitor.due(known[min(len(found), len(known) - 1)])) is not None:
                found.append(monitor.tick(start, known[min(len(found), len(known) - 1)]).report)
        return found

    assert [report.pages for report in ticks(one, ten)] == [1.0, 1.0, 0.1]
    assert canonical_json(ticks(one, one)[1]) == canonical_json(ticks(one, ten)[1])


@pytest.mark.parametrize(
    ("answers", "before", "leads"),
    [
        ({}, "1", None),
        ({"1": 10, "2": 10}, "", "1"),
        ({"1": 10, "2": 11}, "", "2"),
        ({"1": 25, "2": 75}, "1", "1"),
        ({"1": 24, "2": 76}, "1", "2"),
        ({"2": 5}, "1", "2"),
    ],
)
def test_who_leads_goes_on_with_a_quarter_of_the_answers(
    answers: dict[str, int], before: str, leads: str | None
) -> None:
    assert LEAST_SHARE == 0.25
    assert leading(answers, before) == leads


SEGMENTS = [f"origin={letter}" for letter in "ABCDEF"]
WATCHES = [LOSS, *(replace(LOSS, segment=segment) for segment in SEGMENTS)]
VERSIONS = ["1", "2", "3"]
appearances = st.lists(
    st.dictionaries(st.sampled_from([*SEGMENTS, *VERSIONS]), st.integers(1, 1_000)), min_size=1, max_size=30
)


def seen_of(rows: dict[str, int]) -> dict[str, Observed]:
    return {
        named("loss", who if who in SEGMENTS else "", "" if who in SEGMENTS else who): Observed(0, "1", 0.5, n)
        for who, n in rows.items()
    }


@given(appearances)
def test_places_are_kept_while_somebody_is_seen_and_their_weights_never_exceed_the_reserve(
    windows: list[dict[str, int]],
) -> None:
    step = GONE // 4
    places: list[Newcomer] = []
    for at, rows in enumerate(windows):
        before = {(one.segment, one.version): one.place for one in places}
        places = seated(places, {}, WATCHES, seen_of(rows), beside=VERSIONS, at=at * step)
        now = {(one.segment, one.version): one.place for one in places}
        assert len(set(now.values())) == len(now), "one place each"
        assert sum(budget.reserved(place) for place in now.values()) <= budget.SHARES["reserve"] + 1e-12
        assert {one.segment or one.version for one in places} >= set(rows)
        assert all(now[who] == place for who, place in before.items() if who in now)
        assert all(at * step - one.last < GONE for one in places)


def test_the_largest_of_those_that_come_together_are_first_and_a_free_place_is_taken_again() -> None:
    first = seated([], {}, WATCHES, seen_of({SEGMENTS[0]: 5, SEGMENTS[1]: 9, "2": 7}), beside=["2"], at=0)
    assert [one.segment or one.version for one in first] == [SEGMENTS[1], "2", SEGMENTS[0]]
    later = seated(first, {}, WATCHES, seen_of({SEGMENTS[0]: 5, SEGMENTS[2]: 1}), beside=[], at=GONE)
    assert [(one.segment, one.place) for one in later] == [(SEGMENTS[2], 1), (SEGMENTS[0], 3)]


@pytest.mark.parametrize("watch", [replace(OF_JFK, scales=[]), replace(OF_JFK, variable=True)])
def test_what_can_never_page_takes_no_place(watch: Watch) -> None:
    seen = {named("loss", JFK): Observed(0, "1", 1.0, 9)}
    assert seated([], {}, [LOSS, watch], seen, beside=[], at=0) == []


def test_who_is_latched_keeps_its_place_however_long() -> None:
    _, state = run(world.Faults(bad=range(8, DAYS), bad_of=JFK))
    long_after = state.at + 10 * GONE
    assert seated(state.newcomers, state.watched, [LOSS, OF_JFK], {}, beside=[], at=long_after) == state.newcomers
    assert seated(state.newcomers, {}, [LOSS, OF_JFK], {}, beside=[], at=long_after) == []
