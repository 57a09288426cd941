"""Kafka and ClickHouse of a test's own, which it may take away, and a model with predictions."""

import json
import random
from pathlib import Path
from typing import Any

from aggregate_world import HOUR, START, model_record, prediction
from commits import committed
from confluent_kafka import Producer, TopicPartition

from app.wiring import prepare, publish_model
from compose.clickhouse import LocalClickHouse
from compose.kafka import LocalKafka
from schemas.events import Progress, encode
from schemas.settings import Settings
from schemas.windows import from_ms
from warehouse.client import Warehouse

TALLIES = "SELECT tally, sum(events) FROM tallies WHERE tally != 'predictions.served' GROUP BY tally"


class World:
    """Kafka and ClickHouse of a test's own, which it may take away."""

    def __init__(self, folder: Path, cache: Path, **settings: Any) -> None:
        self.broker = LocalKafka(folder / "kafka", cache=cache, heap="256m")
        self.clickhouse = LocalClickHouse(folder / "clickhouse")
        chosen: dict[str, Any] = {"source_partitions": 2, "checkpoint_seconds": 1.0, "session_timeout_ms": 6_000}
        self.settings = Settings(
            bootstrap_servers=self.broker.start(),
            clickhouse_url=self.clickhouse.start(),
            store=folder / "store",
            **chosen | settings,
        )
        self.warehouse: Warehouse = prepare(self.settings, patience=60)
        publish_model(self.settings, model_record())
        self.sent = 0
        self._producer = Producer(self.settings.producer())
        self._rng = random.Random(1)

    def send(self, n: int, *, padding: int = 0, apart: int = 60_000) -> None:
        """Some more predictions, and how far outcomes are, in the order of event time; all are acknowledged.

        Args:
            n: of predictions.
            padding: bytes that each has besides, in a feature that nobody declared.
            apart: milliseconds of event time between two.
        """
        more = {"padding": "x" * padding} if padding else {}
        for number in range(self.sent, self.sent + n):
            at = START + HOUR + number * apart
            event = prediction(number, at, self._rng)
            event["features"] |= more
            body = json.dumps(event).encode()
            self._producer.produce(self.settings.topic("predictions"), body, f"default/delay/f{number}".encode())
            self._producer.poll(0)
        promise = encode(Progress(namespace="default", model="delay", event_time=from_ms(at)))
        for partition in range(self.settings.source_partitions):
            self._producer.produce(self.settings.topic("outcomes"), promise, partition=partition)
        assert self._producer.flush(60) == 0
        self.sent += n

    def decided(self) -> dict[int, tuple[int, int]]:
        """Partition -> (position of predictions, number of the checkpoint) by the group's commit."""
        topic = self.settings.topic("predictions")
        found = committed(self.settings, "aggregate", [TopicPartition(topic, p) for p in range(2)])
        return {place.partition: (place.offset, int(place.metadata.split(":")[1])) for place in found if place.metadata}

    def told(self) -> dict[int, tuple[int, int]]:
        """The same by the heads."""
        rows = self.warehouse.rows("SELECT partition, predictions_offset, seq FROM heads FINAL")
        return {partition: (position, seq) for partition, position, seq in rows}

    def counted(self) -> dict[str, int]:
        """What became of the events."""
        return dict(self.warehouse.rows(TALLIES))

    def end(self) -> None:
        self.clickhouse.kill()
        self.broker.kill()
