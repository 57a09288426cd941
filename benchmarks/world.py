"""Kafka and ClickHouse of the benchmarks, and the source topic, filled once and kept in ``var/bench``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from rich.progress import Progress
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from app import wiring
from app.stack import Stack
from benchmarks.events import messages, record
from schemas.settings import Settings
from warehouse.client import Warehouse

PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class World:
    """Where everything is."""

    stack: Stack
    settings: Settings
    warehouse: Warehouse

    @retry(retry=retry_if_exception_type(KafkaException), wait=wait_fixed(0.2), stop=stop_after_delay(10), reraise=True)
    def ends(self) -> int:
        """Events in the source topic; one that was just made has no leader for a moment."""
        consumer = Consumer(self.settings.consumer("bench.look"))
        topic = self.settings.topic("predictions")
        found = [consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10) for p in range(PARTITIONS)]
        consumer.close()
        return sum(high - low for low, high in found)

    def forget(self) -> None:
        """Stage 1 has counted nothing: no offsets, no tables."""
        admin = AdminClient(self.settings.kafka())
        for answer in admin.delete_consumer_groups([self.settings.group("aggregate")]).values():
            try:
                answer.result()
            except KafkaException as error:
                if error.args[0].name() != "GROUP_ID_NOT_FOUND":
                    raise
        self.warehouse.command(f"DROP DATABASE IF EXISTS {self.settings.database} SYNC")
        wiring.prepare(self.settings)


@contextmanager
def world(root: Path, cache: Path, events: int) -> Iterator[World]:
    """Start both servers, and fill the topic up to ``events`` where it has fewer.

    Raises:
        SystemExit: the topic has more; it is of another run.
    """
    options = {"DRIFTLINE_SOURCE_PARTITIONS": str(PARTITIONS)}
    with Stack(root, cache=cache, options=options, say=print) as stack:
        found = World(stack, stack.settings, stack.warehouse)
        filled = found.ends()
        if filled not in (0, events):
            raise SystemExit(f"{root} holds {filled:,} events of another run, not {events:,}: delete {root} first")
        if not filled:
            _fill(found.settings, events)
        yield found


def _fill(settings: Settings, events: int) -> None:
    wiring.publish_model(settings, record())
    producer = Producer(settings.producer(**{"compression.type": "none", "queue.buffering.max.messages": 500_000}))
    topic = settings.topic("predictions")
    with Progress() as progress:
        task = progress.add_task(f"filling {topic}", total=events)
        for count, (key, value) in enumerate(messages(events), 1):
            while True:
                try:
                    producer.produce(topic, key=key, value=value)
                    break
                except BufferError:
                    producer.poll(0.1)
            if count % 10_000 == 0:
                producer.poll(0)
                progress.update(task, completed=count)
    producer.flush()
