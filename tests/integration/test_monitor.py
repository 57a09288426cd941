"""Stage 2 on real Kafka and the real engine: messages in, rows and messages out, also when it is killed in between."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import monitor_world as world
import msgspec
import pytest
from commits import committed
from confluent_kafka import Consumer, Producer, TopicPartition
from typer.testing import CliRunner

from app.cli import app
from app.wiring import prepare
from schemas.ids import canonical_json
from schemas.lifecycle import Incident, Report, Request
from schemas.partials import PartialMessage, model_key
from schemas.settings import Settings
from schemas.topics import TopicName
from warehouse.client import Warehouse

TESTS = Path(__file__).parent.parent
DAYS = 13
FAULTS = world.Faults(nulls=[5], bad=[8, 9, 10])


class Installation:
    """Topics and tables of one test, the stage's neighbours, and its process."""

    def __init__(self, settings: Settings, logs: Path) -> None:
        self.settings = settings
        self.warehouse: Warehouse = prepare(settings, patience=60)
        self.producer = Producer(settings.producer())
        self.logs = logs
        self.process: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        """What tells a process of this installation."""
        return {
            "DRIFTLINE_BOOTSTRAP_SERVERS": self.settings.bootstrap_servers,
            "DRIFTLINE_CLICKHOUSE_URL": self.settings.clickhouse_url,
            "DRIFTLINE_DATABASE": self.settings.database,
            "DRIFTLINE_TOPIC_PREFIX": self.settings.topic_prefix,
            "DRIFTLINE_SOURCE_PARTITIONS": str(self.settings.source_partitions),
            "DRIFTLINE_SESSION_TIMEOUT_MS": str(self.settings.session_timeout_ms),
            "DRIFTLINE_STORE": str(self.settings.store),
            "PYTHONPATH": str(TESTS.parent),
        }

    def start(self, **environment: str) -> None:
        """Run the monitor in a process of its own."""
        with (self.logs / "monitor.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(TESTS / "monitor_process.py")],
                env=os.environ | self.environment() | environment,
                stdout=log,
                stderr=log,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the process to end."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(30)

    def publish_model(self, **options: object) -> None:
        record = world.record(**options)  # type: ignore[arg-type]
        self.producer.produce(self.settings.topic("models"), msgspec.json.encode(record), record.key())
        assert self.producer.flush(30) == 0

    def send(self, *messages: PartialMessage) -> None:
        """Rows first, then the messages, as stage 1 does."""
        world.store(self.warehouse, messages)
        self.ring(*messages)

    def ring(self, *messages: PartialMessage) -> None:
        """The messages alone."""
        for message in messages:
            key = f"{message.partition}/{model_key(message.namespace, message.model)}"
            self.producer.produce(self.settings.topic("partials"), msgspec.json.encode(message), key.encode())
        assert self.producer.flush(30) == 0

    def committed(self) -> int:
        """Messages of ``partials`` that the group has acknowledged."""
        topic = self.settings.topic("partials")
        places = [TopicPartition(topic, partition) for partition in range(self.settings.partitions("partials"))]
        return sum(max(0, place.offset) for place in committed(self.settings, "monitor", places))

    def reader(self, name: TopicName) -> "Reader":
        return Reader(self.settings, name)

    def reports(self) -> list[tuple[str, str]]:
        """(body, state) of every report row, in order."""
        return [
            (body, state)
            for body, state in self.warehouse.rows("SELECT body, state FROM reports FINAL ORDER BY model, `at`")
        ]


class Reader:
    """Values of a topic from its start."""

    def __init__(self, settings: Settings, name: TopicName) -> None:
        self._consumer = Consumer(settings.consumer("reader", **{"fetch.wait.max.ms": 5}))
        self._consumer.assign([TopicPartition(settings.topic(name), 0, 0)])
        self.values: list[bytes] = []

    def until(self, count: int, seconds: float = 60.0) -> list[bytes]:
        """The first ``count`` values or more."""
        deadline = time.monotonic() + seconds
        while len(self.values) < count:
            assert time.monotonic() < deadline, f"only {len(self.values)} of {count} messages in {seconds} s"
            message = self._consumer.poll(0.5)
            if message is not None and message.error() is None:
                self.values.append(message.value() or b"")
        return self.values

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture
def installation(
    kafka: str, clickhouse_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Installation]:
    name = request.node.name
    settings = Settings(
        bootstrap_servers=kafka,
        clickhouse_url=clickhouse_url,
        database=f"monitor_{name}",
        topic_prefix=f"monitor-{name}",
        source_partitions=2,
        session_timeout_ms=3000,
        store=tmp_path / "store",
    )
    found = Installation(settings, tmp_path)
    yield found
    if found.process is not None:
        found.stop(signal.SIGKILL)
    found.warehouse.command(f"DROP DATABASE {settings.database}")


def expected() -> list[Report]:
    """What the pure core decides on the same messages."""
    from streams.monitor.core import ModelMonitor
    from streams.monitor.generations import Generations
    from streams.monitor.held import Held

    monitor = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2))
    generations = Generations.of([world.record()])
    found = []
    for message in world.in_turn(world.stream(DAYS, faults=FAULTS)):
        monitor.apply(message)
        while (start := monitor.due(generations)) is not None:
            found.append(monitor.tick(start, generations).report)
    return found


