"""Send predictions, outcomes and progress to driftline without ever holding up the service that sends them."""

import atexit
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException, Producer

from driftline import wire

log = logging.getLogger("driftline")

SourceTopic = Literal["predictions", "outcomes"]
SOURCE_TOPICS: tuple[SourceTopic, SourceTopic] = ("predictions", "outcomes")
_SAY_DROPS_EVERY = 1000


@dataclass(frozen=True, slots=True)
class Stats:
    """What became of the events so far: sent = delivered + failed + pending; dropped ones were never sent."""

    sent: int
    delivered: int
    failed: int
    dropped: int

    @property
    def pending(self) -> int:
        """Events that the broker has not answered for yet."""
        return self.sent - self.delivered - self.failed


class Emitter:
    """A bounded, non-blocking writer of one model's events. Thread-safe; one per process and model is enough.

    Events wait in a buffer of at most ``max_pending`` for the broker; when it is full, or an event is larger than Kafka
    takes (1 MB), it is dropped, counted (:meth:`stats`), logged and told to ``on_drop``: a slow broker never slows the
    service. What is pending
    when the process ends is flushed for at most ``exit_timeout`` seconds.

    Args:
        config: librdkafka configuration (``bootstrap.servers``, security), or just the brokers as a string.
        namespace: team that owns the model.
        model: the model's name, as in its spec.
        topic_prefix: the installation's prefix.
        max_pending: events that may wait, 1 - 10,000,000.
        cloud_events: add CloudEvents 1.0 headers.
        on_drop: called with (topic, prediction id) of every event that is dropped.
        exit_timeout: seconds that the flush at exit may take.
        producer: a ready producer, for tests.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | str,
        namespace: str,
        model: str,
        *,
        topic_prefix: str = "driftline",
        max_pending: int = 100_000,
        cloud_events: bool = False,
        on_drop: Callable[[str, str], None] | None = None,
        exit_timeout: float = 10.0,
        producer: Producer | None = None,
    ) -> None:
        self.namespace = namespace
        self.model = model
        self._prefix = topic_prefix
        self._cloud_events = cloud_events
        self._on_drop = on_drop
        self._exit_timeout = exit_timeout
        self._lock = threading.Lock()
        self._sent = self._delivered = self._failed = self._dropped = 0
        self._said = ""
        self._partitions: dict[str, int] = {}
        options = {"bootstrap.servers": config} if isinstance(config, str) else dict(config)
        # The partitioner is Java's and Faust's: an outcome must land in the partition of its prediction.
        fixed = {"enable.idempotence": True, "acks": "all", "partitioner": "murmur2_random"}
        defaults = {"linger.ms": 5, "queue.buffering.max.messages": max_pending}
        self._producer = producer or Producer(defaults | options | fixed)
        atexit.register(self._at_exit)

    def prediction(
        self,
        prediction_id: str,
        *,
        version: str,
        event_time: datetime,
        features: Mapping[str, wire.FeatureValue],
        prediction: wire.Label | None = None,
        scores: Mapping[str, float] | None = None,
        latency_ms: float | None = None,
        segments: Mapping[str, str] | None = None,
        role: wire.ServingRole = "champion",
    ) -> bool:
        """Queue one prediction (fields: :func:`driftline.wire.prediction`); ``False`` when it had to be dropped.

        Raises:
            ValueError: the event cannot be encoded; the message names the field's fault.
        """
        body = wire.prediction(
            self.namespace,
            self.model,
            prediction_id,
            version=version,
            event_time=event_time,
            features=features,
            prediction=prediction,
            scores=scores,
            latency_ms=latency_ms,
            segments=segments,
            role=role,
        )
        return self.send("predictions", prediction_id, body)

    def outcome(self, prediction_id: str, *, event_time: datetime, label: wire.Label) -> bool:
        """Queue what really happened; ``False`` when it had to be dropped.

        Raises:
            ValueError: the event cannot be encoded.
        """
        body = wire.outcome(self.namespace, self.model, prediction_id, event_time=event_time, label=label)
        return self.send("outcomes", prediction_id, body)

    def send(self, topic: SourceTopic, prediction_id: str, body: bytes) -> bool:
        """Queue a body that was encoded already (see :mod:`driftline.wire`); ``False`` when it had to be dropped."""
        kind: wire.Kind = "prediction" if topic == "predictions" else "outcome"
        try:
            queued = self._produce(topic, body, kind, key=wire.key(self.namespace, self.model, prediction_id))
            why = "buffer full"
        except KafkaException as error:
            if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                raise
            queued, why = False, f"{len(body):,} bytes are more than Kafka takes (message.max.bytes)"
        if not queued:
            self._drop(topic, prediction_id, why)
        return queued

    def progress(
        self,
        event_time: datetime,
        *,
        done: Collection[tuple[str, int]] = (),
        timeout: float = 10.0,
    ) -> None:
        """Promise, in every partition of both topics, that all events before ``event_time`` were sent before this.

        Windows that end by then need not wait for allowed lateness. Send it only when this emitter is the model's
        only source, and only after the events themselves.

        Args:
            event_time: the instant (aware).
            done: (topic, partition) pairs that have this promise already; they are left out.
            timeout: seconds to wait for the brokers' metadata, and for room in the buffer.

        Raises:
            ConnectionError: the broker did not say how many partitions there are.
            BufferError: no room for the promise within ``timeout``; it was not made everywhere. Flush, then repeat.
        """
        body = wire.progress(self.namespace, self.model, event_time=event_time)
        for topic in SOURCE_TOPICS:
            for partition in range(self.partitions(topic, timeout)):
                if (topic, partition) in done:
                    continue
                if not self._produce(topic, body, "progress", partition=partition):
                    self._producer.flush(timeout)
                    if not self._produce(topic, body, "progress", partition=partition):
                        raise BufferError(f"no room for progress {wire.instant(event_time)} in {topic}[{partition}]")

    def partitions(self, topic: SourceTopic, timeout: float = 10.0) -> int:
        """How many partitions a topic has (asked once).

        Raises:
            ConnectionError: the broker does not answer, or does not have the topic.
        """
        name = f"{self._prefix}.{topic}"
        if name not in self._partitions:
            try:
                found = self._producer.list_topics(name, timeout=timeout).topics[name]
            except KafkaException as error:
                raise ConnectionError(f"no broker answered within {timeout:g} s for topic {name}: {error}") from error
            if found.error is not None or not found.partitions:
                raise ConnectionError(
                    f"topic {name} does not exist on the broker ({found.error}); "
                    "check topic_prefix, or start driftline, which creates its topics"
                )
            self._partitions[name] = len(found.partitions)
        return self._partitions[name]

    def flush(self, timeout: float = 10.0) -> int:
        """Wait at most ``timeout`` seconds for the broker to answer for all; return how many are still pending."""
        return int(self._producer.flush(timeout))

    def close(self, timeout: float = 10.0) -> int:
        """Flush for the last time; return how many events are lost. Without it, the flush comes at exit."""
        atexit.unregister(self._at_exit)
        return self.flush(timeout)

    def stats(self) -> Stats:
        """Counts so far."""
        with self._lock:
            return Stats(self._sent, self._delivered, self._failed, self._dropped)

    def _produce(
        self, topic: SourceTopic, body: bytes, kind: wire.Kind, *, key: bytes | None = None, partition: int = -1
    ) -> bool:
        headers = wire.cloud_event_headers(kind, self.namespace, self.model, body) if self._cloud_events else None
        arguments: dict[str, Any] = {"key": key, "partition": partition, "on_delivery": self._on_delivery}
        if headers:
            arguments["headers"] = headers
        for _ in range(2):
            try:
                self._producer.produce(f"{self._prefix}.{topic}", body, **arguments)
            except BufferError:
                # Answers that have come in free their places only when they are taken out of the queue.
                self._producer.poll(0)
            else:
                with self._lock:
                    self._sent += 1
                self._producer.poll(0)
                return True
        return False

    def _drop(self, topic: str, prediction_id: str, why: str) -> None:
        with self._lock:
            self._dropped += 1
            dropped = self._dropped
            said_before, self._said = self._said, why
        if dropped % _SAY_DROPS_EVERY == 1 or why != said_before:
            log.warning("%s, events are dropped: %d so far, now %s %r", why, dropped, topic, prediction_id)
        if self._on_drop is not None:
            self._on_drop(topic, prediction_id)

    def _on_delivery(self, error: Any, message: Any) -> None:
        with self._lock:
            if error is None:
                self._delivered += 1
            else:
                self._failed += 1
        if error is not None:
            log.error("not delivered to %s: %s", message.topic() if message else "?", error)

    def _at_exit(self) -> None:
        left = self.flush(self._exit_timeout)
        if left:
            log.error("%d events were still pending after %g s at exit and are lost", left, self._exit_timeout)
