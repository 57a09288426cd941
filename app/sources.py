"""``driftline sources``: what was read from customers' own topics, by the books that the role ``ingest`` keeps."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from confluent_kafka import Consumer, TopicPartition
from msgspec.structs import astuple
from rich.console import Console
from rich.table import Table

from bus.generations import read_declared
from schemas.settings import Settings
from streams.ingest.tally import Tally

_SECONDS = 10.0
_FIGURES = Tally.__struct_fields__


@dataclass(frozen=True, slots=True)
class TopicBooks:
    """One topic that models map; ``records = mapped + ignored + dead``, each of them exact.

    Attributes:
        topic: of the customer.
        models: ``namespace/model`` of who maps it.
        partitions: that it has; 0: there is no such topic, or it may not be read.
        tally: of all its partitions.
        lag: records that are not read yet.
    """

    topic: str
    models: list[str]
    partitions: int
    tally: Tally
    lag: int


def books(settings: Settings) -> list[TopicBooks]:
    """The books of every topic that a model's ``source`` names.

    Raises:
        confluent_kafka.KafkaException: the brokers do not answer.
    """
    declared = read_declared(settings)
    topics: dict[str, set[str]] = {}
    for key in declared.models():
        source = declared.generations(*key.split("/", 1))[-1].parsed().source
        for part in source.parts() if source is not None else ():
            topics.setdefault(part.topic, set()).add(key)
    consumer = Consumer(settings.consumer(settings.group("ingest"), **{"allow.auto.create.topics": False}))
    try:
        return [_books(consumer, topic, sorted(models)) for topic, models in sorted(topics.items())]
    finally:
        consumer.close()


def _books(consumer: Consumer, topic: str, models: list[str]) -> TopicBooks:
    partitions = sorted(consumer.list_topics(topic, timeout=_SECONDS).topics[topic].partitions)
    parts, lag = [Tally()], 0
    places = [TopicPartition(topic, p) for p in partitions]
    for found in consumer.committed(places, timeout=_SECONDS) if places else ():
        low, high = consumer.get_watermark_offsets(found, timeout=_SECONDS, cached=False)
        lag += high - max(low, found.offset)
        parts.append(Tally.of(found.metadata))
    figures = (sum(column) for column in zip(*map(astuple, parts), strict=True))
    return TopicBooks(topic, models, len(partitions), Tally(*figures), lag)


def show(found: Sequence[TopicBooks], console: Console) -> None:
    """Print a line per topic, and what is wrong with it."""
    if not found:
        console.print("no model has a source: their services send driftline's own events")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("TOPIC")
    for name in (*_FIGURES, "lag"):
        table.add_column(name.upper(), justify="right")
    for topic in found:
        table.add_row(topic.topic, *(f"{n:,}" for n in (*astuple(topic.tally), topic.lag)))
    console.print(table)
    for topic in found:
        who = ", ".join(topic.models)
        if not topic.partitions:
            console.print(f"{topic.topic} (of {who}) is not there, or may not be read: create it, or mend spec.source")
        if topic.tally.dead:
            console.print(f"{topic.topic}: why records are dead: driftline dead-letters list --topic {topic.topic}")


def command(settings: Settings, *, as_json: bool) -> None:
    """Print the books."""
    found = books(settings)
    if as_json:
        body = [asdict(topic) | {"tally": dict(zip(_FIGURES, astuple(topic.tally), strict=True))} for topic in found]
        json.dump(body, sys.stdout)
        sys.stdout.write("\n")
    else:
        show(found, Console(highlight=False, markup=False, emoji=False))
