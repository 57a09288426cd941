"""From a batch of records to one Kafka transaction: events, dead letters and offsets, all or nothing."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from msgspec import Struct
from msgspec.structs import replace

from schemas.settings import Settings
from schemas.tables import DEAD_LETTERS
from streams.ingest.formats import Formats
from streams.ingest.mapping import Mapped, Ready, Rule, map_record
from streams.ingest.merge import Place
from streams.ingest.tally import Tally
from streams.ingest.values import Source, Unmappable
from warehouse.client import Warehouse

SOURCE_HEADER = "driftline_source"
"""Header of an event, and of a dead letter: ``topic/partition/offset`` of the record that it was made of."""

_LETTER_BYTES = 500_000
_TRANSACTION_MS = 10_000
"""A transaction that its process left open is ended by the broker after this; until then stage 1 waits before it."""


class Letter(Struct, frozen=True):
    """A record that could not become an event."""

    place: Place
    offset: int
    log_ts: int
    reason: str
    detail: str
    value: bytes
    key: bytes | None
    headers: list[tuple[str, bytes | None]]


@dataclass
class Batch:
    """What a batch of records comes to.

    Attributes:
        events: with the place of the record that each was made of.
        positions: next offset of each partition that had records.
        tallies: its books, with these records.
        verdicts: (topic, ``mapped``, ``ignored`` or ``dead``) -> records.
    """

    events: list[tuple[Ready, str]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    positions: dict[Place, int] = field(default_factory=dict)
    tallies: dict[Place, Tally] = field(default_factory=dict)
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)


def prepare(
    records: Sequence[tuple[Place, Message]],
    rules: Mapping[str, Sequence[Rule]],
    formats: Formats,
    tallies: Mapping[Place, Tally],
) -> Batch:
    """Map records, in their order.

    Args:
        records: with the place that each is from.
        rules: topic -> rules.
        formats: decoders.
        tallies: the books of every partition before these records.

    Raises:
        RegistryAway: nothing can be said about a record now.
    """
    batch = Batch(tallies={place: replace(tallies[place]) for place, _ in records})
    for place, message in records:
        offset = message.offset() or 0
        mapped = _map(place[0], message, rules.get(place[0], ()), formats)
        batch.positions[place] = offset + 1
        batch.events += [(event, f"{place[0]}/{place[1]}/{offset}") for event in mapped.events]
        if mapped.refused:
            reason, detail = mapped.refused[0].reason, "; ".join(refused.detail for refused in mapped.refused)
            batch.letters.append(_letter(place, message, reason, detail))
        tally = batch.tallies[place]
        tally.records += 1
        verdict = "dead" if mapped.refused else "mapped" if mapped.events else "ignored"
        batch.verdicts[place[0], verdict] += 1
        tally.dead += verdict == "dead"
        tally.mapped += verdict == "mapped"
        tally.ignored += verdict == "ignored"
        tally.predictions += sum(event.topic == "predictions" for event in mapped.events)
        tally.outcomes += sum(event.topic == "outcomes" for event in mapped.events)
    return batch


def _letter(place: Place, message: Message, reason: str, detail: str) -> Letter:
    headers: Any = message.headers() or []
    value, log_ts = message.value() or b"", message.timestamp()[1]
    return Letter(place, message.offset() or 0, log_ts, reason, detail, value, message.key(), headers)


def _map(topic: str, message: Message, rules: Sequence[Rule], formats: Formats) -> Mapped:
    value: bytes | None = message.value()
    headers: Any = message.headers()
    # What the headers rule out need not be of a format that we can read.
    meant = [rule for rule in rules if rule.may_mean(Source(None, headers))]
    if value is None or not meant:  # no value: a deletion in a compacted topic, which tells of no event
        return Mapped()
    try:
        return map_record(meant, Source(formats.decode(meant[0].format, topic, value), headers))
    except Unmappable as refused:
        return Mapped(refused=[refused])


class Transfer:
    """Sends batches, each in a transaction of the consumer's group: whoever lost a partition is refused as a whole.

    Args:
        producer_id: never used before: the transactions of whoever had it would be ended.
    """

    def __init__(self, settings: Settings, warehouse: Warehouse, producer_id: str) -> None:
        self._settings = settings
        self._warehouse = warehouse
        options = {
            "transactional.id": f"{settings.group('ingest')}-{producer_id}",
            "transaction.timeout.ms": _TRANSACTION_MS,
        }
        self._producer = Producer(settings.producer(**options))
        self._producer.init_transactions()

    def send(self, batch: Batch, consumer: Consumer) -> None:
        """Make a batch's events visible and its positions committed, together.

        Dead letters go into the table before: their rows have the record's place as identity, and may be repeated.

        Raises:
            KafkaException: nothing has happened, or nobody knows; join again with another producer.
        """
        self._warehouse.insert(DEAD_LETTERS, [_row(letter) for letter in batch.letters])
        self._producer.begin_transaction()
        try:
            for event, source in batch.events:
                self._produce(self._settings.topic(event.topic), event.key, event.body, {SOURCE_HEADER: source})
            for letter in batch.letters:
                self._bury(letter)
            self._producer.send_offsets_to_transaction(
                [
                    TopicPartition(*place, position, batch.tallies[place].metadata())
                    for place, position in batch.positions.items()
                ],
                consumer.consumer_group_metadata(),
            )
            self._producer.commit_transaction()
        except KafkaException as error:
            if error.args[0].txn_requires_abort():
                self._producer.abort_transaction()
            raise

    def _bury(self, letter: Letter) -> None:
        (topic, partition), offset = letter.place, letter.offset
        place = f"{topic}/{partition}/{offset}"
        headers = {
            "reason": letter.reason,
            "detail": letter.detail,
            "topic": topic,
            "partition": str(partition),
            "offset": str(offset),
        }
        self._produce(self._settings.topic("dead-letters"), place.encode(), letter.value[:_LETTER_BYTES], headers)

    def _produce(self, topic: str, key: bytes, value: bytes, headers: dict[str, str]) -> None:
        encoded: list[tuple[str, str | bytes | None]] = list(headers.items())
        while True:
            try:
                self._producer.produce(topic, value, key, headers=encoded)
                return
            except BufferError:
                self._producer.poll(0.1)


def _row(letter: Letter) -> list[Any]:
    topic, partition = letter.place
    headers = [[name, _base64(value)] for name, value in letter.headers]
    return [
        topic, partition, letter.offset, 0, letter.log_ts, letter.reason, letter.detail,
        _base64(letter.value), _base64(letter.key), msgspec.json.encode(headers).decode(),
    ]  # fmt: skip


def _base64(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()
