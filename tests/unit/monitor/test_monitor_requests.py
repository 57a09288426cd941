"""When a retraining is asked for: causes, cooldown, budget, and ids that are functions of the cause."""

from datetime import timedelta
from typing import Any

import monitor_world as world
import pytest

from schemas.lifecycle import Condition, Incident, Request
from schemas.spec import RetrainingSpec
from streams.monitor.conditions import Findings
from streams.monitor.generations import Generation
from streams.monitor.held import Mark
from streams.monitor.requests import ask
from streams.monitor.state import Asked, State

DAY = world.DAY
NOTHING = Findings((), frozenset())
LOSS = Condition("labelled_loss/1", "labelled_loss", "1", "", "", "log_loss", 0.9, 0.6, 0, 0, "log-loss rose")
INCIDENT = Incident("incident-x", "default", "flights", 0, 0, "open", [LOSS])
HURT = Findings((LOSS,), frozenset())
MARKS = {0: Mark(7, 10, (70, 7)), 1: Mark(9, 10, (90, 9))}


def generation(*, with_reference: bool = True, **changes: Any) -> Generation:
    days = {name: timedelta(days=value) for name, value in changes.items() if name != "budget"}
    given: dict[str, Any] = {
        "collect": timedelta(days=4),
        "schedule": timedelta(days=8),
        "cooldown": timedelta(days=3),
        "holdout": timedelta(days=2),
        "history": timedelta(days=30),
    }
    retraining = RetrainingSpec(**(given | days | {k: v for k, v in changes.items() if k == "budget"}))
    return Generation.of(world.record(with_reference=with_reference, retraining=retraining))


def days(
    of: Generation, count: int, *, hurt: frozenset[int] = frozenset(), state: State | None = None
) -> list[Request]:
    """The requests of ``count`` days, of which ``hurt`` have a labelled loss above the band."""
    state = state or State(first=0, at=0)
    made = []
    for day in range(1, count + 1):
        found, incident = (HURT, INCIDENT) if day in hurt else (NOTHING, None)
        request, state = ask(
            state, of, found=found, incident=incident, marks=MARKS, namespace="default", model="flights", at=day * DAY
        )
        if request:
            made.append(request)
    return made


def when(requests: list[Request]) -> list[tuple[str, int]]:
    return [(request.reason, request.at // DAY) for request in requests]


def test_bootstrap_comes_when_enough_was_collected() -> None:
    made = days(generation(with_reference=False), 6)
    assert when(made) == [("bootstrap", 4)]
    assert made[0].holdout_from == made[0].at
    assert made[0].history_from == 0


def test_a_bootstrap_that_failed_is_asked_for_again_after_each_cooldown() -> None:
    made = days(generation(with_reference=False), 11)
    assert when(made) == [("bootstrap", 4), ("bootstrap", 7), ("bootstrap", 10)]
    assert [request.ordinal for request in made] == [1, 2, 3]
    assert len({request.id for request in made}) == 3


def test_the_answer_to_a_bootstrap_is_waited_for_however_short_the_cooldown() -> None:
    made = days(generation(with_reference=False, cooldown=0, candidate_delay=2), 10)
    assert when(made) == [("bootstrap", 4), ("bootstrap", 7), ("bootstrap", 10)]


def test_a_bootstrap_that_succeeded_is_the_last() -> None:
    state = State(first=0, at=0, asked=1, recent=[Asked("request-x", 4 * DAY)])
    assert when(days(generation(), 12, state=state)) == [("schedule", 12)]


def test_without_a_reference_no_schedule_comes_before_the_bootstrap() -> None:
    assert when(days(generation(with_reference=False, collect=10, schedule=5), 16)) == [
        ("bootstrap", 10),
        ("bootstrap", 13),
        ("bootstrap", 16),
    ]


def test_schedule_counts_from_the_last_request() -> None:
    assert when(days(generation(), 17, hurt=frozenset({5}))) == [("performance", 5), ("schedule", 13)]


def test_a_second_cause_inside_the_cooldown_makes_no_request() -> None:
    assert when(days(generation(), 7, hurt=frozenset({2, 3, 4}))) == [("performance", 2)]
    assert when(days(generation(), 7, hurt=frozenset({2, 3, 4, 5}))) == [("performance", 2), ("performance", 5)]


def test_two_requests_of_one_incident_have_two_ids() -> None:
    first, second = days(generation(), 5, hurt=frozenset({2, 5}))
    assert first.cause_id == second.cause_id == INCIDENT.id
    assert first.id != second.id
    assert [first.ordinal, second.ordinal] == [1, 2]


@pytest.mark.parametrize("reference", [True, False])
def test_no_cause_ignores_the_budget(reference: bool) -> None:
    of = generation(with_reference=reference, schedule=1, cooldown=1, budget=2)
    assert len(days(of, 30, hurt=frozenset(range(30)))) == 2
    assert days(generation(with_reference=reference, budget=0), 30, hurt=frozenset(range(30))) == []


def test_the_budget_is_for_any_365_days() -> None:
    made = days(generation(schedule=100, cooldown=1, budget=3), 700)
    assert [request.at // DAY for request in made] == [100, 200, 300, 465, 565, 665]
    assert [request.ordinal for request in made] == [1, 2, 3, 4, 5, 6]


def test_a_request_says_what_the_trainer_may_use() -> None:
    (request,) = days(generation(history=3), 5, hurt=frozenset({5}))
    assert request.due == 6 * DAY
    assert request.as_of == {"0": (70, 7), "1": (90, 9)}
    assert request.history_from == 2 * DAY
    assert request.holdout_from == 3 * DAY
    assert request.evidence == "log-loss rose, since 1970-01-01T00:00:00Z"
    assert request == days(generation(history=3), 5, hurt=frozenset({5}))[0]
