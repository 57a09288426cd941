"""Stage 3, the trainer: a request in, one answer out, however often either is sent or the trainer killed.

Decide in the consumer group, record in ClickHouse, then tell. For each request:

- T1 snapshot the rows and fit, in a process with limits;
- T2 snapshot, artifact, reference, manifest and the answer into the content-addressed store;
- T3 commit the next offset with metadata ``1:<request id>:<address of the answer>``: **the decision**. Anything but
  success: forget it all, join again as a new member;
- T4 rows in ``audit``: snapshot and candidate;
- T5 the answer on topic ``candidates``, flushed.

Whoever is assigned the partition first repeats T4 and T5 of the last decision, so a kill at any point leaves one
answer. One *answer* a request is promised, not one fit: a trainer that is killed before T3 fits again, from the same
rows and with the same seed, and what only the first fit left in the store is named by no record.
"""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from observe import Observer
from retrain.answers import answer_rows, find_answer
from retrain.models import ModelBook
from retrain.store import Store
from retrain.training import Training
from schemas.lifecycle import Candidate, Request
from schemas.partials import model_key
from schemas.settings import Settings
from schemas.tables import AUDIT
from warehouse.client import Warehouse

log = structlog.get_logger()

_POLL_SECONDS = 0.1
_FLUSH_SECONDS = 60.0


class _Lost(Exception):
    """The partition is somebody else's, or may be: nothing of what is in memory counts."""


def run(
    settings: Settings,
    warehouse: Warehouse,
    store: Store,
    *,
    stop: threading.Event,
    observer: Observer | None = None,
) -> None:
    """Answer requests until ``stop`` is set.

    Raises:
        KafkaException: for what waiting cannot mend (authorisation, a topic that does not exist).
    """
    producer = Producer(settings.producer())
    with ThreadPoolExecutor(1, thread_name_prefix="fit") as pool:
        while not stop.is_set():
            member = _Member(settings, warehouse, store, producer, pool=pool, observer=observer or Observer())
            try:
                member.work(stop)
            except _Lost as error:
                log.warning("trainer.rejoin", reason=str(error))
            finally:
                member.close()


class _Member:
    """One membership of the consumer group; a new one is made after every doubt."""

    def __init__(
        self,
        settings: Settings,
        warehouse: Warehouse,
        store: Store,
        producer: Producer,
        *,
        pool: ThreadPoolExecutor,
        observer: Observer,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._warehouse = warehouse
        self._store = store
        self._producer = producer
        self._pool = pool
        self._models = ModelBook(settings)
        self._training: Training | None = None
        self._lost = False
        options = {"max.poll.interval.ms": 86_400_000} | observer.statistics()
        self._consumer = Consumer(settings.consumer(settings.group("trainer"), **options))
        observer.joining()
        self._consumer.subscribe(
            [settings.topic("retraining")], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def close(self) -> None:
        """Stop a fit that runs, and leave the group."""
        if self._training is not None:
            self._training.cancel()
        self._consumer.close()

    def work(self, stop: threading.Event) -> None:
        """Answer one request after the other.

        Raises:
            _Lost: the membership is in doubt.
        """
        while not stop.is_set():
            message = self._poll()
            if message is not None:
                self._answer(message, stop)

    def _poll(self) -> Message | None:
        self._observer.turn()
        message = self._consumer.poll(_POLL_SECONDS)
        if self._lost:
            raise _Lost("the partition was revoked")
        if message is None:
            return None
        error = message.error()
        if error is None:
            return message
        if error.retriable() or error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            log.warning("trainer.kafka", error=str(error))
            return None
        raise KafkaException(error)

    def _answer(self, message: Message, stop: threading.Event) -> None:
        """T1 to T5 for one message."""
        place = TopicPartition(message.topic() or "", message.partition() or 0, (message.offset() or 0) + 1)
        try:
            request = msgspec.json.decode(message.value() or b"", type=Request)
        except msgspec.MsgspecError as error:
            log.error("trainer.undecodable", offset=message.offset(), error=str(error))
            self._observer.dead_letters("undecodable")
            self._commit(place, "")
            return
        candidate = find_answer(self._warehouse, request)
        if candidate is None:
            candidate = self._train(request, place, stop)
        if candidate is None:
            return
        blob = self._store.put(msgspec.json.encode([request, candidate]))
        self._commit(place, f"1:{request.id}:{blob}")
        self._tell(request, candidate)
        self._observer.messages("retraining")

    def _train(self, request: Request, place: TopicPartition, stop: threading.Event) -> Candidate | None:
        """T1 and T2, while the group is kept informed that we live; None if we were told to stop."""
        log.info("trainer.fit", request=request.id, reason=request.reason, at=request.at)
        began = time.monotonic()
        self._training = Training(self._warehouse, self._store, self._models, request)
        self._consumer.pause(self._consumer.assignment())
        running: Future[Candidate] = self._pool.submit(self._training.run)
        while not running.done():
            self._poll()
            if stop.is_set():
                return None
        # A signal to the whole process group ends the fit as well: what is left of it is no answer.
        if stop.is_set():
            return None
        self._training = None
        # What was fetched before the pause is not trusted to still be queued.
        self._consumer.seek(place)
        self._consumer.resume(self._consumer.assignment())
        try:
            candidate = running.result()
        except KafkaException as error:
            raise _Lost(f"the request's generation cannot be read now: {error}") from error
        self._observer.fit(candidate.status, time.monotonic() - began)
        log.info("trainer.answer", request=request.id, status=candidate.status, error=candidate.error)
        return candidate

    def _commit(self, place: TopicPartition, metadata: str) -> None:
        """T3: the decision."""
        place = TopicPartition(place.topic, place.partition, place.offset, metadata)
        try:
            done = self._consumer.commit(offsets=[place], asynchronous=False)
        except KafkaException as error:
            raise _Lost(f"commit refused: {error}") from error
        for partition in done or []:
            if partition.error is not None:
                raise _Lost(f"commit refused: {partition.error}")

    def _tell(self, request: Request, candidate: Candidate) -> None:
        """T4 and T5; both may be repeated by anybody.

        Raises:
            _Lost: the brokers did not take the answer; whoever is assigned the partition next tells it again.
        """
        self._warehouse.insert(AUDIT, answer_rows(request, candidate))
        refused: list[str] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                refused.append(str(error))

        self._producer.produce(
            self._settings.topic("candidates"),
            key=model_key(request.namespace, request.model).encode(),
            value=msgspec.json.encode(candidate),
            on_delivery=delivered,
        )
        while left := self._producer.flush(_FLUSH_SECONDS):
            log.warning("trainer.flush", waiting=left)
        # What the client gave up (message.timeout.ms) is no longer waiting, and yet not told.
        if refused:
            raise _Lost(f"answer {candidate.id} was not delivered: {refused[0]}")

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Repeat T4 and T5 of the last decision of each partition."""
        try:
            committed = consumer.committed(partitions, timeout=30)
        except KafkaException as error:
            raise _Lost(f"committed offsets cannot be read: {error}") from error
        for place in committed:
            if place.error is not None:
                raise _Lost(f"committed offsets cannot be read: {place.error}")
            if place.metadata:
                _, _, blob = place.metadata.split(":")
                request, candidate = msgspec.json.decode(self._store.get(blob), type=tuple[Request, Candidate])
                self._tell(request, candidate)
        self._observer.assigned()

    def _revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._lost = True
