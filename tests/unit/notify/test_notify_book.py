"""What people are told of an incident, and that a log that is read again tells nothing twice."""

import notify_world as world
from msgspec.structs import replace

from streams.notify.book import Book, alert_name


def test_an_incident_opens_grows_and_resolves_once_however_often_it_is_said() -> None:
    opened = world.incident("incident-1", world.condition("quality/a", severity="warning"))
    grown = world.later(opened, world.condition("quality/b", severity="warning"))
    worse = world.later(grown, world.condition("latency/p99/1", "latency"))
    over = world.later(worse, state="resolved")
    book, told = Book(), []
    for offset, record in enumerate([opened, opened, grown, opened, grown, worse, over, worse, over]):
        if (change := book.learn(offset, record)) is not None:
            told.append((offset, change.event, change.was))
    assert told == [(0, "opened", None), (2, "updated", None), (5, "updated", "warning"), (6, "resolved", None)]
    assert book.open() == []


def test_refreshed_values_ring_nobody_and_are_what_is_shown_later() -> None:
    opened = world.incident()
    refreshed = world.later(replace(opened, summary="now it is 60%"))
    book = Book()
    assert book.learn(0, opened) is not None
    assert book.learn(1, refreshed) is None
    [change] = book.open()
    assert (change.incident.summary, change.offset) == ("now it is 60%", 1)


def test_an_incident_that_is_first_heard_of_when_it_is_over_rings_nobody() -> None:
    book = Book()
    assert book.learn(0, world.incident(state="resolved")) is None
    assert book.learn(1, world.incident()) is None


def test_whoever_was_called_hears_of_the_end() -> None:
    mild = world.incident("incident-1", world.condition(severity="warning"))
    worse = world.later(mild, world.condition("latency/p99/1", "latency"))
    book = Book()
    book.learn(0, mild)
    book.learn(1, worse)
    change = book.learn(2, world.later(worse, state="resolved"))
    assert change is not None
    assert change.severities == {"warning", "critical"}


def test_an_update_has_a_key_of_its_own_and_everything_else_has_one() -> None:
    opened = world.incident()
    first = world.later(opened, world.condition("quality/b"))
    second = world.later(first, world.condition("quality/c"))
    book = Book()
    changes = [book.learn(offset, record) for offset, record in enumerate([opened, first, second])]
    keys = {change.key("pager") for change in changes if change}
    assert len(keys) == 3
    assert book.open()[0].key("pager") in keys, "what is still open was opened once"


def test_an_alert_is_called_after_the_most_telling_thing_it_began_with() -> None:
    loss = world.condition("labelled_loss/1", "labelled_loss")
    assert alert_name(world.incident("i", world.condition(), loss)) == "ModelPerformance"
    assert alert_name(world.incident("i", world.condition("rule/1", "rule"))) == "ModelOwnRule"
    stalled = replace(world.condition("x", "dead_man"), name="MonitorStalled")
    assert alert_name(world.incident("i", stalled)) == "MonitorStalled"
