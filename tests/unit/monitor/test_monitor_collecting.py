"""When a reference is asked for: once full, once more with labels, and again after an error."""

from dataclasses import replace as replace_fields
from datetime import timedelta
from typing import Any

import monitor_world as world
import pytest
from msgspec.structs import replace

from schemas.lifecycle import Incident, PerformanceWindow, Request
from schemas.models import Scale, Watch
from schemas.spec import ReferenceSpec, RetrainingSpec, WindowSpec
from streams.monitor.collecting import ask
from streams.monitor.generations import Generation
from streams.monitor.held import Mark
from streams.monitor.state import Asked, State

DAY = world.DAY
MARKS = {0: Mark(7, 10, (70, 7)), 1: Mark(9, 10, (90, 9))}
OPEN = Incident("incident-x", "default", "flights", 0, 0, "open", [])
TESTED = PerformanceWindow("1", 0, 80, 100, 0.8, "log_loss", 0.5, {"auc": 0.7}, None, None, "no reference")


def generation(*, enabled: bool = False, end: int | None = None, maturity: int = 2, **reference: Any) -> Generation:
    """Of a model that collects four days or 1,000 rows; with the reference that ends with day ``end``, if given."""
    day = timedelta(days=1)
    spec: dict[str, Any] = {"collect": 4 * day, "rows": 1_000} | reference
    record = world.record(
        with_reference=end is not None,
        retraining=RetrainingSpec(enabled=enabled),
        reference=ReferenceSpec(**spec),
        windows=WindowSpec(width=day, label_maturity=maturity * day, label_horizon=3 * day),
    )
    if end is not None and record.reference is not None:
        record = replace(record, reference=replace(record.reference, start=0, end=end * DAY))
    return Generation.of(record)


def days(
    of: Generation, until: int, *, rows: int = 100, answered: int = 99, tested: bool = True, **changes: Any
) -> list[Request]:
    """The requests of days 1 to ``until``; from day ``answered`` on the reference of the first request is in effect."""
    state = State(first=0, at=0, tested=TESTED if tested else None)
    made: list[Request] = []
    for day in range(1, until + 1):
        state = replace(state, rows=state.rows + rows)
        now = of if day < answered else generation(end=made[0].at // DAY, **changes)
        request, state = ask(state, now, marks=MARKS, namespace="default", model="flights", at=day * DAY)
        made += [request] if request else []
    return made


@pytest.mark.parametrize(("rows", "when"), [(100, 4), (250, 4), (300, 4), (500, 2), (1_000, 1)])
def test_whichever_is_full_first(rows: int, when: int) -> None:
    (asked,) = days(generation(), 7, rows=rows, answered=when + 1, tested=False)
    assert (asked.reason, asked.at // DAY, asked.history_from, asked.holdout_from) == ("reference", when, 0, when * DAY)
    assert asked.due == asked.at, "nothing is trained, so no time is charged"
    assert asked.as_of == {"0": (70, 7), "1": (90, 9)}
    assert asked.evidence == f"{rows * when} predictions since 1970-01-01T00:00:00Z, and no reference yet"


def test_the_same_rows_again_when_their_labels_are_mature() -> None:
    first, second = days(generation(), 20, answered=5)
    assert (first.at // DAY, second.at // DAY) == (4, 6)
    assert (second.history_from, second.holdout_from) == (first.history_from, first.holdout_from)
    assert [first.ordinal, second.ordinal] == [1, 2]
    assert first.id != second.id


def test_the_labels_are_asked_for_also_when_the_first_reference_takes_effect_late() -> None:
    assert [asked.at // DAY for asked in days(generation(), 20, answered=8)] == [4, 8]


def test_labels_that_were_there_the_first_time_are_not_asked_for_again() -> None:
    assert len(days(generation(maturity=0), 20, answered=5, maturity=0)) == 1


def calibrating(until: int, *, incident: int = 0, scales: bool = False, **reference: Any) -> list[Request]:
    """Requests of days 5 to ``until`` after one on day 4; something is wrong up to day ``incident``."""
    now = generation(end=4, maturity=0, **reference)
    if now.reference is not None:
        change = Watch("loss", "change", scales=[Scale("change", 0.1, [0.0], 1.0, [0.5])] if scales else [])
        now = replace_fields(now, reference=replace(now.reference, watched=[change]))
    state = State(first=0, at=4 * DAY, asked=1, recent=[Asked("a", 4 * DAY, "reference", 1)])
    made: list[Request] = []
    for day in range(5, until + 1):
        state = replace(state, incident=OPEN if day <= incident else None)
        request, state = ask(state, now, marks=MARKS, namespace="default", model="flights", at=day * DAY)
        made += [request] if request else []
    return made


def test_a_week_of_days_becomes_four_weeks_by_which_evidence_can_be_calibrated() -> None:
    (asked,) = calibrating(90)
    assert (asked.at // DAY, asked.history_from, asked.holdout_from) == (28, 0, 28 * DAY)
    assert "too short to calibrate evidence by" in asked.evidence


def test_what_is_calibrated_is_left_alone() -> None:
    assert calibrating(90, scales=True) == []


def test_rows_of_an_incident_are_not_asked_for_while_it_is_open() -> None:
    assert [asked.at // DAY for asked in calibrating(90, incident=33)] == [34]


@pytest.mark.parametrize(("incident", "when"), [(89, [90]), (90, []), (110, [])])
def test_rows_of_which_the_first_have_expired_are_no_better_reference(incident: int, when: list[int]) -> None:
    """Raw rows are kept for 90 days: after an incident of three months the first weeks are gone, or going."""
    assert [asked.at // DAY for asked in calibrating(130, incident=incident)] == when


def test_more_rows_end_with_a_window() -> None:
    """Of five hours: a week is no whole number of them."""
    width = timedelta(hours=5)
    record = world.record(
        retraining=RetrainingSpec(enabled=False),
        windows=WindowSpec(width=width, label_maturity=timedelta(0), label_horizon=3 * width),
    )
    assert record.reference is not None
    change = Watch("loss", "change", scales=[])
    of = Generation.of(replace(record, reference=replace(record.reference, start=0, end=DAY, watched=[change])))
    state = State(first=0, at=DAY, asked=1, recent=[Asked("a", DAY, "reference", 1)])
    ends = range(of.width, 10 * DAY, of.width)
    made = [ask(state, of, marks=MARKS, namespace="default", model="flights", at=at)[0] for at in ends]
    asked = next(request for request in made if request is not None)
    assert (asked.holdout_from, asked.holdout_from % of.width) == (34 * of.width, 0)


def test_a_long_collection_is_the_reference_that_it_says() -> None:
    (asked,) = calibrating(90, collect=timedelta(days=40))
    assert (asked.at, asked.holdout_from) == (40 * DAY, 40 * DAY)


def test_what_failed_is_asked_for_again_after_as_long_a_time() -> None:
    assert [asked.at // DAY for asked in days(generation(), 13)] == [4, 8, 12]


def test_a_reference_that_was_registered_is_left_alone() -> None:
    assert days(generation(end=3), 20) == []


def test_whoever_trains_here_gets_its_reference_with_the_first_training() -> None:
    assert days(generation(enabled=True), 20) == []


def test_the_same_state_gives_the_same_request() -> None:
    assert days(generation(), 20, answered=5) == days(generation(), 20, answered=5)
