"""The one function that makes work durable, and how its result is made visible, by the owner or by the next one."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from schemas.events import MAX_EVENT_BYTES
from schemas.partials import PartialHead, PartialMessage, Redo, SketchRow, Watermarks, model_key
from schemas.settings import Settings
from schemas.tables import CHECKPOINTS, DEAD_LETTERS, PARTIAL_MESSAGES, RAW_OUTCOMES, RAW_PREDICTIONS, REDO
from schemas.topics import MAX_MESSAGE_BYTES
from schemas.windows import NEVER
from streams.aggregate.decode import Dead
from streams.aggregate.models import Models
from streams.aggregate.raw import outcome_table, prediction_table
from streams.aggregate.rows import Astray, Work
from streams.aggregate.sketches import sketch
from streams.aggregate.state import NOBODY, State
from warehouse.client import Warehouse, pieces

log = structlog.get_logger()

POINTER_FORMAT = "1"
FORWARDED_HEADER = "driftline_forwarded"
"""Header of an event that was found in the wrong partition: ``topic/partition/offset`` (and ``/row``) of it there."""

KEPT_WINDOWS = 500
"""Windows of all models whose sketches stay in memory; older ones are read again when a label touches them."""

LARGEST_TOLD = MAX_MESSAGE_BYTES - 1024 * 1024
"""A larger message is told without its sketches; before compression, of which nobody knows how much it helps."""

_NO_WATERMARKS = Watermarks(NEVER, NEVER)
_FLUSH_SECONDS = 60.0


class CommitRefused(Exception):
    """The commit did not succeed, or nobody knows: the work is not ours any more. Drop the state and join again."""


class NotDelivered(RuntimeError):
    """Kafka did not acknowledge a message that it must have."""


class Outgoing(NamedTuple):
    """A message to be produced; ``partition`` -1: by its key."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, str | bytes | None]]
    partition: int = -1