def test_messages_in_rows_and_messages_out(
    installation: Installation, record_property: Callable[[str, object], None]
) -> None:
    installation.publish_model()
    installation.start()
    reports = installation.reader("reports")
    latencies = []
    for number, (noon0, noon1, end0, end1) in enumerate(_days(), 1):
        installation.send(noon0, noon1, end0)
        world.store(installation.warehouse, [end1])
        before = time.monotonic()
        installation.ring(end1)
        reports.until(number)
        latencies.append(time.monotonic() - before)
    record_property("milliseconds_from_message_to_report", round(median(latencies) * 1000))
    assert installation.stop() == 0

    assert reports.values == [canonical_json(report) for report in expected()]
    rows = installation.reports()
    assert [body.encode() for body, _ in rows] == reports.values
    incidents = [i for r in expected() if (i := r.incident)]
    assert installation.warehouse.rows("SELECT uniqExact(id) FROM incidents FINAL") == [
        (len({incident.id for incident in incidents}),)
    ]
    told = [canonical_json(i) for i in incidents if i.changed in {report.at for report in expected()}]
    news = [canonical_json(i) for r in expected() if (i := r.incident) and i.changed == r.at]
    assert len(news) < len(told), "a tick that brings nothing new tells nobody"
    assert installation.reader("alerts").until(len(news)) == news
    asked = [request for report in expected() for request in report.requests]
    told = installation.reader("retraining").until(len(asked))
    assert told == [canonical_json(request) for request in asked]
    assert installation.warehouse.rows("SELECT count() FROM metric_values WHERE view = 'tested'")[0][0] > 0


def test_killed_between_the_row_and_the_message(installation: Installation) -> None:
    """One request id and the same bytes, although the process died with the report written and nothing told."""
    wanted = expected()
    fatal = next(report for report in wanted if report.requests)
    installation.publish_model()
    installation.start(DIE_BEFORE_TELLING=str(fatal.at))
    installation.send(*world.in_turn(world.stream(DAYS, faults=FAULTS)))
    assert installation.process is not None
    assert installation.process.wait(60) == -signal.SIGKILL
    assert msgspec.json.decode(installation.reports()[-1][0], type=Report).at == fatal.at

    installation.start()
    reports = installation.reader("reports")
    told: dict[int, set[bytes]] = {}
    while len(told) < len(wanted):
        value = reports.until(len(reports.values) + 1)[-1]
        told.setdefault(msgspec.json.decode(value, type=Report).at, set()).add(value)
    assert installation.stop() == 0
    assert told == {report.at: {canonical_json(report)} for report in wanted}
    assert [body.encode() for body, _ in installation.reports()] == [canonical_json(report) for report in wanted]
    requests = installation.reader("retraining").until(sum(len(report.requests) for report in wanted))
    ids = [msgspec.json.decode(value, type=Request).id for value in requests]
    assert sorted(set(ids)) == sorted(r.id for report in wanted for r in report.requests)


