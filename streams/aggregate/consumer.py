"""The loop: read both topics, classify, count, and checkpoint when it is time; and what happens at a rebalance."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import zip_longest

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from observe import Observer
from schemas.settings import Settings
from schemas.topics import TopicName
from streams.aggregate.assign import CannotContinue, assign
from streams.aggregate.batch import Batch
from streams.aggregate.books import Books
from streams.aggregate.breaker import Breaker
from streams.aggregate.cadence import Cadence
from streams.aggregate.checkpoint import CommitRefused, Outputs, checkpoint, settle
from streams.aggregate.extent import Portion
from streams.aggregate.fast import INSTALLED
from streams.aggregate.given import Given
from streams.aggregate.idle import Watch, adopt, targets
from streams.aggregate.judge import Judge
from streams.aggregate.memory import give_back
from streams.aggregate.models import Models, ModelsReader
from streams.aggregate.rows import PROGRESS, SIDES, Work
from streams.aggregate.state import State
from warehouse.client import Warehouse, not_now

log = structlog.get_logger()

_BATCH, _LARGE_BATCH = 50_000, 200_000
"""Messages that are consumed at once: more of them while their ids are looked up in ClickHouse by the thousand, since
it takes two hundred thousand ids little longer than fifty."""

_POLL_SECONDS = 0.1
"""For events, of which a batch is the cheaper the larger it is: a column of a model is read and judged by one call."""

_PENDING_EVENTS, _PENDING_BYTES = 250_000, 128_000_000
"""So many events are counted at once, and their raw rows written; memory stays bounded, however large an event is."""

_TURN_SECONDS = 30.0
"""Of messages that mean far more than their bytes, no more is worked off between two answers to the group: what is left
is read again. It takes a member that does not answer for five minutes for dead."""

_WORTHWHILE_EVENTS, _WORTHWHILE_BYTES, _WORTHWHILE_SECONDS = 1_000, 32_000_000, 1.0
"""So many events of each model, or bytes of all, and so long after the last time, are counted ahead of the checkpoint
that they wait for."""

_TRIM_SECONDS = 10.0
"""Memory that a checkpoint has let go of is given back to the system so often at most."""

_PATIENCE_SECONDS = 5.0
"""A hiccup of ClickHouse is waited for; at an outage the partitions are put down and taken up again after it."""

_AWAY_SECONDS = 0.5
"""Between two looks whether ClickHouse is back."""

_REJOIN_SECONDS = 0.5

_JOIN_SECONDS = 60.0
"""A group takes as long as its slowest member's checkpoint; after this the client is taken to be stuck in joining."""

# A message carries a whole checkpoint of a model: megabytes of counts, mostly zeros, when a backlog of many windows is
# read. Kafka's limit is on the compressed size; gzip is what every client can read without another library.
# Its lowest level takes a quarter of the time, and a window's report waits for it.
PRODUCER = {"linger.ms": 0, "compression.type": "gzip", "compression.level": 1, "message.max.bytes": 64_000_000}


