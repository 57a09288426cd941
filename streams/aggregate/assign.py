"""Take over a source partition: read what was decided, make it visible again, and start where it ended."""

from collections.abc import Sequence

import msgspec
import structlog
from confluent_kafka import Consumer, TopicPartition
from msgspec import Raw, Struct

from schemas.events import SourceTopic
from schemas.partials import Adoption, Redo, Watermarks, model_key
from schemas.settings import Settings
from streams.aggregate.checkpoint import POINTER_FORMAT, CommitRefused, Outputs, read_pointer, reveal
from streams.aggregate.index import Index
from streams.aggregate.models import Models
from streams.aggregate.recall import recall
from streams.aggregate.rows import SIDES
from streams.aggregate.state import State
from warehouse.client import Warehouse

log = structlog.get_logger()

_ANSWER_SECONDS = 30.0
_Committed = dict[tuple[SourceTopic, int], TopicPartition]
"""By (topic, partition); the offset is negative where nothing is committed."""

_WATERMARKS = msgspec.json.Decoder(dict[str, Watermarks])


class CannotContinue(RuntimeError):
    """The committed offsets and ClickHouse do not belong together; a person must decide."""


def assign(
    partitions: Sequence[int], consumer: Consumer, models: Models, out: Outputs, *, owner: str, now: float
) -> dict[int, State]:
    """The states of newly assigned source partitions, each at its last decided checkpoint.

    1. Read the pointers, then the heads. A pointer behind its head: offsets were reset or have expired.
    2. Read the redo records that the pointers name.
    3. Repeat C5 - C7 of them, always, even if it looks done: its owner may have died between any two steps.
    4. Load positions, watermarks and the index; windows are loaded when they are touched. Offsets that were committed
       beyond the recorded positions count where Kafka has deleted what is between: so an operator goes on behind it.

    Raises:
        CannotContinue: something is missing, or would be skipped.
        CommitRefused: somebody else has taken over meanwhile; join again.
        confluent_kafka.KafkaException: the group does not answer; join again.
    """
    # 1 pointers, then heads
    committed = _committed(partitions, consumer, out.settings)
    pointers = _pointers(partitions, committed)
    heads = _heads(partitions, out.warehouse)
    for p in partitions:
        (seq, _), head = pointers[p], heads[p].seq
        if not head <= seq <= head + 1:
            if _pointers([p], _committed([p], consumer, out.settings)) != {p: pointers[p]}:
                raise CommitRefused(f"source partition {p} has a new owner already")
            raise CannotContinue(
                f"source partition {p}: the group {out.settings.group('aggregate')} has committed checkpoint {seq}, "
                f"but ClickHouse ({out.settings.database}.heads) has {head}. The offsets were reset or have "
                f"expired, or the database is another one. Restore the one that is behind, or commit offsets "
                f"{heads[p].positions} with metadata {POINTER_FORMAT}:{head}:{heads[p].owner} for the group."
            )

    # 2 redo records
    redos = [_redo(p, *pointers[p], heads[p], out.warehouse) for p in partitions if pointers[p][0]]

    # 3 repeat
    reveal(redos, out)

    # 4 load
    started = {redo.partition: redo for redo in redos}
    states = {}
    for p in partitions:
        start = started.get(p, heads[p])
        first, second = (
            _next(committed[side, p], recorded, consumer) if start.seq else _oldest(committed[side, p], consumer)
            for side, recorded in zip(SIDES, start.positions, strict=True)
        )
        states[p] = _load(msgspec.structs.replace(start, positions=(first, second)), models, out, owner, now)
    newest = min(out.settings.recalled_events, out.settings.cache_events)
    recall({p: state.index for p, state in states.items()}, out.warehouse, newest)
    for state in states.values():
        log.info("aggregate.assigned", partition=state.partition, seq=state.seq, positions=state.positions, owner=owner)
    return states


def _committed(partitions: Sequence[int], consumer: Consumer, settings: Settings) -> _Committed:
    """What the group has committed; both topics in one answer, so that they are of the same checkpoint."""
    sides: dict[str, SourceTopic] = {settings.topic(side): side for side in SIDES}
    asked = [TopicPartition(topic, p) for topic in sides for p in partitions]
    answers = consumer.committed(asked, timeout=_ANSWER_SECONDS)
    for answer in answers:
        if answer.error is not None:
            raise CannotContinue(
                f"the committed offset of {answer.topic}[{answer.partition}] cannot be read: {answer.error}"
            )
    return {(sides[answer.topic], answer.partition): answer for answer in answers}


def _next(committed: TopicPartition, recorded: int, consumer: Consumer) -> int:
    """Where a partition goes on: at the recorded position, or behind it if nothing that Kafka still has is skipped.

    Raises:
        CannotContinue: events would be skipped that nobody has counted.
    """
    if committed.offset <= recorded:
        return recorded
    low, _ = consumer.get_watermark_offsets(committed, timeout=_ANSWER_SECONDS, cached=False)
    if committed.offset > low:
        raise CannotContinue(
            f"{committed.topic}[{committed.partition}] has offset {committed.offset} committed, but events are counted "
            f"to {recorded} only: the offsets were reset. Stop all aggregators, then: driftline offsets restore"
        )
    return int(committed.offset)


