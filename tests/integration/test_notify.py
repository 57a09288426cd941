"""From a record on real Kafka to a ring at a channel: once, whatever is killed, and whoever else is away."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import notify_world as world
import pytest
from msgspec.structs import replace
from notify_stack import Installation, installed

from schemas.models import ModelRecord, TeamRecord
from schemas.partials import PartialMessage, SketchRow, Watermarks
from schemas.spec import FeatureSpec, Metadata, Model, ModelSpec, Team, TeamSpec
from schemas.tables import INCIDENT_ACTIONS

DARK = 1
"""Nobody listens there, now or later."""


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
    dark = [("opened", "retrying")]
    world.until(lambda: [row[2:] for row in installation.deliveries() if row[1] == "dark"] == dark, what="its attempt")


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


def act(installation: Installation, incident: str, action: str, *, seconds: int = 0) -> None:
    """What ``driftline incidents`` writes down."""
    at = int(time.time() * 1000)
    until = at + seconds * 1000 if seconds else 0
    row = ("default", "flights", incident, f"action-{at}", action, "ann", "on it", until, at)
    installation.warehouse.insert(INCIDENT_ACTIONS, [row])


def test_what_outlives_its_silence_rings_then_and_an_acknowledgement_is_told(
    installation: Installation, hook: world.Receiver, other: world.Receiver
) -> None:
    installation.channels = dict(installation.channels) | {
        "pager": {"kind": "pagerduty", "url": other.url, "token": world.KEY}
    }
    installation.listen()
    act(installation, "", "silence", seconds=3600)
    opened = world.incident("incident-1")
    installation.say(opened, replace(world.incident("incident-2"), model="delays"))
    world.until(lambda: installation.committed() == 2, what="the commit")
    assert events(hook) == [("incident-2", "opened")]
    assert ("incident-1", "hook", "opened", "silenced") in installation.deliveries()
    act(installation, "", "unsilence")
    world.until(lambda: len(hook.requests) == 2, what="the ring after the silence")
    assert events(hook)[1] == ("incident-1", "opened")
    assert "silenced until now" in hook.requests[1].body["commonAnnotations"]["description"]
    act(installation, "incident-1", "ack")
    acknowledged = world.until(
        lambda: [r for r in other.requests if r.body["event_action"] == "acknowledge"], what="the acknowledgement"
    )
    assert [request.body["dedup_key"] for request in acknowledged] == ["incident-1"]
    world.until(lambda: len(hook.requests) == 3, what="the acknowledgement at the other channel")
    assert hook.requests[2].body["commonAnnotations"]["description"].startswith("Acknowledged by ann: on it")
    # A restart tells it to nobody again: rows say that it was told.
    installation.stop()
    installation.start()
    installation.say(world.later(opened, state="resolved"))
    world.until(lambda: installation.committed() == 3, what="the commit after the restart")
    assert [event for _, event in events(hook)] == ["opened", "opened", "acknowledged", "resolved"]


def heard(installation: Installation, *minutes_ago: int) -> None:
    """Stage 1 said so many minutes ago that predictions of the model came."""
    now = int(time.time() * 1000)
    topic = installation.settings.topic("partials")
    for seq, minutes in enumerate(minutes_ago, 1):
        row = SketchRow(1, "tally", "", "", 0, "predictions.counted", seq, 0, 0, [], None, None, [])
        message = PartialMessage("default", "flights", 0, seq, "owner", Watermarks(0, 0), (0, 0), [row])
        at = now - minutes * 60_000
        installation.producer.produce(topic, msgspec.json.encode(message), b"0/default/flights", timestamp=at)
    assert installation.producer.flush(30) == 0


def declare(installation: Installation) -> None:
    """The model ``default/flights``."""
    spec = ModelSpec(positive_class="late", features=(FeatureSpec(name="temp", kind="number"),))
    record = ModelRecord.first(Model(metadata=Metadata(name="flights"), spec=spec))
    topic = installation.settings.topic("models")
    installation.producer.produce(topic, msgspec.json.encode(record), record.key())
    assert installation.producer.flush(30) == 0


def test_a_model_that_fell_silent_is_told_once_and_is_where_people_look(
    installation: Installation, hook: world.Receiver
) -> None:
    declare(installation)
    heard(installation, *range(14, 7, -1))
    installation.start()
    world.until(lambda: hook.requests, what="the ring")
    [labels] = [request.body["commonLabels"] for request in hook.requests]
    assert (labels["alertname"], labels["severity"], labels["model"]) == ("ModelSilent", "critical", "flights")
    listed = "SELECT id, state, severity, model FROM incident_list"
    expected = [(labels["incident"], "open", "critical", "flights")]
    world.until(lambda: installation.warehouse.rows(listed) == expected, what="its row")
    world.until(lambda: installation.committed() == 1, what="the commit")
    # Who takes over while ClickHouse is away reads on the topic what is open, and rings nobody.
    installation.stop(signal.SIGKILL)
    installation.start(DRIFTLINE_CLICKHOUSE_URL=f"http://127.0.0.1:{DARK}")
    installation.say(world.incident("incident-1"))
    world.until(lambda: len(hook.requests) == 2, 60, "a ring of something else")
    assert events(hook)[1] == ("incident-1", "opened")


def said(hook: world.Receiver) -> str:
    """What the newest ring says."""
    return str(hook.requests[-1].body["commonAnnotations"]["description"])


def test_a_monitor_that_stalls_is_told_while_clickhouse_is_away(
    installation: Installation, hook: world.Receiver
) -> None:
    declare(installation)
    installation.producer.produce(installation.settings.topic("predictions"), b"{}", b"default/flights/1")
    # A minute of its clock is a second of ours; it looks every 15 seconds, as always.
    installation.start(DRIFTLINE_CLICKHOUSE_URL=f"http://127.0.0.1:{DARK}", SPEED="60", LOOK="15")
    # Both are found by the same clock, at one look or at two.
    world.until(lambda: hook.requests and "wait to be counted" in said(hook) and "ClickHouse has not" in said(hook), 60)
    assert hook.requests[0].body["commonLabels"]["alertname"] == "MonitorStalled"
