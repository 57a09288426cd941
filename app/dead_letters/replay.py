"""``driftline dead-letters replay``: send letters again that fit by now, each once.

A replay sends a letter's bytes, key and headers to the partition of its id. It first judges them by today's specs, as
stage 1 does, and sends only what would be accepted; what was sent is written down (``dead_letter_replays``) and not
offered again. A crash in between sends it twice, and stage 1 counts it once: its id is the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app.dead_letters.letters import Letter, Place
from schemas.events import SOURCE_EVENTS
from schemas.settings import Settings
from schemas.tables import DEAD_LETTER_REPLAYS
from schemas.windows import from_ms
from streams.aggregate.classify import accept
from streams.aggregate.decode import Record, Refused
from streams.aggregate.models import Models, ModelsReader
from streams.aggregate.routing import partitions_of
from warehouse.client import Warehouse

REPLAY_HEADER = "driftline_replay"
"""Header of an event that was sent again: ``topic/partition/offset`` of the dead letter."""

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
    fit = []
    for letter in chosen:
        if letter.replayed is None:
            problem = _problem(letter, models, now())
            if problem:
                found.refused.append((letter, problem))
            else:
                fit.append(letter)
    if dry_run:
        found.sent = [(letter, None) for letter in fit]
        return found
    for start in range(0, len(fit), _AT_ONCE):
        found.sent += _send(settings, warehouse, fit[start : start + _AT_ONCE], now)
    return found


def _problem(letter: Letter, models: Models, now: int) -> str:
    topic, partition, offset = letter.place
    if topic not in SOURCE_EVENTS:
        return (
            f"topic {topic}: not driftline's own; expected one of {', '.join(SOURCE_EVENTS)}. "
            "Let the service that owns the topic send the record again: others read it too."
        )
    try:
        accept(Record(topic, partition, offset, now, letter.value, letter.headers, letter.key), models)
    except Refused as refused:
        return f"{refused.reason}: {refused.detail}"
    return ""


def _home(letter: Letter, partitions: int) -> int:
    """The partition of an event's id; a progress record has none and goes back to where it was."""
    if not letter.prediction_id:
        return letter.place[1]
    return int(partitions_of([f"{letter.model}/{letter.prediction_id}".encode()], partitions)[0])


def _send(
    settings: Settings, warehouse: Warehouse, fit: Sequence[Letter], now: Callable[[], int]
) -> list[tuple[Letter, Place | None]]:
    landed: dict[Place, tuple[int, int]] = {}
    failed: list[KafkaError] = []

    def told(letter: Letter) -> Callable[[KafkaError | None, Message], None]:
        def delivered(error: KafkaError | None, message: Message) -> None:
            partition, offset = message.partition(), message.offset()
            if error is not None or partition is None or offset is None:
                failed.append(error or KafkaError(KafkaError._FAIL))
            else:
                landed[letter.place] = partition, offset

        return delivered

    producer = Producer(settings.producer())
    for letter in fit:
        topic = letter.place[0]
        headers = [(name, value) for name, value in letter.headers if name != REPLAY_HEADER]
        producer.produce(
            settings.topic(topic),  # type: ignore[arg-type]
            letter.value,
            letter.key,
            partition=_home(letter, settings.source_partitions),
            headers=[*headers, (REPLAY_HEADER, letter.name.encode())],
            on_delivery=told(letter),
        )
    waiting = producer.flush(_FLUSH_SECONDS)
    at = now()
    warehouse.insert(DEAD_LETTER_REPLAYS, [[*place, *new, from_ms(at)] for place, new in landed.items()])
    if failed or waiting:
        raise KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT))
    return [(letter, (letter.place[0], *landed[letter.place])) for letter in fit]
