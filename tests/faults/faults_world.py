"""Topics, a database, roles as processes that can be held and killed at any step, and a load that is fed to them."""

import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from commits import committed
from confluent_kafka import Consumer, Producer, TopicPartition
from loads import HOUR, NAMESPACE, TOPICS, Load, Record, Shape
from oracle import Oracle

from app.wiring import prepare, publish_model
from schemas.settings import Settings
from schemas.tables import AUDIT
from schemas.topics import TopicName
from schemas.windows import from_ms
from warehouse.client import Warehouse

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EVENTS = int(os.environ.get("DRIFTLINE_FAULTS_EVENTS", "100000"))
"""How many events a scenario sends at least."""

SEED = int(os.environ.get("DRIFTLINE_FAULTS_SEED", "1"))
PATIENCE = 120 + EVENTS / 5_000
"""Seconds to wait for anything, at most; all events may have to be counted before."""

PAST = 0.1
"""A kill counts only when at least this share of all events lies past the last checkpoint."""


class Role:
    """A process of a role. It starts when it is told where to hold first; until then it has only imported."""

    def __init__(self, name: str, settings: Settings, log: Path, environment: dict[str, str]) -> None:
        self.name, self.log = name, log
        text = settings.model_dump_json(exclude={"kafka_password", "clickhouse_password", "analyst_password"})
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "faults_process.py"), name, text],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
                text=True,
            )
        self._steps: queue.Queue[str] = queue.Queue()
        self._started = False
        self._ending = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._steps.put(line.strip())

    def go(self, hold_at: str = "-") -> "Role":
        """Start, or go on, until the step ``hold_at`` is reached; by default for ever."""
        assert self.process.stdin is not None
        if not self._started:
            self.held("ready")
            self._started = True
        self.process.stdin.write(hold_at + "\n")
        self.process.stdin.flush()
        return self

    def held(self, step: str, seconds: float = PATIENCE) -> None:
        """Wait until the process is held at a step."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                found = self._steps.get(timeout=0.1)
            except queue.Empty:
                assert self.process.poll() is None, f"{self.name} ended before {step}:\n{self.tail()}"
                continue
            assert found == step, f"{self.name} is at {found}, not at {step}"
            return
        raise AssertionError(f"{self.name} did not reach {step} in {seconds:g} s:\n{self.tail()}")

    def waits(self) -> bool:
        """Whether it is held at a step that nobody has asked for yet."""
        return not self._steps.empty()

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; after SIGKILL wait for its end."""
        self._ending |= number in (signal.SIGKILL, signal.SIGTERM)
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait(30)

    def leave(self, seconds: float = 60) -> None:
        """Tell it to leave, and wait for its end in order."""
        self.signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} is still there {seconds:g} s after SIGTERM:\n{self.tail()}") from None
        assert code == 0, f"{self.name} left with {code}:\n{self.tail()}"

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-3000:]

    def alive(self) -> None:
        """Fail when it has ended by itself."""
        assert self._ending or self.process.poll() is None, (
            f"{self.name} ended with {self.process.returncode}:\n{self.tail()}"
        )

    def close(self) -> None:
        """End it, however it is."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


class World:
    """An installation, its roles, and how much of a load has been fed to it."""

    def __init__(
        self,
        kafka: str,
        clickhouse_url: str,
        name: str,
        folder: Path,
        *,
        load: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Make topics, database and load.

        Args:
            kafka: bootstrap servers.
            clickhouse_url: of the server.
            name: of the scenario; no other test may have it.
            folder: for logs.
            load: of its shape, what is not as usual.
            options: settings that are not as usual.
        """
        usual: dict[str, Any] = {"source_partitions": 4, "checkpoint_seconds": 0.3, "session_timeout_ms": 1_000}
        self.settings = Settings(
            bootstrap_servers=kafka,
            clickhouse_url=clickhouse_url,
            database=f"faults_{name}",
            topic_prefix=f"faults-{name}",
            store=folder / "store",
            **usual | options,
        )
        self.folder = folder
        self.warehouse: Warehouse = prepare(self.settings, patience=60)
        self.producer = Producer(self.settings.producer(**{"queue.buffering.max.messages": 1_000_000}))
        partitions = self.settings.source_partitions
        self.load = Load(Shape(**{"events": EVENTS, "seed": SEED, "partitions": partitions} | dict(load or {})))
        self.oracle = Oracle(self.load)
        self.fed = 0
        self.sent = 0
        self.sent_besides = 0
        self.kills: list[dict[str, Any]] = []
        self._roles: list[Role] = []
        for record in self.load.shape.records():
            publish_model(self.settings, record)
            self.warehouse.insert(AUDIT, [record.audit().row()])
        self.note(f"seed {SEED}, {len(self.load)} events")

    def role(self, name: str, mutant: str = "", **changed: Any) -> Role:
        """A process that waits to be told to go; ``changed`` settings are its own."""
        log = self.folder / f"{name}-{len(self._roles)}.log"
        made = Role(
            name, self.settings.model_copy(update=changed), log, {"MUTANT": mutant or os.environ.get("MUTANT", "")}
        )
        self._roles.append(made)
        return made

    def note(self, text: str) -> None:
        """Say something that belongs to a failure's report."""
        sys.stderr.write(f"\n[{self.settings.topic_prefix}] {text}")

    # -- feeding ------------------------------------------------------------------------------------------------------

    def feed(self, to: int | float) -> None:
        """Send the load's records below ``to`` (a share of the first phase, or a number of records)."""
        stop = int(to * self.load.first_phase) if isinstance(to, float) else to
        stop = min(stop, len(self.load))
        if stop > self.fed:
            self.produce(self.load.records(self.fed, stop))
            self.fed = stop

    def produce(self, records: Iterable[Record]) -> None:
        """Send records, each to its partition; all are acknowledged."""
        refused: list[str] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                refused.append(str(error))

        topics = {name: self.settings.topic(name) for name in TOPICS}  # type: ignore[arg-type]
        for topic, partition, key, value in records:
            while True:
                try:
                    self.producer.produce(topics[topic], value, key, partition, on_delivery=delivered)
                    break
                except BufferError:
                    self.producer.poll(0.1)
            self.sent += 1
        assert self.producer.flush(PATIENCE) == 0
        assert not refused, refused[:3]

    def progress(self, event_time: int) -> None:
        """Promise in every partition of both topics that every event of every model before ``event_time`` is there."""
        found = []
        for model in self.load.shape.names:
            body = {"type": "progress", "namespace": NAMESPACE, "model": model}
            value = json.dumps(body | {"event_time": from_ms(event_time).isoformat()}).encode()
            found += [Record(topic, p, b"", value) for topic in TOPICS for p in range(self.settings.source_partitions)]
        self.produce(found)
        self.sent_besides += len(found)

    def finish(self, seconds: float = PATIENCE) -> None:
        """Send what is left, phase by phase, and wait until all of it is counted and every window is closed."""
        end = self.load.shape.end
        self.feed(self.load.first_phase)
        self.progress(end)
        self.wait_for_watermarks(end, seconds)
        self.feed(len(self.load))
        self.progress(end + HOUR)
        self.wait_for_watermarks(end + HOUR, seconds)

    # -- what has become of it ----------------------------------------------------------------------------------------

    def committed(self) -> int:
        """How many records lie before the offsets that the group has committed."""
        places = [
            TopicPartition(self.settings.topic(name), p)  # type: ignore[arg-type]
            for name in TOPICS
            for p in range(self.settings.source_partitions)
        ]
        return sum(max(0, answer.offset) for answer in committed(self.settings, "aggregate", places))

    def owners(self) -> set[str]:
        """Who has made the newest checkpoint of each partition."""
        return {owner for (owner,) in self.warehouse.rows("SELECT owner FROM heads FINAL")}

    def past(self) -> int:
        """How many records lie past the last checkpoint."""
        return self.fed + self.sent_besides - self.committed()

    def hold(self, role: Role, step: str, after: float) -> None:
        """Start an aggregator and hold it at a step of the first checkpoint that it makes of its own.

        Args:
            role: that waits to be told to go.
            step: ``C0`` to ``C7``. An owner repeats C5 to C7 of the checkpoint before it when it is assigned; those
                are passed by.
            after: share of the first phase that is sent meanwhile.
        """
        role.go("C0")
        self.feed(after)
        role.held("C0")
        if step != "C0":
            role.go(step).held(step)

    def kill(self, victim: Role, why: str) -> None:
        """SIGKILL, when enough lies past the last checkpoint."""
        victim.alive()
        with self.enough_undecided(why, victim.name):
            victim.kill()

    @contextmanager
    def enough_undecided(self, why: str, name: str = "aggregate") -> Iterator[None]:
        """For a kill: all members of a role are frozen, and the log grows until enough lies past the last checkpoint.

        All, since others would go on with what comes, and soon have the victim's partitions. Those that are left go on
        afterwards. Fails when there is not enough left to send.
        """
        frozen = [role for role in self._roles if role.name == name and role.process.poll() is None]
        for role in frozen:
            role.signal(signal.SIGSTOP)
        wanted = int(PAST * len(self.load)) + 1
        past = self.past()
        if past < wanted:
            self.feed(min(self.fed + wanted - past, self.load.first_phase))
            past = self.past()
        kill = {"at": why, "sent": self.fed, "committed": self.committed(), "past": past}
        self.kills.append(kill)
        self.note(f"kill {len(self.kills)}: {kill}")
        assert past >= wanted, f"a kill does not count: {past} of {len(self.load)} events lie past the last checkpoint"
        yield
        for role in frozen:
            role.signal(signal.SIGCONT)

    def wait_for_a_checkpoint(self, after: float) -> None:
        """Until more is committed than was, when the log has grown to a share of the first phase."""
        before = self.committed()
        self.feed(after)
        self.until("another checkpoint is made", lambda: self.committed() > before)

    def wait_for_watermarks(self, event_time: int, seconds: float = PATIENCE) -> None:
        """Until the head of every partition has both watermarks of every model at ``event_time``."""

        def passed() -> bool:
            heads = [json.loads(text) for (text,) in self.warehouse.rows("SELECT watermarks FROM heads FINAL")]
            names = [f"{NAMESPACE}/{model}" for model in self.load.shape.names]
            return len(heads) == self.settings.source_partitions and all(
                name in head and min(head[name].values()) >= event_time for head in heads for name in names
            )

        self.until(f"all watermarks have passed {from_ms(event_time)}", passed, seconds)

    def wait_for_reports(self, at: int, seconds: float = PATIENCE) -> None:
        """Until stage 2 has decided every model through ``at``."""
        sql = "SELECT uniqExact(model) FROM reports WHERE toUnixTimestamp64Milli(`at`) >= {at:Int64}"
        wanted = self.load.shape.models
        self.until(
            f"every model is decided through {from_ms(at)}",
            lambda: self.warehouse.rows(sql, {"at": at})[0][0] == wanted,
            seconds,
        )

    def until(self, what: str, found: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """Ask until the answer is true, and return it; fail with the logs when it does not become so."""
        deadline = time.monotonic() + seconds
        while not (answer := found()):
            for role in self._roles:
                role.alive()
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {role.log.name}\n{role.tail()}" for role in self._roles[-3:])
                raise AssertionError(f"not within {seconds:g} s: {what}\n{logs}")
            time.sleep(0.05)
        return answer

    def values(self, name: TopicName) -> list[bytes]:
        """All values of a topic of one partition."""
        reader = Consumer(self.settings.consumer("reader"))
        place = TopicPartition(self.settings.topic(name), 0, 0)
        _, end = reader.get_watermark_offsets(place, timeout=30)
        reader.assign([place])
        found: list[bytes] = []
        last, deadline = -1, time.monotonic() + 60
        while last < end - 1:
            assert time.monotonic() < deadline, f"only {last + 1} of {end} records of {name}"
            for message in reader.consume(1_000, 0.1):
                if message.error() is None:
                    found.append(message.value() or b"")
                    last = message.offset() or 0
        reader.close()
        return found

    def summary(self) -> dict[str, object]:
        """What a record of the run says about it."""
        return {"events": self.sent, "seed": self.load.shape.seed, "kills": json.dumps(self.kills)}

    def close(self) -> None:
        """End everything."""
        for role in self._roles:
            role.close()
        self.warehouse.command(f"DROP DATABASE {self.settings.database}")


def told(test: str, said: Mapping[str, object]) -> list[str]:
    """Lines about one test for whoever runs it: what it said of itself (``summary``), its seed and its kills."""
    found = [f"{test}: seed {said['seed']}, {said['events']} events"]
    for number, kill in enumerate(json.loads(str(said["kills"])), 1):
        places = ", ".join(f"{value} {name}" for name, value in kill.items() if name != "at")
        found.append(f"  kill {number} ({kill['at']}): {places}")
    return found


def rng(*names: object) -> random.Random:
    """The random choices of one scenario: of the seed, and of nothing else."""
    return random.Random(f"{SEED}/{names}")
