"""The generations of every model, on the compacted ``models`` topic: read alike by all stages, appended by several.

Owners (``driftline apply``, ``model register``) and the rollout all write generations, and two of them may pick the
same number at once. So the key of a record holds a hash of what it says, and of two records of one number the *first in
the log* is the generation: a reader never changes its mind. A writer reads back what it wrote; one that came second
deletes its own record and tries again with the next number, made anew from what is there now. No key is written twice,
so that compaction cannot turn the order round.
"""

from collections.abc import Callable, Iterable
from contextlib import closing

import msgspec
import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from pydantic import ValidationError

from bus.compacted import CompactedReader, Entry
from schemas.models import ModelRecord
from schemas.partials import model_key
from schemas.settings import Settings
from schemas.topics import MAX_MESSAGE_BYTES, TopicName

log = structlog.get_logger()

_TRIES = 10
MAX_RECORD_BYTES = MAX_MESSAGE_BYTES - 4_096
"""Of a generation in JSON; its key and Kafka's own bytes need the rest."""

Make = Callable[[list[ModelRecord]], ModelRecord | None]
"""From the generations that exist (oldest first) to the one to append; None when there is nothing to say."""


class TooLarge(ValueError):
    """A generation is larger than a message may be; the text says what to leave out."""


class Declared:
    """What the records read so far declare."""

    def __init__(self) -> None:
        self._records: dict[str, dict[bytes, tuple[int, ModelRecord]]] = {}

    def learn(self, entries: Iterable[Entry], topic: str = "models") -> set[str]:
        """Take records in the order of the log; which models (``namespace/model``) they may have changed.

        A record that cannot be used is said and left out, by every stage alike: what was known before stays in effect.
        """
        changed = set()
        for entry in entries:
            try:
                changed.add(self._delete(entry) if entry.value is None else self._keep(entry, entry.value))
            except (msgspec.MsgspecError, ValidationError, UnicodeDecodeError) as error:
                place = f"{topic}/{entry.partition}/{entry.offset}"
                log.error("models.invalid", place=place, error=str(error)[:500])
        return changed - {""}

    def models(self) -> list[str]:
        """``namespace/model`` of every model that is declared, sorted."""
        return sorted(key for key, records in self._records.items() if records)

    def generations(self, namespace: str, model: str) -> list[ModelRecord]:
        """The generations of a model, oldest first; empty when it is not declared."""
        first: dict[int, tuple[int, ModelRecord]] = {}
        for offset, record in self._records.get(model_key(namespace, model), {}).values():
            known = first.get(record.generation)
            if known is None or offset < known[0]:
                first[record.generation] = offset, record
        return [first[number][1] for number in sorted(first)]

    def keys(self, namespace: str, model: str) -> list[bytes]:
        """Kafka keys of all that is on the topic about a model, also of records that came second."""
        return sorted(self._records.get(model_key(namespace, model), {}))

    def _keep(self, entry: Entry, value: bytes) -> str:
        record = msgspec.json.decode(value, type=ModelRecord)
        record.parsed()
        model = model_key(record.namespace, record.model)
        self._records.setdefault(model, {}).setdefault(entry.key or record.key(), (entry.offset, record))
        return model

    def _delete(self, entry: Entry) -> str:
        model = "/".join(entry.key.decode().split("/")[:2])
        return model if self._records.get(model, {}).pop(entry.key, None) else ""


def encoded(record: ModelRecord) -> bytes:
    """A generation as its record has it, no larger than every stage can read it.

    Raises:
        TooLarge: it is.
    """
    value = msgspec.json.encode(record)
    if len(value) > MAX_RECORD_BYTES:
        columns = record.reference.features if record.reference else {}
        raise TooLarge(
            f"generation {record.generation} of {model_key(record.namespace, record.model)} has {len(value):,} bytes, "
            f"at most {MAX_RECORD_BYTES:,}: {len(record.spec['features']):,} features, and a reference of "
            f"{sum(map(len, columns.values())):,} columns in {len(columns):,} segments; declare fewer features, or a "
            "segment (spec.segments) that has fewer values"
        )
    return value


def read_declared(settings: Settings) -> Declared:
    """All that is declared now.

    Raises:
        KafkaException: the brokers cannot be asked now.
    """
    declared = Declared()
    with closing(CompactedReader(settings, "models")) as reader:
        declared.learn(reader.read(), settings.topic("models"))
    return declared


def append(settings: Settings, namespace: str, model: str, make: Make) -> ModelRecord | None:
    """Append a generation of a model, whoever else does so at the same time.

    Args:
        settings: where.
        namespace: of the model.
        model: its name.
        make: asked again whenever another writer was faster.

    Returns:
        The generation that stands; None when ``make`` had nothing to say.

    Raises:
        TooLarge: the record is.
        KafkaException: the brokers cannot be asked, or did not take the record.
    """
    declared = Declared()
    with closing(CompactedReader(settings, "models")) as reader:
        for _ in range(_TRIES):
            declared.learn(reader.read(), settings.topic("models"))
            known = declared.generations(namespace, model)
            record = make(known)
            if record is None or record in known:
                return record
            send(settings, record.key(), encoded(record))
            declared.learn(reader.read(), settings.topic("models"))
            if record in declared.generations(namespace, model):
                return record
            send(settings, record.key(), None)
            log.warning("models.number_taken", model=model_key(namespace, model), generation=record.generation)
    raise KafkaException(
        KafkaError(KafkaError._FAIL, f"{_TRIES} times another writer of {model_key(namespace, model)} was faster")
    )


def delete(settings: Settings, namespace: str, model: str) -> list[ModelRecord]:
    """Delete every generation of a model; the generations that it had.

    Raises:
        KafkaException: the brokers cannot be asked, or did not take all of it: ask again.
    """
    declared = read_declared(settings)
    for key in declared.keys(namespace, model):
        send(settings, key, None)
    return declared.generations(namespace, model)


def send(
    settings: Settings, key: bytes, value: bytes | None, timeout: float = 30.0, *, topic: TopicName = "models"
) -> None:
    """Write one record to a compacted topic and wait until all replicas have it.

    Raises:
        KafkaException: they did not take it within ``timeout`` seconds.
    """
    # A broker that has just started says once that it is not ready yet; the client repeats by itself.
    producer = Producer(settings.producer(**{"log_level": 3, "message.max.bytes": MAX_MESSAGE_BYTES}))
    refused: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            refused.append(error)

    producer.produce(settings.topic(topic), value, key=key, on_delivery=delivered)
    # A message that the client gave up (message.timeout.ms) is no longer waiting, and yet not published.
    waiting = producer.flush(timeout)
    if waiting or refused:
        raise KafkaException(
            refused[0] if refused else KafkaError(KafkaError._TIMED_OUT, f"no acknowledgement in {timeout:g} s")
        )
