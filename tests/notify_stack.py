"""An installation of which notify runs in a process of its own, on real Kafka and the real engine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import notify_world as world
from commits import committed
from confluent_kafka import Producer, TopicPartition

from app.wiring import prepare
from schemas.lifecycle import Incident
from schemas.partials import model_key
from schemas.settings import Settings

TESTS = Path(__file__).parent
DELIVERIES = "SELECT incident_id, channel, event, state FROM delivery_log ORDER BY incident_id, channel, event, state"


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
        # A machine that is slow is not away, for which a ring is made twice rather than not at all.
        pace["answer"] = 20.0
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
        [place] = committed(self.settings, "notify", [TopicPartition(self.settings.topic("alerts"), 0)])
        return int(place.offset)


@contextmanager
def installed(
    kafka: str, clickhouse_url: str, name: str, logs: Path, channels: Mapping[str, Any]
) -> Iterator[Installation]:
    """An installation of its own topics and database, without anything left behind.

    Args:
        kafka: bootstrap servers.
        clickhouse_url: of the engine.
        name: of the test that it is for.
        logs: folder of the log.
        channels: as in ``DRIFTLINE_CHANNELS``.
    """
    prefix = "notify_" + "".join(c if c.isalnum() else "_" for c in name.removeprefix("test_"))[:60]
    settings = Settings(
        bootstrap_servers=kafka,
        clickhouse_url=clickhouse_url,
        database=prefix,
        topic_prefix=prefix,
        source_partitions=1,
    )
    made = Installation(settings, logs, channels)
    try:
        yield made
    finally:
        if made.process is not None:
            made.stop(signal.SIGKILL)
        made.warehouse.command(f"DROP DATABASE IF EXISTS {prefix}")
