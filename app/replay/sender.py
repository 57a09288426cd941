"""Send a table so that every verdict is a function of the table, however fast the processors are.

Stage 1 reads predictions and outcomes side by side. Whether a label is in time for its window's test depends on how far
outcomes were read when its prediction was: so of every chunk the outcomes follow only when all its predictions are
counted.
"""

from collections.abc import Callable, Iterable
from typing import Any, Self

from confluent_kafka import Consumer, Producer, TopicPartition

from app.replay import events
from app.replay.events import Labels
from app.table import Predictions
from schemas.events import Progress, SourceTopic, encode
from schemas.settings import Settings
from schemas.spec import ModelSpec
from schemas.windows import from_ms

CHUNK_ROWS = 250_000
"""A chunk is sent in less time than stage 1 takes a silent topic for idle."""

_TELL_EVERY = 5_000
_FLUSH_SECONDS = 120.0
_ANSWER_SECONDS = 30.0

Offsets = dict[tuple[SourceTopic, int], int]
"""(topic, partition) -> next offset."""


class NotSent(SystemExit):
    """The brokers did not take everything."""


class Sender:
    """Sends one model's events, and counts them.

    Args:
        settings: where.
        namespace: of the model.
        model: its name.
        told: called with the number of records sent since the last call.
    """

    def __init__(self, settings: Settings, namespace: str, model: str, told: Callable[[int], None]) -> None:
        self._settings = settings
        self._names = namespace, model
        self._told = told
        self._refused: list[str] = []
        self._producer = Producer(
            settings.producer(
                **{"linger.ms": 20, "compression.type": "lz4", "delivery.report.only.error": True, "log_level": 2}
            )
        )
        self.sent: dict[SourceTopic, int] = {"predictions": 0, "outcomes": 0}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            # What is still waiting would be sent to brokers that go away now.
            self._producer.purge()

    def table(self, table: Predictions, known: Labels, spec: ModelSpec, counted: Callable[[Offsets], None]) -> None:
        """Send predictions and labels.

        Args:
            table: what to send.
            known: when its labels were known.
            spec: of the model.
            counted: waits until stage 1 has counted everything below the offsets.

        Raises:
            NotSent: the brokers did not acknowledge everything.
        """
        for chunk in events.chunks(table, known, spec, CHUNK_ROWS):
            self._send("predictions", events.predictions(table, self._names, chunk.rows))
            counted(self._ends())
            self._send("outcomes", events.outcomes(table, known, self._names, chunk.labels))

    def promise(self, end: int) -> None:
        """Promise in every partition that no event before ``end`` (ms) comes any more: the last windows close.

        Raises:
            NotSent: the brokers did not acknowledge it.
        """
        body = encode(Progress(namespace=self._names[0], model=self._names[1], event_time=from_ms(end)))
        for topic, partition in self._partitions():
            self._producer.produce(self._settings.topic(topic), body, partition=partition, on_delivery=self._delivered)
        self._flush()

    def _send(self, topic: SourceTopic, records: Iterable[events.Record]) -> None:
        name, produce, since = self._settings.topic(topic), self._producer.produce, 0
        for key, body in records:
            while True:
                try:
                    produce(name, body, key, on_delivery=self._delivered)
                    break
                except BufferError:
                    self._producer.poll(0.1)
            since += 1
            if since == _TELL_EVERY:
                self._tell(topic, since)
                since = 0
        self._tell(topic, since)
        self._flush()

    def _tell(self, topic: SourceTopic, records: int) -> None:
        self.sent[topic] += records
        self._told(records)

    def _flush(self) -> None:
        waiting = self._producer.flush(_FLUSH_SECONDS)
        if waiting or self._refused:
            why = self._refused[0] if self._refused else f"no acknowledgement in {_FLUSH_SECONDS:g} s"
            raise NotSent(
                f"{waiting or len(self._refused)} records were not taken by Kafka at "
                f"{self._settings.bootstrap_servers}: {why}; see that the brokers are up, and replay again"
            )

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None:
            self._refused.append(str(error))

    def _partitions(self) -> list[tuple[SourceTopic, int]]:
        topics: tuple[SourceTopic, ...] = ("predictions", "outcomes")
        return [(topic, partition) for topic in topics for partition in range(self._settings.source_partitions)]

    def _ends(self) -> Offsets:
        """The ends of the logs now: everything that was sent is below."""
        consumer = Consumer(self._settings.consumer(f"{self._settings.topic_prefix}.replay"))
        try:
            return {
                (topic, partition): consumer.get_watermark_offsets(
                    TopicPartition(self._settings.topic(topic), partition), timeout=_ANSWER_SECONDS, cached=False
                )[1]
                for topic, partition in self._partitions()
            }
        finally:
            consumer.close()
