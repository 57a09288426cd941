"""The life of an incident: what opens it, what people are told of, what resolves it."""

from typing import Any

import monitor_world as world
import pytest
from msgspec.structs import replace

from schemas.lifecycle import Condition, Incident, Severity
from streams.monitor.conditions import Findings
from streams.monitor.life import update, worst

DAY = world.DAY
NOTHING = Findings((), frozenset())


def condition(key: str = "quality/null_rate/temp", since: int = 0, severity: Severity = "warning") -> Condition:
    return Condition(key, "quality", "", "", "temp", "null_rate", 0.5, 0.02, since, since, "null rate rose", severity)


def step(incident: Incident | None, quiet: int, found: Findings, at: int) -> tuple[Any, int]:
    return update(incident, quiet, found, namespace="default", model="flights", team="on-call", at=at)


def test_one_incident_gathers_conditions_and_resolves_after_two_quiet_ticks() -> None:
    first = Findings((condition(since=DAY),), frozenset())
    opened, quiet = step(None, 0, first, 2 * DAY)
    assert (opened.state, opened.opened, len(opened.conditions)) == ("open", 2 * DAY, 1)

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


def test_people_are_told_when_it_opens_gets_worse_meets_something_new_or_resolves_and_of_nothing_else() -> None:
    temp, dewp = "quality/null_rate/temp", "quality/null_rate/dewp"
    days: list[tuple[list[Condition], bool]] = [
        ([condition(temp)], True),  # opens
        ([replace(condition(temp), value=0.4)], False),  # another value
        ([condition(temp, severity="critical")], True),
        ([condition(temp)], False),  # it never becomes less severe
        ([condition(dewp)], True),  # a new condition
        ([condition(temp), condition(dewp)], False),  # both are known
        ([], False),
        ([], True),  # resolved
    ]
    incident, quiet, told = None, 0, []
    for day, (found, _) in enumerate(days, start=1):
        incident, quiet = step(incident, quiet, Findings(tuple(found), frozenset()), day * DAY)
        told.append(incident.changed == day * DAY)
    assert told == [expected for _, expected in days]
    assert incident is not None
    assert (incident.state, incident.severity, incident.team) == ("resolved", "critical", "on-call")


def test_where_it_is_worst_is_kept_while_it_cannot_be_told_anew() -> None:
    known = replace(condition(), where="worst in origin=JFK")
    opened, quiet = step(None, 0, Findings((known,), frozenset()), DAY)
    later, _ = step(opened, quiet, Findings((condition(since=DAY),), frozenset()), 2 * DAY)
    assert later.conditions[0].where == "worst in origin=JFK"


@pytest.mark.parametrize(
    ("severities", "expected"),
    [(("warning",), "warning"), (("critical", "warning"), "critical"), (("warning", "critical"), "critical")],
)
def test_the_worst_severity_counts(severities: tuple[Severity, ...], expected: Severity) -> None:
    assert worst(*severities) == expected