@dataclass
class Outputs:
    """Where checkpoints go. ``reached`` is told of each step done, ``C0`` to ``C7``; tests kill the process there."""

    settings: Settings
    warehouse: Warehouse
    producer: Producer
    reached: Callable[[str], None]

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Produce messages and wait until all are acknowledged.

        Raises:
            NotDelivered: one was refused, or not acknowledged in time.
        """
        failed: list[str] = []

        def delivered(error: Any, _message: Any) -> None:
            if error is not None:
                failed.append(str(error))

        for topic, key, value, headers, partition in messages:
            while True:
                try:
                    self.producer.produce(topic, value, key, partition, headers=headers, on_delivery=delivered)
                    break
                except BufferError:
                    self.producer.poll(0.1)
        waiting = self.producer.flush(_FLUSH_SECONDS)
        if waiting or failed:
            raise NotDelivered(
                f"Kafka did not acknowledge {waiting or len(failed)} messages"
                f"{': ' + failed[0] if failed else f' in {_FLUSH_SECONDS:g} s'}. They are sent again after a restart."
            )


def pointer(seq: int, owner: str) -> str:
    """Metadata of the committed offset: which checkpoint was decided."""
    return f"{POINTER_FORMAT}:{seq}:{owner}"


def read_pointer(metadata: str) -> tuple[int, str] | None:
    """(seq, owner) of :func:`pointer`; None: stage 1 has not written it."""
    version, _, rest = metadata.partition(":")
    seq, _, owner = rest.partition(":")
    return (int(seq), owner) if version == POINTER_FORMAT and seq.isdecimal() and owner else None


def settle(states: Mapping[int, State], work: Work, models: Models, out: Outputs) -> None:
    """Write raw rows of what waits and count it, so that memory is free of it; a checkpoint's step C1, or before one.

    Raw rows above the committed offsets mean nothing to anybody, so they may be written at any time.

    Args:
        states: of all partitions that work is of.
        work: predictions, outcomes and pairs; taken out.
        models: that the codes are of.
        out: where rows go.
    """
    seqs = {partition: state.seq + 1 for partition, state in states.items()}
    counted = sketch(work, models)
    for partition, deltas in counted.items():
        states[partition].fetch(deltas, out.warehouse)
    for name, table in (
        (RAW_PREDICTIONS, prediction_table(work.predictions, models, seqs)),
        (RAW_OUTCOMES, outcome_table(work.outcomes, models, seqs)),
    ):
        if table is not None:
            out.warehouse.insert_arrow(name, table)
    for partition, deltas in counted.items():
        states[partition].add(deltas)
    work.predictions.clear()
    work.outcomes.clear()
    work.pairs.clear()
    work.size = 0


def checkpoint(states: Mapping[int, State], work: Work, models: Models, consumer: Consumer, out: Outputs) -> None:
    """Make durable, in order, all that the given partitions have done since their last checkpoint.

    Each step is one request for all partitions and is finished before the next begins. After C4 the checkpoint is
    decided, and everything that follows may be repeated by anybody, any number of times.

    - C1 insert raw rows and dead letters into tables; repeated until acknowledged.
    - C2 produce dead letters, and misrouted events where they belong; wait for the acknowledgements. Who repeats it
      makes duplicates, which are recognised by their ids.
    - C3 insert the redo record, under (partition, seq, owner): nobody reads it yet.
    - C4 commit all offsets with the pointers, synchronously: **the decision**, fenced by the group coordinator.
    - C5 insert into ``partial_messages``, and through it into ``partials``.
    - C6 insert into ``checkpoints``, and through it into ``heads``: a head never vouches for rows that are not there.
    - C7 publish one message per partition and model, without sketches where they are too many; wait for the
      acknowledgements.

    Raises:
        CommitRefused: C4 was anything but a success. Never retry it: an unanswered request may land later.
        NotDelivered: Kafka did not acknowledge C2 or C7.
    """
    out.reached("C0")

    # C1 raw rows and dead letters
    settle(states, work, models, out)
    dead = list(work.dead)
    out.warehouse.insert(DEAD_LETTERS, [_dead_row(letter) for letter in dead])
    out.reached("C1")

    dirty = [state for state in states.values() if state.dirty()]
    redos = [_redo(state) for state in dirty]
    # C2 dead letters on their topic, and misrouted events in the partitions of their ids
    out.send(
        [
            *(_dead_message(letter, out.settings) for letter in dead),
            *(_sent_on(item, out.settings) for item in work.astray),
        ]
    )
    out.reached("C2")

    # C3 redo record
    rows = [(r.partition, r.seq, r.owner, msgspec.json.encode(r).decode()) for r in redos]
    for piece in pieces(rows, lambda row: len(row[3])):
        out.warehouse.insert(REDO, piece)
    out.reached("C3")

    # C4 the decision
    _commit(redos, consumer, out.settings)
    out.reached("C4")

    # C5 - C7
    reveal(redos, out)
    work.dead.clear()
    work.astray.clear()
    work.buried = 0
    work.extent.clear()
    for state, redo in zip(dirty, redos, strict=True):
        state.committed(redo.seq, KEPT_WINDOWS)


def reveal(redos: Sequence[Redo], out: Outputs) -> None:
    """C5 - C7 of decided checkpoints: make them visible. Repeatable by anyone.

    Raises:
        NotDelivered: Kafka did not acknowledge C7.
    """
    # C5 partials
    rows = [bytes(message) for redo in redos for message in redo.messages.values()]
    out.warehouse.insert_json(PARTIAL_MESSAGES, rows)
    out.reached("C5")

    # C6 heads
    out.warehouse.insert(CHECKPOINTS, [_head_row(redo) for redo in redos])
    out.reached("C6")

    # C7 messages; the tallies that belong to no model have no reader
    topic = out.settings.topic("partials")
    out.send(
        [
            Outgoing(topic, f"{redo.partition}/{key}".encode(), _told(bytes(message)), [])
            for redo in redos
            for key, message in redo.messages.items()
            if key != NOBODY
        ]
    )
    out.reached("C7")


def _told(message: bytes) -> bytes:
    """A message as it is sent: without its sketches if Kafka would refuse it, which after C4 would be for ever.

    Stage 2 then reads them where C5 has written them.
    """
    if len(message) <= LARGEST_TOLD:
        return message
    untold = msgspec.json.decode(message, type=PartialHead)
    log.warning(
        "aggregate.message_too_large",
        model=model_key(untold.namespace, untold.model),
        partition=untold.partition,
        bytes=len(message),
        use="nothing: it is sent without its sketches, and the monitor reads them from `partials`",
    )
    return msgspec.json.encode(PartialMessage(**msgspec.structs.asdict(untold), sketches=[], whole=False))


def _redo(state: State) -> Redo:
    """All that the next checkpoint of a partition decides."""
    seq, positions = state.seq + 1, (state.positions[0], state.positions[1])
    watermarks = state.frozen_watermarks()

    def message(key: str, sketches: list[SketchRow]) -> msgspec.Raw:
        namespace, model = key.split("/", 1)
        told = PartialMessage(
            namespace=namespace,
            model=model,
            partition=state.partition,
            seq=seq,
            owner=state.owner,
            watermarks=watermarks.get(key, _NO_WATERMARKS),
            positions=positions,
            sketches=sketches,
        )
        return msgspec.Raw(msgspec.json.encode(told))

    messages = {key: message(key, sketches) for key, sketches in state.rows()}
    # A model of which nothing was counted has moved on, nevertheless.
    messages |= {key: message(key, []) for key in watermarks.keys() - messages.keys()}
    return Redo(
        partition=state.partition,
        seq=seq,
        owner=state.owner,
        positions=positions,
        watermarks=watermarks,
        adoptions=list(state.adoptions),
        messages=dict(sorted(messages.items())),
    )


def _commit(redos: Sequence[Redo], consumer: Consumer, settings: Settings) -> None:
    predictions, outcomes = settings.topic("predictions"), settings.topic("outcomes")
    offsets = []
    for redo in redos:
        offsets.append(TopicPartition(predictions, redo.partition, redo.positions[0], pointer(redo.seq, redo.owner)))
        offsets.append(TopicPartition(outcomes, redo.partition, redo.positions[1]))
    try:
        answers = consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        raise CommitRefused(str(error)) from error
    refused = [f"{a.topic}[{a.partition}]: {a.error}" for a in answers or () if a.error is not None]
    if refused or len(answers or ()) != len(offsets):
        raise CommitRefused("; ".join(refused) or f"{len(answers or ())} answers to {len(offsets)} offsets")


def _dead_row(letter: Dead) -> list[Any]:
    record = letter.record
    headers = [[name, _base64(value)] for name, value in record.headers or ()]
    return [
        record.topic, record.partition, record.offset, record.row, record.log_ts, letter.reason, letter.detail,
        _base64(record.value or b""), _base64(record.key), _json(headers),
    ]  # fmt: skip


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _dead_message(letter: Dead, settings: Settings) -> Outgoing:
    record = letter.record
    topic = settings.topic(record.topic)
    headers: list[tuple[str, str | bytes | None]] = [
        ("reason", letter.reason),
        ("detail", letter.detail),
        ("topic", topic),
        ("partition", str(record.partition)),
        ("offset", str(record.offset)),
        ("row", str(record.row)),
    ]
    key = f"{topic}/{record.place}".encode()
    # Only what is too large is cut; the table has it whole.
    return Outgoing(settings.topic("dead-letters"), key, (record.value or b"")[:MAX_EVENT_BYTES], headers)


def _sent_on(item: Astray, settings: Settings) -> Outgoing:
    record = item.record
    topic = settings.topic(record.topic)
    found = (FORWARDED_HEADER, f"{topic}/{record.place}")
    return Outgoing(topic, item.key, record.value or b"", [*(record.headers or []), found], item.home)


def _head_row(redo: Redo) -> list[Any]:
    return [
        redo.partition, redo.seq, redo.owner, *redo.positions, _json(redo.watermarks), _json(redo.adoptions)
    ]  # fmt: skip


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
