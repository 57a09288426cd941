"""Send predictions, outcomes and progress to driftline without ever holding up the service that sends them."""

import atexit
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from confluent_kafka import KafkaError, KafkaException, Producer

from driftline import wire
from driftline.batching import Batching

if TYPE_CHECKING:
    from driftline.columns import Row

try:
    from driftline import columns
except ImportError:  # without the extra: numpy and pyarrow
    columns = None  # type: ignore[assignment]

log = logging.getLogger("driftline")

SourceTopic = Literal["predictions", "outcomes"]
SOURCE_TOPICS: tuple[SourceTopic, SourceTopic] = ("predictions", "outcomes")
_SAY_DROPS_EVERY = 1000
_FEW = 16
"""Fewer events than these are sent one by one, also when it is busy."""

_METADATA_SECONDS = 1.0


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

    A busy service's events share messages (docs/batches.md): with ``batches="auto"`` and the extra ``driftline[arrow]``
    installed, more than 10,000 events per second wait up to 50 ms for each other. Order, counts and drops are the same.

    Args:
        config: librdkafka configuration (``bootstrap.servers``, security), or just the brokers as a string.
        namespace: team that owns the model.
        model: the model's name, as in its spec.
        topic_prefix: the installation's prefix.
        max_pending: events that may wait, 1 - 10,000,000.
        cloud_events: add CloudEvents 1.0 headers.
        on_drop: called with (topic, prediction id) of every event that is dropped.
        exit_timeout: seconds that the flush at exit may take.
        batches: ``auto``, ``never`` or ``always``.
        producer: a ready producer, for tests.

    Raises:
        ImportError: ``batches="always"`` without the extra.
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
        batches: Literal["auto", "never", "always"] = "auto",
        producer: Producer | None = None,
    ) -> None:
        self.namespace = namespace
        self.model = model
        self._prefix = topic_prefix
        self._cloud_events = cloud_events
        self._on_drop = on_drop
        self._exit_timeout = exit_timeout
        self._max_pending = max_pending
        if batches == "always" and columns is None:
            raise ImportError("batches need pyarrow and numpy: pip install 'driftline[arrow]'")
        self._always = batches == "always"
        self._batching: Batching[tuple[SourceTopic, Row]] | None = None
        if batches != "never" and columns is not None:
            self._batching = Batching(self._send_together, always=self._always)
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
        if self._batching is not None and self._batching.is_busy():
            row = columns.prediction_row(
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
            if row is not None and (taken := self._wait("predictions", row)) is not None:
                return taken
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
        if self._batching is not None and self._batching.is_busy():
            row = columns.outcome_row(prediction_id, event_time=event_time, label=label)
            if row is not None and (taken := self._wait("outcomes", row)) is not None:
                return taken
        body = wire.outcome(self.namespace, self.model, prediction_id, event_time=event_time, label=label)
        return self.send("outcomes", prediction_id, body)

    def send(self, topic: SourceTopic, prediction_id: str, body: bytes) -> bool:
        """Queue a body that was encoded already (see :mod:`driftline.wire`); ``False`` when it had to be dropped."""
        if self._batching is not None:
            # What waits came first.
            self._batching.drain()
        return self._send(topic, prediction_id, body)

    def _send(self, topic: SourceTopic, prediction_id: str, body: bytes, *, is_counted: bool = False) -> bool:
        kind: wire.Kind = "prediction" if topic == "predictions" else "outcome"
        try:
            queued = self._produce(
                topic, body, kind, key=wire.key(self.namespace, self.model, prediction_id), is_counted=is_counted
            )
            why = "buffer full"
        except KafkaException as error:
            if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                raise
            queued, why = False, f"{len(body):,} bytes are more than Kafka takes (message.max.bytes)"
        if not queued:
            self._drop(topic, prediction_id, why, is_counted=is_counted)
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
        if self._batching is not None:
            self._batching.drain()
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
        deadline = time.monotonic() + timeout
        if self._batching is not None:
            self._batching.drain(timeout)
        waiting = int(self._producer.flush(max(0.0, deadline - time.monotonic())))
        return self.stats().pending if self._batching is not None else waiting

    def close(self, timeout: float = 10.0) -> int:
        """Flush for the last time; return how many events are lost. Without it, the flush comes at exit."""
        atexit.unregister(self._at_exit)
        return self.flush(timeout)

    def stats(self) -> Stats:
        """Counts so far."""
        with self._lock:
            return Stats(self._sent, self._delivered, self._failed, self._dropped)

    def _produce(
        self,
        topic: SourceTopic,
        body: bytes,
        kind: wire.Kind,
        *,
        key: bytes | None = None,
        partition: int = -1,
        is_counted: bool = False,
    ) -> bool:
        headers = wire.cloud_event_headers(kind, self.namespace, self.model, body) if self._cloud_events else None
        arguments: dict[str, Any] = {"key": key, "partition": partition, "on_delivery": self._on_delivery}
        if headers:
            arguments["headers"] = headers
        if not self._try(topic, body, arguments):
            return False
        if not is_counted:
            with self._lock:
                self._sent += 1
        self._producer.poll(0)
        return True

    def _try(self, topic: SourceTopic, body: bytes, arguments: Mapping[str, Any]) -> bool:
        """Hand a message to librdkafka; False when its queue is full."""
        for _ in range(2):
            try:
                self._producer.produce(f"{self._prefix}.{topic}", body, **arguments)
            except BufferError:
                # Answers that have come in free their places only when they are taken out of the queue.
                self._producer.poll(0)
            else:
                return True
        return False

    def _wait(self, topic: SourceTopic, row: "Row") -> bool | None:
        """Let an event wait for others: True, or False when it had to be dropped; None when it should leave at once."""
        assert self._batching is not None  # noqa: S101  for the type checker
        for _ in range(2):
            with self._lock:
                # Counted before anybody can hear that it was delivered.
                if self._sent - self._delivered - self._failed < self._max_pending:
                    self._sent += 1
                    break
            self._producer.poll(0)
        else:
            self._drop(topic, row.prediction_id, "buffer full")
            return False
        if self._batching.add((topic, row)):
            return True
        with self._lock:
            self._sent -= 1
        return None

    def _send_together(self, waiting: Sequence[tuple[SourceTopic, "Row"]]) -> None:
        """Send events that waited, those of each topic in their order."""
        by_topic: dict[SourceTopic, list[Row]] = defaultdict(list)
        for topic, row in waiting:
            by_topic[topic].append(row)
        for topic, rows in by_topic.items():
            for _, alike in groupby(rows, key=lambda row: row.shape):
                self._send_alike(topic, list(alike))
        self._producer.poll(0)

    def _send_alike(self, topic: SourceTopic, rows: list["Row"]) -> None:
        try:
            if not self._always and len(rows) < _FEW:
                raise ValueError("too few for a batch")
            partitions = self.partitions(topic, _METADATA_SECONDS)
            messages = columns.messages(topic, self.namespace, self.model, rows, partitions)
        except (ConnectionError, ValueError, RuntimeError):
            # librdkafka keeps single events until it knows how many partitions there are; JSON takes values of any
            # kinds; and at exit pyarrow can import no more what it needs with its first array.
            for row in rows:
                self._send_alone(topic, row)
            return
        for partition, value, count in messages:
            headers = wire.batch_headers(topic, self.namespace, self.model, value, cloud_events=self._cloud_events)
            delivered = partial(self._on_delivery, events=count)
            arguments = {"key": None, "partition": partition, "on_delivery": delivered, "headers": headers}
            if not self._try(topic, value, arguments):
                with self._lock:
                    self._failed += count
                log.error("the producer's queue is full: %d events for %s are lost", count, topic)

    def _send_alone(self, topic: SourceTopic, row: "Row") -> None:
        try:
            body = columns.body(topic, self.namespace, self.model, row)
        except ValueError as error:
            self._drop(topic, row.prediction_id, str(error), is_counted=True)
        else:
            self._send(topic, row.prediction_id, body, is_counted=True)

    def _drop(self, topic: str, prediction_id: str, why: str, *, is_counted: bool = False) -> None:
        with self._lock:
            self._dropped += 1
            self._sent -= is_counted
            dropped = self._dropped
            said_before, self._said = self._said, why
        if dropped % _SAY_DROPS_EVERY == 1 or why != said_before:
            log.warning("%s, events are dropped: %d so far, now %s %r", why, dropped, topic, prediction_id)
        if self._on_drop is not None:
            self._on_drop(topic, prediction_id)

    def _on_delivery(self, error: Any, message: Any, *, events: int = 1) -> None:
        with self._lock:
            if error is None:
                self._delivered += events
            else:
                self._failed += events
        if error is not None:
            log.error("not delivered to %s: %s", message.topic() if message else "?", error)

    def _at_exit(self) -> None:
        left = self.flush(self._exit_timeout)
        if left:
            log.error("%d events were still pending after %g s at exit and are lost", left, self._exit_timeout)
