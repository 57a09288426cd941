"""Kafka and ClickHouse of a measurement, and its source topics, filled once and kept for the next run."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from app import wiring
from app.stack import Stack, fresh
from benchmarks.events import NAMESPACE, Shape, Truth
from schemas.settings import Settings
from schemas.tables import CHECKPOINTS
from schemas.topics import TopicName
from streams.aggregate.checkpoint import pointer
from warehouse.client import Warehouse

PARTITIONS = 4
SOURCES: tuple[TopicName, TopicName] = ("predictions", "outcomes")

_FIXED_POINT = 2**20
_HOLDS = "holds.json"

_COUNTED = """
SELECT model, sumIf(events, tally = 'predictions.counted'), sumIf(events, tally != 'predictions.counted'
    AND tally LIKE 'predictions.%' AND tally != 'predictions.served')
FROM tallies WHERE namespace = {namespace:String} GROUP BY model
"""
_SUMMED = """
SELECT model, sum(sums[1]) FROM partials FINAL
WHERE namespace = {namespace:String} AND view = 'feature' AND segment = '' AND name IN {names:Array(String)}
GROUP BY model
"""
_PAIRED = """
SELECT model, sum(n), sum(arraySum(arrayFilter((count, place) -> place % 2 = 0, counts, arrayEnumerate(counts))))
FROM partials FINAL
WHERE namespace = {namespace:String} AND view IN ('matured', 'overdue') AND segment = '' GROUP BY model
"""

# Right after its start a broker knows neither all leaders nor all groups.
patiently = retry(
    retry=retry_if_exception_type(KafkaException), wait=wait_fixed(0.2), stop=stop_after_delay(20), reraise=True
)


@dataclass(frozen=True, slots=True)
class World:
    """Where everything is."""

    stack: Stack
    settings: Settings
    warehouse: Warehouse

    @patiently
    def ends(self) -> int:
        """The sum of the next offsets of the source topics."""
        consumer = Consumer(self.settings.consumer("bench.look"))
        try:
            return sum(consumer.get_watermark_offsets(at, timeout=10)[1] for at in self.partitions())
        finally:
            consumer.close()

    def partitions(self) -> list[TopicPartition]:
        """Every partition of the source topics."""
        return [TopicPartition(self.settings.topic(topic), p) for topic in SOURCES for p in range(PARTITIONS)]

    def forget(self) -> None:
        """Stage 1 has counted nothing: no offsets, no tables."""
        self.forget_offsets()
        self.warehouse.command(f"DROP DATABASE IF EXISTS {self.settings.database} SYNC")
        wiring.prepare(self.settings)

    @patiently
    def forget_offsets(self) -> None:
        """Delete the groups of the stages; their processes must have ended."""
        admin = AdminClient(self.settings.kafka())
        groups = [self.settings.group(role) for role in ("aggregate", "monitor")]
        for answer in admin.delete_consumer_groups(groups).values():
            try:
                answer.result()
            except KafkaException as error:
                if error.args[0].name() != "GROUP_ID_NOT_FOUND":
                    raise

    @patiently
    def start_behind(self, offset: int) -> None:
        """Let stage 1 begin at this offset of each partition of predictions, as behind its first checkpoint."""
        owner = "bench"
        self.warehouse.insert(CHECKPOINTS, [(p, 1, owner, offset, 0, "{}", "[]") for p in range(PARTITIONS)])
        consumer = Consumer(self.settings.consumer(self.settings.group("aggregate")))
        begun = {"predictions": (offset, pointer(1, owner)), "outcomes": (0, "")}
        try:
            consumer.commit(
                offsets=[
                    TopicPartition(self.settings.topic(topic), p, *begun[topic])
                    for topic in SOURCES
                    for p in range(PARTITIONS)
                ],
                asynchronous=False,
            )
        finally:
            consumer.close()

    def check(self, models: Sequence[Shape], expected: Mapping[str, Truth]) -> None:
        """Hold the tables to the truth: events, exact sums, pairs and their labels of each model.

        Raises:
            SystemExit: they differ; both are shown.
        """
        where = {"namespace": NAMESPACE}
        names = [shape.number_names()[0] for shape in models]
        counted = {model: (int(n), int(others)) for model, n, others in self.warehouse.rows(_COUNTED, where)}
        summed = {model: int(total) for model, total in self.warehouse.rows(_SUMMED, {**where, "names": names})}
        paired = {model: (int(n), int(positive)) for model, n, positive in self.warehouse.rows(_PAIRED, where)}
        found, wanted = {}, {}
        for shape in models:
            truth = expected[shape.name]
            wanted[shape.name] = (
                (truth.events, 0), truth.total * _FIXED_POINT // 1024, (truth.pairs, truth.positive)
            )  # fmt: skip
            found[shape.name] = (
                counted.get(shape.name, (0, 0)), summed.get(shape.name, 0), paired.get(shape.name, (0, 0))
            )  # fmt: skip
        wrong = [name for name in wanted if found[name] != wanted[name]]
        if wrong:
            name = wrong[0]
            raise SystemExit(
                f"what was counted is not the truth, for {len(wrong)} of {len(models)} models: {name} has ((counted, "
                f"late or duplicate), sum, (pairs, positive)) = {found[name]}; the truth is {wanted[name]}"
            )


@contextmanager
def world(
    root: Path,
    cache: Path,
    holds: Mapping[str, Any],
    fill: Callable[[World], None],
    options: Mapping[str, str] | None = None,
) -> Iterator[World]:
    """Start both servers, and fill the topics unless they hold what is asked for; what is of another run is deleted.

    Args:
        root: folder of this measurement.
        cache: folder of downloads.
        holds: what the topics hold, in words that JSON can write.
        fill: makes it so.
        options: further settings of the roles.
    """
    mark = root / _HOLDS
    wanted = json.dumps(dict(holds), sort_keys=True)
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted:
        fresh(root)
    settings = {"DRIFTLINE_SOURCE_PARTITIONS": str(PARTITIONS), **(options or {})}
    with Stack(root, cache=cache, options=settings, say=print) as stack:
        found = World(stack, stack.settings, stack.warehouse)
        if not mark.exists():
            fill(found)
            mark.write_text(wanted, encoding="utf-8")
        yield found