def test_it_leaves_under_load_with_every_message_finished_and_committed(installation: Installation) -> None:
    """A restart finds nothing to redo: what was worked off is exactly what is committed."""
    installation.publish_model()
    messages = world.in_turn(world.stream(DAYS, faults=FAULTS))
    installation.send(*messages)
    finished = 0
    for _ in range(2):
        installation.start(SLOW="0.3")
        deadline = time.monotonic() + 60
        while installation.committed() <= finished and time.monotonic() < deadline:
            time.sleep(0.05)
        assert installation.stop() == 0
        said = (installation.logs / "monitor.log").read_text()
        finished += int(said.rpartition("handled=")[2].split()[0])
        assert installation.committed() == finished
    assert finished < len(messages), "it was stopped in the middle"
    installation.start()
    while installation.committed() < len(messages) and time.monotonic() < deadline + 60:
        time.sleep(0.05)
    assert installation.stop() == 0
    assert installation.committed() == len(messages)
    assert [body.encode() for body, _ in installation.reports()] == [canonical_json(report) for report in expected()]


def test_garbage_is_kept_and_does_not_stop_the_stage(installation: Installation) -> None:
    installation.publish_model()
    installation.producer.produce(installation.settings.topic("partials"), b"not json", b"key")
    first = world.in_turn(world.stream(2))
    installation.send(msgspec.structs.replace(first[0], partition=9), *first)
    installation.start()
    assert len(installation.reader("reports").until(2)) == 2
    dead = installation.reader("dead-letters").until(2)
    assert dead[0] == b"not json"
    assert installation.stop() == 0


def test_somebody_who_is_called_asks_and_answers_by_command(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alert's id leads from the page to everything else; by now the incident says how things stand."""
    installation.publish_model()
    installation.start()
    installation.send(*world.in_turn(world.stream(DAYS, faults=FAULTS)))
    installation.reader("reports").until(len(expected()))
    assert installation.stop() == 0
    rung = msgspec.json.decode(installation.reader("alerts").until(3)[-1], type=Incident)
    stands = expected()[-1].incident
    assert stands is not None
    assert (stands.id, stands.changed) == (rung.id, rung.changed)
    for name, value in (installation.environment() | {"COLUMNS": "80"}).items():
        monkeypatch.setenv(name, value)

    def driftline(*arguments: str) -> str:
        answer = CliRunner().invoke(app, arguments)
        assert answer.exit_code == 0, answer.output
        return answer.stdout

    screen = driftline("status")
    assert stands.summary in screen
    assert "default/flights" in screen.splitlines()[1]
    status = json.loads(driftline("status", "flights", "--json"))
    assert [entry["id"] for model in status["models"] for entry in model["open"]] == [rung.id]
    assert "records" in driftline("status", "default/flights")
    assert stands.text.rstrip() in driftline("incidents", "show", rung.id)
    assert driftline("incidents", "ack", rung.id[:16], "--by", "ada") == f"{rung.id} acknowledged by ada\n"
    assert "acknowledged by ada" in driftline("status")
    for line in rung.text.splitlines():
        if line.startswith("  driftline sql"):
            assert "rows" in driftline(*shlex.split(line)[1:])


def _days() -> Iterator[list[PartialMessage]]:
    messages = world.in_turn(world.stream(DAYS, faults=FAULTS))
    return (messages[start : start + 4] for start in range(0, len(messages), 4))
