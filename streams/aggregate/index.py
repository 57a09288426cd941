"""What the owner of a partition remembers of every prediction id: for duplicates and for the join.

Memory holds an id whole (all its versions, its first row, its newest timestamp) or not at all, so whatever is in
memory needs no look-up. ClickHouse holds every row below the committed positions; rows above them are in memory.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from schemas.partials import model_key
from streams.aggregate.decode import Refused
from streams.aggregate.models import Generation, Models
from streams.aggregate.tasks import Choice
from warehouse.client import Warehouse

IdKey = tuple[str, str]
"""(``namespace/model``, prediction id)."""

_IDS_PER_QUERY = 2_000
_segments = msgspec.json.Decoder(dict[str, str])


class PredictionSeen(Struct, gc=False):
    """The first prediction of one version for an id. ``log_ts``, ``offset`` are those of its newest copy."""

    version: str
    offset: int
    log_ts: int
    event_time: int
    window_start: int
    generation: Generation
    late: bool
    score: float | None
    segments: tuple[str, ...]
    choice: Choice | None = None


class OutcomeSeen(Struct, gc=False):
    """The first outcome of an id. ``log_ts``, ``offset`` and ``newest`` (its target) are those of the newest one."""

    offset: int
    log_ts: int
    event_time: int
    target: float
    newest: float


def segments_of(generation: Generation, tags: dict[str, str]) -> tuple[str, ...]:
    """``tag=value`` for each tag that the spec names and the event has."""
    return tuple([f"{tag}={tags[tag]}" for tag in generation.tags if tag in tags])


class Index:
    """Ids of one partition.

    Args:
        capacity: how many ids each of the two sides keeps after a checkpoint.
        positions: the committed positions of (predictions, outcomes): rows below them are in ClickHouse.
    """

    def __init__(
        self, partition: int, warehouse: Warehouse, models: Models, capacity: int, positions: tuple[int, int]
    ) -> None:
        self.predictions: dict[IdKey, tuple[PredictionSeen, ...]] = {}
        self.outcomes: dict[IdKey, OutcomeSeen] = {}
        self.committed = positions
        self._partition = partition
        self._warehouse = warehouse
        self._models = models
        self._capacity = capacity
        # As long as nothing was left out or forgotten, what is not in memory does not exist.
        self._complete = [position <= capacity for position in positions]

    def load(self) -> None:
        """Read the newest ``capacity`` rows of each topic below the committed positions, with all rows of their ids."""
        for side, (table, columns) in enumerate(_SIDES):
            below = self.committed[side]
            newest = "" if self._complete[side] else _WITH_ROWS_SINCE.format(table=table)
            if below:
                rows = self._warehouse.rows(
                    f"SELECT {columns} FROM {table} FINAL "  # noqa: S608  all parts are ours
                    f"WHERE `partition` = {{p:UInt16}} AND `offset` < {{below:UInt64}} {newest} ORDER BY `offset`",
                    {"p": self._partition, "below": below, "since": max(0, below - self._capacity)},
                )
                self._remember(side, rows)

    def prefetch(self, keys: Iterable[IdKey]) -> None:
        """Bring the ids of a batch into memory: afterwards an id that is not there has no earlier row."""
        if all(self._complete):
            return
        wanted = set(keys)
        for side, known in enumerate(self._sides()):
            if not self._complete[side]:
                self._fetch(side, (key for key in wanted if key not in known))

    def _sides(self) -> tuple[dict[IdKey, Any], dict[IdKey, Any]]:
        return self.predictions, self.outcomes

    def _fetch(self, side: int, missing: Iterable[IdKey]) -> None:
        table, columns = _SIDES[side]
        by_model: dict[str, list[str]] = defaultdict(list)
        for key, prediction_id in missing:
            by_model[key].append(prediction_id)
        for key, ids in by_model.items():
            namespace, model = key.split("/", 1)
            for chunk in _chunks(ids, _IDS_PER_QUERY):
                rows = self._warehouse.rows(
                    f"SELECT {columns} FROM {table} FINAL "  # noqa: S608  all parts are ours
                    "WHERE namespace = {namespace:String} AND model = {model:String} "
                    "AND prediction_id IN {ids:Array(String)} "
                    "AND `partition` = {p:UInt16} AND `offset` < {below:UInt64} ORDER BY `offset`",
                    {
                        "namespace": namespace,
                        "model": model,
                        "ids": chunk,
                        "p": self._partition,
                        "below": self.committed[side],
                    },
                )
                self._remember(side, rows)

    def _remember(self, side: int, rows: list[tuple[Any, ...]]) -> None:
        for namespace, model, prediction_id, offset, log_ts, event_time, *rest in rows:
            key = (model_key(namespace, model), prediction_id)
            if side == 0:
                version, verdict, number, score, tags, prediction, scores = rest
                generation = self._models.numbered(key[0], number)
                if generation is None:
                    if self._models.outlived(key[0], number):
                        continue
                    raise LookupError(
                        f"raw_predictions names generation {number} of {key[0]}, which the models topic does not have. "
                        "Publish that generation again, then restart."
                    )
                self.add_prediction(
                    key,
                    PredictionSeen(
                        version=version,
                        offset=offset,
                        log_ts=log_ts,
                        event_time=event_time,
                        window_start=generation.grid.start(event_time),
                        generation=generation,
                        late=verdict == "late",
                        score=score,
                        segments=segments_of(generation, _segments.decode(tags)),
                        choice=generation.task.restored(prediction, scores),
                    ),
                )
            elif (target := self._target(key[0], *rest)) is not None:
                self.add_outcome(key, OutcomeSeen(offset, log_ts, event_time, target, newest=target))

    def _target(self, model: str, label: str, positive: int | None, value: float | None) -> float | None:
        """A stored label as a number, by the model of today; None when it means nothing to it.

        Classes never change, so any generation can tell. But a model that was deleted has none, and one that was
        declared again may be of another task.
        """
        generations = self._models.generations(model)
        if not generations:
            return None
        match generations[0].spec.task:
            case "binary":
                return None if positive is None else float(positive)
            case "regression":
                return value
        try:
            return generations[0].task.target(label)
        except Refused:
            return None

    def add_prediction(self, key: IdKey, new: PredictionSeen) -> bool:
        """Remember a prediction; whether it is the first of its id and version."""
        known = self.predictions.get(key, ())
        for seen in known:
            if seen.version == new.version:
                seen.offset, seen.log_ts = new.offset, max(seen.log_ts, new.log_ts)
                return False
        self.predictions[key] = (*known, new)
        return True

    def add_outcome(self, key: IdKey, new: OutcomeSeen) -> bool:
        """Remember an outcome; whether it is the first of its id."""
        seen = self.outcomes.get(key)
        if seen is not None:
            seen.offset, seen.log_ts, seen.newest = new.offset, max(seen.log_ts, new.log_ts), new.newest
            return False
        self.outcomes[key] = new
        return True

    def forget(self, model: str) -> None:
        """Let go of a model (``namespace/model``) that was deleted: its rows are read again, as a new owner does.

        Nothing of it may wait for a checkpoint. What is left of its predictions counts no more; of its outcomes, what
        means something to the model that is declared now.
        """
        for key in [key for key in self.predictions if key[0] == model]:
            del self.predictions[key]
        for key in [key for key in self.outcomes if key[0] == model]:
            del self.outcomes[key]
            self._complete[1] = False

    def commit(self, positions: tuple[int, int]) -> None:
        """Rows below ``positions`` are in ClickHouse now: forget the oldest ids beyond the capacity."""
        self.committed = positions
        for side, known in enumerate(self._sides()):
            excess = len(known) - self._capacity
            if excess > 0:
                # A tenth more than needed, so that not every checkpoint has to.
                for key in list(islice(known, excess + self._capacity // 10)):
                    del known[key]
                self._complete[side] = False


_WITH_ROWS_SINCE = (
    "AND (namespace, model, prediction_id) IN (SELECT namespace, model, prediction_id FROM {table} "
    "WHERE `partition` = {{p:UInt16}} AND `offset` < {{below:UInt64}} AND `offset` >= {{since:UInt64}})"
)
_COMMON = (
    "namespace, model, prediction_id, `offset`, toUnixTimestamp64Milli(log_ts), toUnixTimestamp64Milli(event_time)"
)
_SIDES = (
    ("raw_predictions", f"{_COMMON}, version, verdict, generation, score, segments, prediction, scores"),
    ("raw_outcomes", f"{_COMMON}, label, positive, value"),
)


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
