"""Stage 1 without Kafka: events of :mod:`aggregate_world` classified, sketched and checkpointed into ClickHouse."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from aggregate_world import Sent, model_record
from engine_world import Engine

from schemas.models import ModelRecord
from schemas.settings import Settings
from streams.aggregate.checkpoint import Outputs, checkpoint
from streams.aggregate.decode import Record
from warehouse.client import Warehouse

RECORDS: tuple[ModelRecord, ...] = (model_record(), model_record(generation=2, effective_from=15_708 * 86_400_000))
"""Generation 1 has no reference, generation 2 has one and starts two days later."""


class Broker:
    """Acknowledges everything that a checkpoint asks of Kafka."""

    def commit(self, offsets: Sequence[Any], asynchronous: bool) -> list[Any]:
        return [SimpleNamespace(error=None) for _ in offsets]

    def produce(self, *_: Any, on_delivery: Callable[[Any, Any], None], **__: Any) -> None:
        on_delivery(None, None)

    def flush(self, _seconds: float) -> int:
        return 0


def logs(sent: Sequence[Sent], partitions: int, log_ts: int) -> dict[tuple[str, int], list[Record]]:
    """The records as they would be in the logs, all stamped ``log_ts``; an id stays in its partition."""
    found: dict[tuple[str, int], list[Record]] = {}
    for item in sent:
        place = (item.topic, sum(item.key) % partitions)
        log = found.setdefault(place, [])
        log.append(Record(item.topic, place[1], len(log), log_ts, item.value))  # type: ignore[arg-type]
    return found


def count(warehouse: Warehouse, settings: Settings, found: dict[tuple[str, int], list[Record]], batch: int) -> None:
    """Count the logs as stage 1 does, in batches with a checkpoint after each."""
    broker: Any = Broker()
    out = Outputs(settings, warehouse, broker, lambda _step: None)
    for p in sorted({partition for _, partition in found}):
        engine = Engine(warehouse, RECORDS, partition=p)
        sides = [found.get((topic, p), []) for topic in ("predictions", "outcomes")]
        for start in range(0, max(map(len, sides)), batch):
            predictions, outcomes = (side[start : start + batch] for side in sides)
            engine.count(predictions, outcomes)
            checkpoint({p: engine.state}, engine.work, engine.models, broker, out)
