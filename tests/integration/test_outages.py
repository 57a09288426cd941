"""Stage 1 when Kafka or ClickHouse is not there, goes away or is full: it waits, says so, goes on, loses nothing."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
from aggregate_world import HOUR, START, model_record, prediction
from confluent_kafka import Producer

from app import wiring
from compose.clickhouse import LocalClickHouse
from compose.kafka import LocalKafka
from compose.process import free_port

ROOT = Path(__file__).parents[2]
PER_PHASE = 200


def until(done: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {done.__qualname__}")
        time.sleep(0.05)


class World:
    """Kafka, ClickHouse and stage 1 as a process of its own; none of them runs yet."""

    def __init__(self, folder: Path, cache: Path) -> None:
        kafka, clickhouse = free_port(), free_port()
        self.broker = LocalKafka(folder / "kafka", cache=cache, port=kafka, heap="256m")
        self.clickhouse = LocalClickHouse(folder / "clickhouse", port=clickhouse)
        self.env = {
            "DRIFTLINE_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka}",
            "DRIFTLINE_CLICKHOUSE_URL": f"http://127.0.0.1:{clickhouse}",
            "DRIFTLINE_SOURCE_PARTITIONS": "2",
            "DRIFTLINE_CHECKPOINT_SECONDS": "0.3",
            "DRIFTLINE_SESSION_TIMEOUT_MS": "6000",
        }
        self.settings = wiring.load_settings(self.env)
        self.log = folder / "aggregate.log"
        self.sent = self.read = 0
        with self.log.open("wb") as output:
            self.role = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "run", "aggregate"],
                env={**os.environ, **self.env}, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def until_said(self, event: str) -> None:
        """Wait until its log names an event that it did not name before."""

        def said() -> bool:
            assert self.role.poll() is None, self.log.read_text()[-3000:]
            return event in self.log.read_text()[self.read :]

        until(said)
        self.read = len(self.log.read_text())

    def send(self) -> None:
        """Send some more predictions; all are acknowledged."""
        rng, refused = random.Random(1), list[Any]()
        producer = Producer(self.settings.producer())
        for number in range(self.sent, self.sent + PER_PHASE):
            body = json.dumps(prediction(number, START + HOUR, rng)).encode()
            key = f"default/delay/f{number}".encode()
            producer.produce("driftline.predictions", body, key, on_delivery=lambda error, _: refused.append(error))
        assert producer.flush(60) == 0
        self.sent += PER_PHASE
        assert not any(refused)

    def until_counted(self) -> None:
        """Wait until all that was sent is counted, each once."""
        warehouse = wiring.open_warehouse(self.settings)
        tallies = "SELECT tally, sum(events) FROM tallies WHERE tally != 'predictions.served' GROUP BY tally"
        until(lambda: dict(warehouse.rows(tallies)) == {"predictions.counted": self.sent})
        rows = warehouse.rows("SELECT count(), uniqExact(prediction_id) FROM predictions")
        assert rows == [(self.sent, self.sent)]

    def memory(self) -> int:
        """Bytes that stage 1 holds."""
        return int(psutil.Process(self.role.pid).memory_info().rss)

    def end(self) -> None:
        """End all."""
        self.role.kill()
        self.role.wait(30)
        self.clickhouse.kill()
        self.broker.kill()


@pytest.fixture
def world(tmp_path: Path, kafka_cache: Path) -> Iterator[World]:
    made = World(tmp_path, kafka_cache)
    yield made
    made.end()


def test_it_waits_says_so_and_goes_on(world: World) -> None:
    # Neither is there at the start.
    world.until_said("clickhouse.away")
    world.clickhouse.start()
    world.until_said("kafka.away")
    world.broker.start()
    world.until_said("aggregate.assigned")
    wiring.publish_model(world.settings, model_record())
    world.send()
    world.until_counted()
    held = world.memory()

    # ClickHouse goes away, while events come.
    world.clickhouse.kill()
    world.send()
    world.until_said("clickhouse.away")
    world.clickhouse.start()
    world.until_counted()

    # Its disk is full.
    warehouse = wiring.open_warehouse(world.settings)
    warehouse.command("ALTER TABLE raw_predictions MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1e18")
    world.send()
    world.until_said("NOT_ENOUGH_SPACE")
    warehouse.command("ALTER TABLE raw_predictions RESET SETTING min_free_disk_bytes_to_perform_insert")
    world.until_counted()

    # Kafka goes away.
    world.broker.kill()
    world.broker.start()
    world.send()
    world.until_counted()

    assert world.memory() < held + 300_000_000
    world.role.terminate()
    assert world.role.wait(60) == 0
