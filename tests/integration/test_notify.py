"""From a record on real Kafka to a ring at a channel: once, whatever is killed, and whoever else is away."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import notify_world as world
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from msgspec.structs import replace

from app.wiring import prepare
from compose.process import free_port
from schemas.lifecycle import Incident
from schemas.models import TeamRecord
from schemas.partials import model_key
from schemas.settings import Settings
from schemas.spec import Metadata, Team, TeamSpec

TESTS = Path(__file__).parent.parent
DELIVERIES = "SELECT incident_id, channel, event, state FROM delivery_log ORDER BY incident_id, channel, event, state"
DARK = free_port()
"""Nobody listens there."""


class Installation:
    """Topics and tables of one test, what the monitor writes, and notify's process."""

    def __init__(self, settings: Settings, logs: Path, channels: Mapping[str, Any]) -> None:
        self.settings = settings
        self.warehouse = prepare(settings, patience=60)
        self.producer = Producer(settings.producer())
        self.log = logs / "notify.log"
        self.channels = channels
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        pace = {"first_pause": 0.05, "longest_pause": 0.1, "timeout": 5.0, "remind": 0.2, "look": 0.2, "leave": 2.0}
        told = {
            "DRIFTLINE_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "DRIFTLINE_CLICKHOUSE_URL": self.settings.clickhouse_url,
            "DRIFTLINE_DATABASE": self.settings.database,
            "DRIFTLINE_TOPIC_PREFIX": self.settings.topic_prefix,
            "DRIFTLINE_SOURCE_PARTITIONS": "1",
            "DRIFTLINE_SESSION_TIMEOUT_MS": "1500",
            "DRIFTLINE_CHANNELS": json.dumps(self.channels),
            "DRIFTLINE_DEFAULT_CHANNELS": ",".join(self.channels),
            "PACE": json.dumps(pace),
            "PYTHONPATH": str(TESTS.parent),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(TESTS / "notify_process.py")],
                env=os.environ | told | environment,
                stdout=log,
                stderr=log,
            )

    def listen(self) -> None:
        """Start on topics that are empty: whatever is said from here on is no history."""
        self.start()
        world.until(lambda: self.committed() == 0, what="the first commit")

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def say(self, *incidents: Incident) -> None:
        """What the monitor tells."""
        for one in incidents:
            key = model_key(one.namespace, one.model).encode()
            self.producer.produce(self.settings.topic("alerts"), msgspec.json.encode(one), key)
        assert self.producer.flush(30) == 0

    def deliveries(self) -> list[tuple[str, ...]]:
        return self.warehouse.rows(DELIVERIES)

    def committed(self) -> int:
        """The group's offset."""
        consumer = Consumer(self.settings.consumer(self.settings.group("notify")))
        [place] = consumer.committed([TopicPartition(self.settings.topic("alerts"), 0)], timeout=10)
        consumer.close()
        return int(place.offset)


@pytest.fixture
def hook() -> Iterator[world.Receiver]:
    with world.receiver() as made:
        yield made


@pytest.fixture
def other() -> Iterator[world.Receiver]:
    with world.receiver() as made:
        yield made


@pytest.fixture
def settings(kafka: str, clickhouse_url: str, request: pytest.FixtureRequest) -> Settings:
    name = "notify_" + "".join(c if c.isalnum() else "_" for c in request.node.name.removeprefix("test_"))[:60]
    return Settings(
        bootstrap_servers=kafka, clickhouse_url=clickhouse_url, database=name, topic_prefix=name, source_partitions=1
    )


@pytest.fixture
def installation(settings: Settings, hook: world.Receiver, tmp_path: Path) -> Iterator[Installation]:
    made = Installation(settings, tmp_path, {"hook": {"kind": "webhook", "url": f"{hook.url}/hook"}})
    try:
        yield made
    finally:
        if made.process is not None:
            made.stop(signal.SIGKILL)
        made.warehouse.command(f"DROP DATABASE IF EXISTS {settings.database}")


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