class Member:
    """One membership in the group, from joining to leaving; its states never outlive an assignment."""

    def __init__(
        self,
        settings: Settings,
        *,
        models: Models,
        reader: ModelsReader,
        out: Outputs,
        breaker: Breaker,
        now: Callable[[], float],
        owner_id: Callable[[], str],
        observer: Observer,
    ) -> None:
        self._observer = observer
        self._books = Books(observer)
        self._settings = settings
        self._models = models
        self._reader = reader
        self._out = out
        self._breaker = breaker
        self._now = now
        self._owner_id = owner_id
        self._sides = {settings.topic(topic): side for side, topic in enumerate(SIDES)}
        self._judge = Judge(models, settings.source_partitions, out.warehouse)
        self._states: dict[int, State] = {}
        self._work = Work()
        self._assigned: list[int] | None = None
        self._retry_at = 0.0
        self._waits_since: float | None = None
        self._wait()
        self._failure: BaseException | None = None
        self._settled = self._given_back = now()
        self._cadence = Cadence(settings.checkpoint_seconds, self._settled)
        self._watch = Watch(settings.idle_after_seconds, self._settled)
        self._portion = Portion()
        self._consumer = Consumer(
            settings.counting(
                **{
                    "enable.partition.eof": True,
                    # Positions are always given; one that is out of range means that events were deleted unread.
                    "auto.offset.reset": "error",
                    **observer.statistics(),
                },
            )
        )
        self._given = Given(self._consumer, list(self._sides), settings.group_protocol)

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set, then checkpoint and leave.

        Raises:
            CommitRefused: somebody else may own the partitions; join again.
            KafkaException: the same.
        """
        self._consumer.subscribe(
            list(self._sides), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        try:
            while not stop.is_set():
                with self._unless_away():
                    self._turn()
            with self._unless_away():
                self._checkpoint()
        finally:
            self._drop()
            self._given.leave()

    @contextmanager
    def _unless_away(self) -> Iterator[None]:
        """Put the partitions down when ClickHouse is away; they are taken up again as a new owner would.

        Whatever was not decided is read again, and whatever was is in its redo record. Meanwhile nothing is fetched,
        and the group is answered: others can join and leave.
        """
        try:
            yield
        except Exception as error:
            if not not_now(error):
                raise
            log.warning("aggregate.paused", partitions=sorted(self._states), error=str(error)[:300])
            assigned = self._given.whole() or self._assigned
            self._drop(lost=False)
            self._given.put_down()
            self._assigned, self._retry_at = assigned, self._now() + _AWAY_SECONDS

    def _turn(self) -> None:
        self._observer.turn()
        # Before anything that can take long: a turn that stalls must not take its own silence for the logs'.
        began = self._now()
        large = self._judge.looked_up >= _BATCH // 2
        messages = self._consumer.consume(_LARGE_BATCH if large else _BATCH, _POLL_SECONDS)
        if self._failure is not None:
            raise self._failure
        if self._waits_since is not None and self._now() - self._waits_since > _JOIN_SECONDS:
            # Seen when the only broker died in the moment of joining: the client went on waiting.
            text = f"the group has not said in {_JOIN_SECONDS:g} s what this member reads"
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, text))
        if self._assigned is not None:
            if self._now() >= self._retry_at:
                self._start(self._assigned)
            return
        for number, batches in enumerate(self._sort(messages)):
            if number:
                self._keep_up()
                if self._now() - began >= _TURN_SECONDS:
                    self._read_on()
                    break
            self._process(batches)
        for state in self._states.values():
            state.pass_gaps()
        self._keep_up()
        self._adopt_if_idle(began)

    def _keep_up(self) -> None:
        """Count what waits, and make it durable, if it is time."""
        if self._worthwhile():
            settle(self._states, self._work, self._models, self._out)
            self._settled = self._now()
        if self._cadence.due(self._states, self._work, self._now()):
            self._checkpoint()
            self._breaker.check()

    # A callback runs inside consume(): it only notes what the loop must do, except that a revoke must finish there.
    # With KIP-848's protocol some partitions may come or go while others stay: all are put down at a checkpoint, and
    # those that are there then are taken up as by a new owner. One way, for both protocols.

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._hand_over(lost=False)
        self._given.add(partitions)
        self._assigned, self._waits_since = self._given.whole(), None

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._hand_over(lost=True)
        self._given.remove(partitions)
        self._assigned = self._given.whole() or None
        self._wait()

    def _on_lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        log.warning("aggregate.lost", partitions=sorted(self._states))
        self._drop()
        self._given.remove(partitions)
        self._wait()

    def _wait(self) -> None:
        """For the group to say what is this member's, be it nothing; KIP-848's says nothing when it is nothing."""
        self._waits_since = self._now() if self._settings.group_protocol == "classic" else None

    def _hand_over(self, *, lost: bool) -> None:
        """Checkpoint, and put everything down."""
        try:
            self._checkpoint()
        except Exception as error:  # an exception must not cross librdkafka; the loop raises it
            if not not_now(error):
                self._failure = error
        self._drop(lost=lost)

    def _drop(self, *, lost: bool = True) -> None:
        self._states, self._work, self._assigned = {}, Work(), None
        self._books.drop(lost=lost)

    def _start(self, partitions: list[int]) -> None:
        self._reader.read()
        now = self._now()
        self._states = assign(partitions, self._consumer, self._models, self._out, owner=self._owner_id(), now=now)
        self._assigned = None
        self._cadence.begin(now)
        self._watch = Watch(self._settings.idle_after_seconds, now)
        self._read_on()
        self._books.begin()

    def _read_on(self) -> None:
        """Read from the positions of the states on, whatever was read before."""
        for state in self._states.values():
            state.at_end = [False] * len(SIDES)
        self._given.read(
            [
                TopicPartition(topic, p, state.positions[side])
                for p, state in self._states.items()
                for topic, side in self._sides.items()
            ]
        )

    def _sort(self, messages: list[Message]) -> Iterator[list[Batch]]:
        """Messages by topic and partition, a batch of each at a time; errors and ends of logs are dealt with."""
        if any(map(Message.error, messages)):
            ends = [message for message in messages if message.error() is not None]
            messages = [message for message in messages if message.error() is None]
            for message in ends:
                self._end(message)
        by_topic: dict[str | None, list[Message]] = {}
        for topic, message in zip(map(Message.topic, messages), messages, strict=True):
            by_topic.setdefault(topic, []).append(message)
        portions = []
        for name, side in self._sides.items():
            if found := by_topic.get(name):
                positions = {p: state.positions[side] for p, state in self._states.items()}
                # Predictions open windows; outcomes fill those that there are.
                bounded = {"most": self._portion.records} if SIDES[side] == "predictions" else {}
                portions.append(Batch.of_messages(SIDES[side], found, positions, **bounded))
        for together in zip_longest(*portions):
            batches = [batch for batch in together if batch is not None]
            for batch in batches:
                for partition, _, end in batch.spans():
                    state, side = self._states[partition], SIDES.index(batch.topic)
                    state.at_end[side] = state.ends[side] > batch.offset[end - 1]
            yield batches

    def _end(self, message: Message) -> None:
        """The end of a log, or an error."""
        error, partition, topic, offset = message.error(), message.partition(), message.topic(), message.offset()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise _helpful(error, self._settings)
        state = self._states.get(partition if partition is not None else -1)
        if state is not None and topic is not None and offset is not None:
            state.at_end[self._sides[topic]] = True
            state.ends[self._sides[topic]] = offset

    def _process(self, batches: list[Batch]) -> None:
        # A generation that was published before an event was sent must be known before the event is counted.
        self._reader.read()
        self._forget_deleted()
        work, astray, full = self._work, len(self._work.astray), self._work.extent.fullness()
        for rows, dead in self._judge.judge(batches, self._states, work, self._now()):
            progress = int((rows.kind == PROGRESS).sum())
            self._breaker.count(rows.topic, len(rows) - progress, dead)
            self._books.count(rows, dead)
            work.buried += sum(len(letter.record.value or b"") for letter in dead)
        for batch in batches:
            if batch.topic == "predictions":
                self._portion.filled(work.extent.fullness() - full, len(batch))
        work.buried += sum(len(item.record.value or b"") for item in work.astray[astray:])
        work.size += sum(batch.size for batch in batches)

    def _forget_deleted(self) -> None:
        if self._models.deleted:
            self._checkpoint()
        for model in self._models.deleted:
            for state in self._states.values():
                state.index.forget(model)
        self._models.deleted.clear()

    def _worthwhile(self) -> bool:
        """Whether what waits is counted now: a checkpoint that has little left to count is soon told."""
        waiting = self._work.waiting()
        if waiting >= _PENDING_EVENTS or self._work.size >= _PENDING_BYTES:
            return True
        # A column of a model is counted by one call, however few its events are; those of many models are held for it.
        many = waiting >= _WORTHWHILE_EVENTS * max(1, len(self._models.names())) or self._work.size >= _WORTHWHILE_BYTES
        return many and self._now() - self._settled >= _WORTHWHILE_SECONDS

    def _checkpoint(self) -> None:
        began = self._now()
        if any(state.dirty() for state in self._states.values()):
            checkpoint(self._states, self._work, self._models, self._consumer, self._out)
            self._books.committed(self._states.values(), self._now() - began)
        self._settled = self._now()
        self._cadence.checkpointed(began, self._settled)
        if self._settled - self._given_back >= _TRIM_SECONDS:
            give_back()
            self._given_back = self._settled

    def _adopt_if_idle(self, began: float) -> None:
        if found := self._watch.look(self._states, self._models, began):
            self._checkpoint()
            raised = targets(found, self._models, self._out.warehouse)
            # Both may have waited for ClickHouse, while events came that must not be late.
            if raised and not self._watch.stalled(self._now()):
                adopt(raised, self._models)
                self._checkpoint()


def run(
    settings: Settings,
    warehouse: Warehouse,
    *,
    now: Callable[[], float],
    owner_id: Callable[[], str],
    stop: threading.Event,
    reached: Callable[[str], None] = lambda _point: None,
    observer: Observer | None = None,
) -> None:
    """Stage 1: count predictions and outcomes exactly, until ``stop`` is set.

    Args:
        settings: of the installation.
        warehouse: ClickHouse, migrated.
        now: seconds of a monotonic clock, for checkpoints and the idle rule; it never decides about an event.
        owner_id: a fresh name for each assignment, never used again.
        stop: set it to checkpoint and leave.
        reached: told of each finished step of a checkpoint, ``C0`` (none yet) to ``C7``; tests end the process there.
        observer: told how the process is doing.

    Raises:
        CannotContinue: topics, offsets and tables do not belong together; the text says what to do.
        BreakerOpen: most of a topic is dead letters.
    """
    if not INSTALLED:
        log.warning("aggregate.slow", reason="driftline-native is not installed: events are decoded one by one")
    told = observer or Observer()
    models = Models()
    reader = ModelsReader(settings, models)
    try:
        producer = Producer(settings.producer(**PRODUCER))
        out = Outputs(settings, warehouse.impatient(_PATIENCE_SECONDS), producer, reached)
        breaker = Breaker(settings.dead_letter_ratio, settings.dead_letter_min)
        while not stop.is_set():
            try:
                _check_partitions(settings, reader.partition_counts())
                member = Member(
                    settings,
                    models=models,
                    reader=reader,
                    out=out,
                    breaker=breaker,
                    now=now,
                    owner_id=owner_id,
                    observer=told,
                )
                member.run(stop)
            except (CommitRefused, KafkaException) as error:
                log.warning("aggregate.joins_again", error=str(error))
                stop.wait(_REJOIN_SECONDS)
    finally:
        reader.close()


def _check_partitions(settings: Settings, found: Mapping[str, int]) -> None:
    names: tuple[TopicName, ...] = ("models", *SIDES, "partials", "dead-letters")
    for name in names:
        topic, expected = settings.topic(name), settings.partitions(name)
        if found.get(topic) != expected:
            raise CannotContinue(
                f"topic {topic} has {found.get(topic, 0)} partitions, the settings say {expected}. Create it so, or "
                "set DRIFTLINE_SOURCE_PARTITIONS to what predictions and outcomes have. The number cannot change while "
                "there are events: an id would move to another partition and lose its history."
            )


def _helpful(error: KafkaError, settings: Settings) -> Exception:
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        return CannotContinue(
            f"events were deleted from Kafka before they were counted: {error.str()}. Raise retention.ms of the source "
            f"topics; to go on with what is left, stop all aggregators, and commit for the group "
            f"{settings.group('aggregate')} the first offsets that exist, with the metadata that is committed now."
        )
    if error.code() == KafkaError._FATAL and settings.group_protocol == "consumer":
        return CannotContinue(
            f"Kafka refuses a member by the protocol of KIP-848: {error.str()}. It needs Kafka 4.0 or newer, and the "
            "assignor range among the broker's group.consumer.assignors; or set DRIFTLINE_GROUP_PROTOCOL=classic."
        )
    return KafkaException(error)
