"""From batches of both topics to judged work: read, look up what is not in memory, classify."""

from collections.abc import Mapping, Sequence
from functools import partial

from streams.aggregate.batch import Batch
from streams.aggregate.classify import classify, keys_of
from streams.aggregate.decode import Dead
from streams.aggregate.keys import Keys
from streams.aggregate.look_up import prefetch
from streams.aggregate.models import Models
from streams.aggregate.read import Reader
from streams.aggregate.rows import EVENT, OutcomeRows, PredictionRows, Rows, Work
from streams.aggregate.state import State
from warehouse.client import Warehouse

_Both = tuple[PredictionRows | None, OutcomeRows | None]


class Judge:
    """What a member does with events.

    Args:
        models: every known model.
        partitions: how many source partitions there are.
        warehouse: where ids are that were left out of memory.

    Attributes:
        looked_up: how many ids of the last batches were asked for there.
    """

    def __init__(self, models: Models, partitions: int, warehouse: Warehouse) -> None:
        self._models = models
        self._warehouse = warehouse
        self._reader = Reader(models, partitions)
        self.looked_up = 0

    def judge(
        self, batches: Sequence[Batch], states: Mapping[int, State], work: Work, now: float
    ) -> list[tuple[Rows, list[Dead]]]:
        """Judge batches, at most one of each topic, and move the states past them.

        Args:
            batches: of partitions that have a state.
            states: by partition.
            work: what waits for the checkpoint; added to.
            now: seconds of the process's clock, for the idle rule.

        Returns:
            The rows of each batch, and the dead letters among them.
        """
        found: list[tuple[Rows, list[Dead]]] = []
        predictions: dict[int, PredictionRows] = {}
        outcomes: dict[int, OutcomeRows] = {}
        for batch in batches:
            dead = len(work.dead)
            rows = self._reader.read(batch, work)
            found.append((rows, work.dead[dead:]))
            if isinstance(rows, PredictionRows):
                at = rows.kind == EVENT
                work.extent.add(rows.partition[at], rows.generation[at], rows.window[at], self._models.everything)
            for partition, first, end in batch.spans():
                if isinstance(rows, PredictionRows):
                    predictions[partition] = rows.part(first, end)
                else:
                    outcomes[partition] = rows.part(first, end)
        both = {p: (predictions.get(p), outcomes.get(p)) for p in sorted({*predictions, *outcomes})}
        self.looked_up = prefetch(
            {partition: states[partition].index for partition in both},
            {partition: partial(_keys, rows) for partition, rows in both.items()},
            self._warehouse,
        )
        for partition, (first_half, second_half) in both.items():
            work.pairs += classify(states[partition], self._models, first_half, second_half, now)
        return found


def _keys(both: _Both) -> list[Keys]:
    return [keys_of(rows) for rows in both if rows is not None]
