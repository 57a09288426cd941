"""From a record on real Kafka to a ring at a channel: once, whatever is killed, and whoever else is away."""

import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import notify_world as world
import pytest
from msgspec.structs import replace
from notify_stack import Installation, installed

from compose.process import free_port
from schemas.models import TeamRecord
from schemas.spec import Metadata, Team, TeamSpec

DARK = free_port()
"""Nobody listens there."""


@pytest.fixture
def hook() -> Iterator[world.Receiver]:
    with world.receiver() as made:
        yield made


@pytest.fixture
def other() -> Iterator[world.Receiver]:
    with world.receiver() as made:
        yield made


@pytest.fixture
def installation(
    kafka: str, clickhouse_url: str, hook: world.Receiver, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    channels = {"hook": {"kind": "webhook", "url": f"{hook.url}/hook"}}
    with installed(kafka, clickhouse_url, request.node.name, tmp_path, channels) as made:
        yield made


def events(hook: world.Receiver) -> list[tuple[str, str]]:
    """(incident, event) of what a webhook got."""
    return [
        (request.body["commonLabels"]["incident"], request.body["commonAnnotations"]["event"])
        for request in hook.requests
    ]


def test_an_incident_rings_when_it_opens_grows_and_resolves_and_history_does_not(
    installation: Installation, hook: world.Receiver
) -> None:
    past = world.incident("incident-past")
    lasting = world.incident("incident-lasting")
    installation.say(past, lasting, world.later(past, state="resolved"))
    installation.start()
    world.until(lambda: len(hook.requests) == 1, what="the ring for what was open already")
    grown = world.later(lasting, world.condition("latency/p99/1", "latency"))
    installation.say(grown, grown, world.later(grown, state="resolved"))
    world.until(lambda: installation.committed() == 6, what="the commit")
    expected = [("incident-lasting", event) for event in ("opened", "updated", "resolved")]
    assert events(hook) == expected
    assert installation.deliveries() == sorted((id_, "hook", event, "delivered") for id_, event in expected)
    assert installation.stop() == 0


@pytest.mark.parametrize("point", ["before_send", "before_row", "before_commit"])
def test_a_kill_at_an_awkward_point_leaves_one_ring(
    installation: Installation, hook: world.Receiver, point: str
) -> None:
    installation.listen()
    installation.stop(signal.SIGKILL)
    installation.say(world.incident("incident-1"))
    installation.start(DIE=point)
    assert installation.process is not None
    assert installation.process.wait(60) == -signal.SIGKILL
    installation.start()
    world.until(lambda: installation.committed() == 1, 60, "the commit")
    # Between request and row nobody can know whether it was taken: the repeat carries the same key.
    assert len(hook.requests) == (2 if point == "before_row" else 1)
    assert len(set(hook.keys())) == 1
    assert installation.deliveries() == [("incident-1", "hook", "opened", "delivered")]


def test_the_outage_of_one_channel_delays_no_other_and_nothing_twice_after_a_kill(
    installation: Installation, hook: world.Receiver, other: world.Receiver
) -> None:
    other.answer = lambda _: 503
    installation.channels = dict(installation.channels) | {
        "ill": {"kind": "slack", "url": f"{other.url}/slack"},
        "dark": {"kind": "pagerduty", "url": f"http://127.0.0.1:{DARK}", "token": world.KEY},
    }
    installation.listen()
    installation.say(*(world.incident(f"incident-{n}") for n in range(5)))
    world.until(lambda: len(hook.requests) == 5, what="the rings of the channel that is well")
    assert installation.committed() == 0, "no commit passes what a channel still waits for"
    world.until(lambda: other.requests, what="an attempt at the one that is not")
    # Its place in the metadata of the commit is what a restart goes by.
    world.until(lambda: len([row for row in installation.deliveries() if row[3] == "delivered"]) == 5, what="the rows")
    installation.stop(signal.SIGKILL)
    other.answer = lambda _: 200
    installation.start()
    world.until(
        lambda: len([row for row in installation.deliveries() if row[1] == "ill" and row[3] == "delivered"]) == 5,
        60,
        "the rings of the one that came back",
    )
    assert len(hook.requests) == 5
    assert [row[2:] for row in installation.deliveries() if row[1] == "dark"] == [("opened", "retrying")]


def test_it_rings_while_clickhouse_is_away_and_writes_the_rows_when_it_is_back(
    installation: Installation, hook: world.Receiver
) -> None:
    away = f"http://127.0.0.1:{DARK}"
    installation.start(DRIFTLINE_CLICKHOUSE_URL=away)
    installation.say(world.incident("incident-1"))
    world.until(lambda: hook.requests, what="the ring")
    world.until(lambda: installation.committed() == 1, what="the commit")
    assert b"notify.clickhouse_away" in installation.log.read_bytes()
    assert installation.deliveries() == []
    installation.stop(signal.SIGKILL)
    installation.start()
    installation.say(world.incident("incident-2"))
    world.until(lambda: installation.deliveries() == [("incident-2", "hook", "opened", "delivered")], 60, "the row")
    assert events(hook) == [("incident-1", "opened"), ("incident-2", "opened")]


def test_a_team_says_who_hears_of_what_and_an_unknown_channel_takes_nobody_elses(
    installation: Installation, hook: world.Receiver, other: world.Receiver
) -> None:
    installation.channels = dict(installation.channels) | {"pager": {"kind": "webhook", "url": f"{other.url}/pager"}}
    spec = TeamSpec(channels=("pager", "nowhere"), warnings=("hook",))
    team = TeamRecord.of(Team(metadata=Metadata(name="risk"), spec=spec))
    installation.producer.produce(installation.settings.topic("teams"), msgspec.json.encode(team), team.key())
    installation.listen()
    mild = replace(world.incident("incident-1", world.condition("quality/a", severity="warning")), team="risk")
    worse = world.later(mild, world.condition("labelled_loss/1", "labelled_loss"))
    installation.say(mild, worse, world.later(worse, state="resolved"))
    world.until(lambda: installation.committed() == 3, what="the commit")
    assert [event for _, event in events(hook)] == ["opened", "updated", "resolved"]
    assert [event for _, event in events(other)] == ["updated", "resolved"]
    failed = installation.warehouse.rows(
        "SELECT event, error FROM delivery_log WHERE channel = 'nowhere' ORDER BY event"
    )
    assert [event for event, _ in failed] == ["resolved", "updated"]
    assert failed[0][1] == "no channel 'nowhere' in DRIFTLINE_CHANNELS, which has hook, pager; team risk names it"


def test_a_record_that_cannot_be_read_is_said_and_the_next_one_rings(
    installation: Installation, hook: world.Receiver
) -> None:
    installation.listen()
    installation.producer.produce(installation.settings.topic("alerts"), b"\xffnot an incident", b"k")
    installation.say(world.incident("incident-1"))
    world.until(lambda: installation.committed() == 2, what="the commit")
    assert events(hook) == [("incident-1", "opened")]
    assert f"{installation.settings.topic('alerts')}/0/0" in installation.log.read_text()