def _oldest(committed: TopicPartition, consumer: Consumer) -> int:
    """Where a partition begins that was never counted: what is committed, or else the oldest event that Kafka has."""
    if committed.offset >= 0:
        return _next(committed, 0, consumer)
    low, _ = consumer.get_watermark_offsets(
        TopicPartition(committed.topic, committed.partition), timeout=_ANSWER_SECONDS, cached=False
    )
    return int(low)


def _pointers(partitions: Sequence[int], committed: _Committed) -> dict[int, tuple[int, str]]:
    """(seq, owner) of the committed checkpoint of each partition; (0, "") before the first."""
    pointers = {}
    for answer in (committed["predictions", p] for p in partitions):
        if answer.offset < 0:
            pointers[answer.partition] = (0, "")
            continue
        found = read_pointer(answer.metadata or "")
        if found is None:
            raise CannotContinue(
                f"{answer.topic}[{answer.partition}] has offset {answer.offset} committed with metadata "
                f"{answer.metadata!r}, expected {POINTER_FORMAT}:<seq>:<owner>. The offsets were reset (then stop all "
                "aggregators, and: driftline offsets restore), or something else commits in this group (give it "
                "another one)."
            )
        pointers[answer.partition] = found
    return pointers


def _heads(partitions: Sequence[int], warehouse: Warehouse) -> dict[int, Redo]:
    """The newest checkpoint of each partition, as a redo record without content."""
    rows = warehouse.rows(
        "SELECT `partition`, seq, owner, predictions_offset, outcomes_offset, watermarks, adoptions "
        "FROM heads FINAL WHERE `partition` IN {p:Array(UInt16)}",
        {"p": list(partitions)},
    )
    heads = {p: Redo(p, 0, "", (0, 0), {}, [], {}) for p in partitions}
    for p, seq, owner, predictions, outcomes, watermarks, adoptions in rows:
        heads[p] = Redo(
            partition=p,
            seq=seq,
            owner=owner,
            positions=(predictions, outcomes),
            watermarks=_WATERMARKS.decode(watermarks),
            adoptions=msgspec.json.decode(adoptions, type=list[Adoption]),
            messages={},
        )
    return heads


def recorded_watermarks(warehouse: Warehouse) -> list[dict[str, Watermarks]]:
    """The watermarks that the head of each partition records."""
    rows = warehouse.rows("SELECT watermarks FROM heads FINAL ORDER BY `partition`")
    return [_WATERMARKS.decode(text) for (text,) in rows]


class _Listed(Struct, frozen=True):
    """The messages of a redo record of before ADR 22, which were a list."""

    messages: list[Raw]


class _Named(Struct, frozen=True):
    """Whose a message is."""

    namespace: str
    model: str


def read_redo(body: str) -> Redo:
    """A redo record as this driftline, or one before it, wrote it: one that is upgraded begins with an old one.

    Raises:
        CannotContinue: it is neither.
    """
    try:
        return msgspec.json.decode(body, type=Redo)
    except msgspec.ValidationError as error:
        try:
            listed = msgspec.json.decode(body, type=_Listed).messages
            names = [msgspec.json.decode(message, type=_Named) for message in listed]
            fields = msgspec.json.decode(body, type=dict[str, Raw])
            messages = {model_key(name.namespace, name.model): raw for name, raw in zip(names, listed, strict=True)}
            return msgspec.json.decode(
                msgspec.json.encode(fields | {"messages": dict(sorted(messages.items()))}), type=Redo
            )
        except msgspec.ValidationError:
            raise CannotContinue(
                f"the newest redo record cannot be read: {error}. Another version of driftline has written it: run "
                "that one until it has stopped in order, or the one that it was upgraded to."
            ) from error


def _redo(partition: int, seq: int, owner: str, head: Redo, warehouse: Warehouse) -> Redo:
    rows = warehouse.rows(
        "SELECT body FROM redo WHERE `partition` = {p:UInt16} AND seq = {seq:UInt64} "
        "AND owner = {owner:String} LIMIT 1",
        {"p": partition, "seq": seq, "owner": owner},
    )
    if rows:
        return read_redo(rows[0][0])
    if (head.seq, head.owner) == (seq, owner):
        # After 30 silent days the redo record has expired. The head says that all tables are written; a monitor that
        # missed the message finds them there.
        return head
    raise CannotContinue(
        f"source partition {partition}: checkpoint {seq} of owner {owner} is committed, but its row in `redo` is "
        "missing. ClickHouse has lost an acknowledged insert: restore it from a backup that has the row."
    )


def _load(start: Redo, models: Models, out: Outputs, owner: str, now: float) -> State:
    partitions = out.settings.source_partitions
    index = Index(models, out.settings.cache_events, start.positions, partitions=partitions)
    stored = out.warehouse.rows(
        "SELECT DISTINCT namespace, model, toUnixTimestamp64Milli(window_start) FROM partials "
        "WHERE `partition` = {p:UInt16}",
        {"p": start.partition},
    )
    return State(
        partition=start.partition,
        owner=owner,
        seq=start.seq,
        positions=list(start.positions),
        watermarks={key: [marks.predictions, marks.outcomes] for key, marks in start.watermarks.items()},
        index=index,
        stored={(model_key(namespace, model), window) for namespace, model, window in stored},
        since=now,
    )
