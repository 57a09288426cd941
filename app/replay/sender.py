"""Send a table so that every verdict is a function of the table, however fast the processors are.

Stage 1 reads predictions and outcomes side by side. Whether a label is in time for its window's test depends on how far
outcomes were read when its prediction was: so of every chunk the outcomes follow only when all its predictions are
counted.
"""

from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from app.replay import events
from app.table import Predictions
from schemas.events import Progress, SourceTopic, encode
from schemas.settings import Settings
from schemas.spec import ModelSpec, milliseconds
from schemas.windows import from_ms

CHUNK_ROWS = 250_000
"""A chunk is sent in less time than stage 1 takes a silent topic for idle."""

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

    def table(self, table: Predictions, spec: ModelSpec, counted: Callable[[Offsets], None]) -> int:
        """Send predictions and labels, and the promise that there are no more.

        Args:
            table: what to send.
            spec: of the model.
            counted: waits until stage 1 has counted everything below the offsets.

        Returns:
            The event time (ms) that was promised: every window of the table ends, and is tested, by then.

        Raises:
            NotSent: the brokers did not acknowledge everything.
        """
        known = events.labels(table, spec)
        for chunk in events.chunks(table, known, spec, CHUNK_ROWS):
            self._send("predictions", events.predictions(table, self._names, chunk.rows))
            counted(self._ends())
            self._send("outcomes", events.outcomes(table, known, self._names, chunk.labels))
        end = last_tick(table, known, spec)
        body = encode(Progress(namespace=self._names[0], model=self._names[1], event_time=from_ms(end)))
        for topic, partition in self._partitions():
            self._producer.produce(self._settings.topic(topic), body, partition=partition, on_delivery=self._delivered)
        self._flush()
        return end

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


_TELL_EVERY = 5_000


def last_tick(table: Predictions, known: events.Labels, spec: ModelSpec) -> int:
    """End of the last window that must be decided: all windows are tested by then, and all labels have come."""
    grid = spec.grid()
    tested = grid.end(grid.start(int(table.event_time[-1]))) + milliseconds(spec.windows.label_maturity)
    last = max([tested - 1, *known.time[-1:].tolist()])
    return grid.end(grid.start(last))
