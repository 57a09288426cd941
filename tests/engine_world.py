"""Stage 1's engine without Kafka: records in, judged rows and counts out."""

from collections.abc import Sequence

from schemas.models import ModelRecord
from streams.aggregate.batch import Batch
from streams.aggregate.decode import Record
from streams.aggregate.index import Index
from streams.aggregate.judge import Judge
from streams.aggregate.models import Models
from streams.aggregate.rows import EVENT, SIDES, VERDICTS, Work
from streams.aggregate.sketches import sketch
from streams.aggregate.state import State
from warehouse.client import Warehouse


class Engine:
    """One source partition of ``partitions``, in memory."""

    def __init__(
        self, warehouse: Warehouse, records: Sequence[ModelRecord], *, partition: int = 0, partitions: int = 1
    ) -> None:
        self.models = Models()
        for record in records:
            self.models.learn(record)
        self.warehouse = warehouse
        index = Index(self.models, 10**6, (0, 0))
        self.state = State(partition, "me", 0, [0, 0], {}, index, set(), 0.0)
        self.work = Work()
        self.verdicts: dict[tuple[str, int], str] = {}
        self._judge = Judge(self.models, partitions, warehouse)

    def count(self, predictions: Sequence[Record], outcomes: Sequence[Record]) -> None:
        """Judge a batch and count it; what is written raw stays in ``work`` until :meth:`sketch`."""
        sides = zip(SIDES, (predictions, outcomes), strict=True)
        batches = [Batch.of_records(topic, records) for topic, records in sides if records]
        self._judge.judge(batches, {self.state.partition: self.state}, self.work, 0.0)

    def sketch(self) -> None:
        """Add what waits to the windows."""
        for rows in (*self.work.predictions, *self.work.outcomes):
            for kind, offset, verdict in zip(rows.kind, rows.offset, rows.verdict, strict=True):
                if kind == EVENT:
                    self.verdicts[rows.topic, int(offset)] = VERDICTS[verdict]
        for deltas in sketch(self.work, self.models).values():
            self.state.fetch(deltas, self.warehouse)
            self.state.add(deltas)
        self.work = Work(dead=self.work.dead, astray=self.work.astray)
