"""``driftline dead-letters replay``: send letters again that fit by now, each once.

A replay sends a letter's bytes, key and headers to the partition of its id; a letter of a customer's own topic is
translated first, by today's ``source``. It judges events by today's specs, as stage 1 does, and sends only what would
be accepted; what was sent is written down (``dead_letter_replays``) and not
offered again. A crash in between sends it twice, and stage 1 counts it once: its id is the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from msgspec.structs import replace

from app.dead_letters.letters import Letter, Place
from app.dead_letters.translate import Translator
from schemas.columnar import is_batch
from schemas.events import SOURCE_EVENTS
from schemas.settings import Settings
from schemas.tables import DEAD_LETTER_REPLAYS
from schemas.windows import from_ms
from streams.aggregate.accept import accept
from streams.aggregate.decode import Headers, Record, Refused, rows_of
from streams.aggregate.models import Models, ModelsReader
from streams.aggregate.routing import partitions_of
from streams.ingest.transfer import SOURCE_HEADER
from streams.ingest.values import Unmappable
from warehouse.client import Warehouse

REPLAY_HEADER = "driftline_replay"
"""Header of an event that was sent again: ``topic/partition/offset`` of the dead letter, and ``/row`` in a batch."""

Fit = tuple[Letter, list[Record]]
"""A letter, and the records that it is sent as."""

_AT_ONCE = 1_000
_FLUSH_SECONDS = 60.0


@dataclass
class Replay:
    """What became of letters that were to be sent again.

    Attributes:
        sent: with the place that each has now; in a dry run the places are None.
        refused: would be dead again, with the reason of today.
        already: were sent again before.
    """

    sent: list[tuple[Letter, Place | None]] = field(default_factory=list)
    refused: list[tuple[Letter, str]] = field(default_factory=list)
    already: list[Letter] = field(default_factory=list)


def replay(
    settings: Settings, warehouse: Warehouse, chosen: Sequence[Letter], *, now: Callable[[], int], dry_run: bool = False
) -> Replay:
    """Send letters again that would be accepted today.

    Args:
        settings: of the installation.
        warehouse: where replays are written down.
        chosen: in the order to send them.
        now: milliseconds since the epoch; the broker will stamp the events with its own.
        dry_run: judge only.

    Raises:
        KafkaException: the brokers do not answer, or refuse.
    """
    models = Models()
    reader = ModelsReader(settings, models)
    try:
        reader.read()
    finally:
        reader.close()
    found = Replay(already=[letter for letter in chosen if letter.replayed])
    translator = Translator(settings)
    fit: list[Fit] = []
    for letter in chosen:
        if letter.replayed is None:
            try:
                records = _records(letter, translator, settings.source_partitions, now())
                for record in records:
                    accept(record, models)
                fit.append((letter, records))
            except (Refused, Unmappable) as refused:
                found.refused.append((letter, f"{refused.reason}: {refused.detail}"))
    if dry_run:
        found.sent = [(letter, None) for letter, _ in fit]
        return found
    for start in range(0, len(fit), _AT_ONCE):
        found.sent += _send(settings, warehouse, fit[start : start + _AT_ONCE], now)
    return found


def _records(letter: Letter, translator: Translator, partitions: int, now: int) -> list[Record]:
    """What is sent for a letter: each record in the partition of its id, with the place of the letter as its offset."""
    topic, partition, offset, row = letter.place
    if topic in SOURCE_EVENTS:
        headers = [(name, value) for name, value in letter.headers if name != REPLAY_HEADER]
        if is_batch(headers):
            # A batch that was dead as a whole is sent as its rows: by today's partitions, each has its own.
            rows = rows_of(Record(topic, partition, offset, now, letter.value, headers, letter.key))
            homes = partitions_of([item.key or b"" for item in rows], partitions)
            return [replace(item, partition=int(home)) for item, home in zip(rows, homes, strict=True)]
        # A progress record has no id, and goes back to where it was.
        key = f"{letter.model}/{letter.prediction_id}".encode()
        home = int(partitions_of([key], partitions)[0]) if letter.prediction_id else partition
        return [Record(topic, home, offset, now, letter.value, headers, letter.key, row)]
    source: Headers = [(SOURCE_HEADER, letter.name.encode())]
    return [
        Record(event.topic, int(partitions_of([event.key], partitions)[0]), offset, now, event.body, source, event.key)
        for event in translator.events(letter)
    ]


def _send(
    settings: Settings, warehouse: Warehouse, fit: Sequence[Fit], now: Callable[[], int]
) -> list[tuple[Letter, Place | None]]:
    landed: dict[Place, list[tuple[int, int]]] = {}
    failed: list[KafkaError] = []

    def told(letter: Letter) -> Callable[[KafkaError | None, Message], None]:
        def delivered(error: KafkaError | None, message: Message) -> None:
            partition, offset = message.partition(), message.offset()
            if error is not None or partition is None or offset is None:
                failed.append(error or KafkaError(KafkaError._FAIL))
            else:
                landed.setdefault(letter.place, []).append((partition, offset))

        return delivered

    producer = Producer(settings.producer())
    for letter, records in fit:
        for record in records:
            producer.produce(
                settings.topic(record.topic),
                record.value,
                record.key,
                partition=record.partition,
                headers=[*(record.headers or []), (REPLAY_HEADER, letter.name.encode())],
                on_delivery=told(letter),
            )
    waiting = producer.flush(_FLUSH_SECONDS)
    # A letter of which a part did not arrive is offered again, whole: the other part is counted once all the same.
    whole = {letter.place: landed[letter.place][-1] for letter, r in fit if len(landed.get(letter.place, ())) == len(r)}
    at = now()
    warehouse.insert(DEAD_LETTER_REPLAYS, [[*place, *new, from_ms(at)] for place, new in whole.items()])
    if failed or waiting:
        raise KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT))
    return [(letter, (records[-1].topic, *whole[letter.place], 0)) for letter, records in fit]
