"""What the owner of a partition remembers of every prediction id: for duplicates and for the join.

Memory holds an id whole (all its versions, its first row, its newest timestamp) or not at all, so whatever is in
memory needs no look-up. ClickHouse holds every row below the committed positions; rows above them are in memory.
"""

import sys
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams.aggregate.decode import Refused
from streams.aggregate.groups import Groups
from streams.aggregate.keys import Keys
from streams.aggregate.models import Generation, Models
from streams.aggregate.remembered import Ints, Outcomes, Predictions, Remembered
from streams.aggregate.seen import Seen

_segments = msgspec.json.Decoder(dict[str, str])

OF_CLASSES = ", prediction, scores"
"""Of raw_predictions, what only models of several classes need: it is a fifth of what a look-up costs."""

_COMMON = (
    "concat(namespace, '/', model) AS of, concat(namespace, '/', model, '/', prediction_id) AS key, "
    "toUnixTimestamp64Milli(log_ts) AS logged, toUnixTimestamp64Milli(event_time) AS happened"
)
SIDES = (
    (
        "raw_predictions",
        f"{_COMMON}, toString(version) AS answered, verdict = 'late' AS late, generation, score, segments{OF_CLASSES}",
    ),
    ("raw_outcomes", f"{_COMMON}, label, positive, value"),
)


def segments_of(generation: Generation, tags: dict[str, str]) -> tuple[str, ...]:
    """``tag=value`` for each tag that the spec names and the event has."""
    return tuple([f"{tag}={tags[tag]}" for tag in generation.tags if tag in tags])


class Index:
    """Ids of one partition.

    Args:
        models: every known model.
        capacity: how many ids each of the two sides keeps after a checkpoint.
        positions: the committed positions of (predictions, outcomes): rows below them are in ClickHouse.
        partitions: how many source partitions there are.
    """

    def __init__(self, models: Models, capacity: int, positions: tuple[int, int], *, partitions: int = 1) -> None:
        self.predictions, self.outcomes = Predictions(), Outcomes()
        self.committed = positions
        # Per side; None as long as nothing was left out or forgotten: what is not in memory does not exist.
        self._seen: list[Seen | None] = [None, None]
        self.partitions = partitions
        self._models = models
        self._capacity = capacity

    @property
    def sides(self) -> tuple[Remembered, Remembered]:
        """Predictions and outcomes."""
        return self.predictions, self.outcomes

    def of_classes(self, model: str) -> bool:
        """Whether a model (``namespace/model``) is one of several classes."""
        return any(generation.spec.task == "multiclass" for generation in self._models.generations(model))

    def left_out(self, side: int) -> Seen:
        """The ids of a side that are not in memory."""
        seen = self._seen[side]
        if seen is None:
            seen = self._seen[side] = Seen(self.partitions)
        return seen

    def missing(self, keys: Callable[[], Sequence[Keys]]) -> list[list[bytes]]:
        """Per side: those of a batch's ids that are not in memory and may be in ClickHouse.

        Args:
            keys: columns of ids, asked for only when something was left out of memory. Their bytes are those of all
                partitions, and are not copied.
        """
        if not any(self._seen):
            return [[], []]
        columns = keys()
        found: list[list[bytes]] = []
        for known, seen in zip(self.sides, self._seen, strict=True):
            maybe: list[bytes] = []
            if seen is not None:
                for wanted in columns:
                    maybe += seen.maybe(wanted.take(np.flatnonzero(known.find(wanted) < 0))).tolist()
            found.append(list(dict.fromkeys(maybe)))
        return found

    def forget(self, model: str) -> None:
        """Let go of a model (``namespace/model``) that was deleted: its rows are read again, as a new owner does.

        Nothing of it may wait for a checkpoint. What is left of its predictions counts no more; of its outcomes, what
        means something to the model that is declared now.
        """
        for side in range(len(SIDES)):
            self._let_go(side, sys.maxsize, f"{model}/".encode())

    def commit(self, positions: tuple[int, int]) -> None:
        """Rows below ``positions`` are in ClickHouse now: forget the oldest ids beyond the capacity."""
        self.committed = positions
        for side, known in enumerate(self.sides):
            excess = len(known) - self._capacity
            if excess > 0:
                # A tenth more than needed, so that not every checkpoint has to.
                self._let_go(side, excess + self._capacity // 10)

    def _let_go(self, side: int, count: int, prefix: bytes = b"") -> None:
        forgotten = self.sides[side].forget(count, prefix)
        if len(forgotten):
            self.left_out(side).add(forgotten)

    def remember(self, side: int, found: pa.Table) -> None:
        """Take in rows of ClickHouse, in the order of the log."""
        if len(found):
            (self._add_outcomes if side else self._add_predictions)(found.combine_chunks())

    def remember_whole(self, side: int, found: pa.Table) -> None:
        """The same of an empty memory, but for ids that may have rows before these: an id is remembered whole."""
        seen = self._seen[side]
        if seen is not None:
            found = found.filter(pa.array(~seen.known(_keys(found.combine_chunks()))))
        self.remember(side, found)

    def _add_predictions(self, found: pa.Table) -> None:
        names, of = _encoded(found, "of")
        numbers = whole_numbers(found, "generation")
        groups = Groups.of(of, numbers)
        codes = np.array([self._code(names[of[row]], int(numbers[row])) for row in groups.first.tolist()], np.int64)
        generation = codes[groups.ids]
        if (generation < 0).any():
            kept = np.flatnonzero(generation >= 0)
            found, generation = found.take(pa.array(kept)).combine_chunks(), generation[kept]
        if not len(found):
            return
        happened = whole_numbers(found, "happened")
        versions, version = _encoded(found, "answered")
        known = self.predictions
        first, new = known.claim(_keys(found))
        known.write(
            new,
            log_ts=whole_numbers(found, "logged"),
            event_time=happened,
            window=self._models.tables.start(generation, happened),
            generation=generation,
            version=np.array([self._models.versions.code(name) for name in versions], np.int64)[version],
            segment=self._segments(found, generation),
            score=_floats(found, "score"),
            late=whole_numbers(found, "late"),
            place=-1,
        )
        self._choices(found, generation, new, known)
        for row in np.flatnonzero(first != new).tolist():
            self._again(known, int(first[row]), int(new[row]))

    def _again(self, known: Predictions, first: int, new: int) -> None:
        slot, last = known.seen(first, known.get("version", new))
        if slot is None:
            known.put("following", last, new)
        else:
            known.put("log_ts", slot, max(known.get("log_ts", slot), known.get("log_ts", new)))

    def _code(self, model: str, number: int) -> int:
        """Code of a generation; -1 when the model was deleted."""
        generation = self._models.numbered(model, number)
        if generation is not None:
            return generation.code
        if self._models.outlived(model, number):
            return -1
        raise LookupError(
            f"raw_predictions names generation {number} of {model}, which the models topic does not have. "
            "Publish that generation again, then restart."
        )

    def _segments(self, found: pa.Table, generation: Ints) -> Ints:
        texts, text = _encoded(found, "segments")
        groups = Groups.of(generation, text)
        codes = [
            self._models.segments.code(
                segments_of(self._models.everything[generation[row]], _segments.decode(texts[text[row]] or "{}"))
            )
            for row in groups.first.tolist()
        ]
        return np.array(codes, np.int64)[groups.ids]

    def _choices(self, found: pa.Table, generation: Ints, new: Ints, known: Predictions) -> None:
        """What models of several classes chose."""
        tasks = np.array([g.spec.task == "multiclass" for g in self._models.everything])
        rows = np.flatnonzero(tasks[generation])
        if not len(rows):
            return
        predictions, scores = (found.column(name).to_pylist() for name in ("prediction", "scores"))
        for row in rows.tolist():
            choice = self._models.everything[generation[row]].task.restored(predictions[row], scores[row])
            if choice is not None:
                known.put("place", new[row], choice.predicted)
                known.probabilities[int(new[row])] = choice.scores

    def _add_outcomes(self, found: pa.Table) -> None:
        names, of = _encoded(found, "of")
        target = np.full(len(found), np.nan)
        for code, name in enumerate(names):
            rows = np.flatnonzero(of == code)
            target[rows] = self._targets(name, found.take(pa.array(rows)))
        kept, lost = np.flatnonzero(~np.isnan(target)), np.flatnonzero(np.isnan(target))
        if len(lost):
            # They may mean something to a model that is declared later under the same name.
            self.left_out(1).add(_keys(found.take(pa.array(lost))))
        if not len(kept):
            return
        found, target = found.take(pa.array(kept)).combine_chunks(), target[kept]
        known, logged = self.outcomes, whole_numbers(found, "logged")
        first, new = known.claim(_keys(found))
        known.write(new, log_ts=logged, event_time=whole_numbers(found, "happened"), target=target, newest=target)
        for row in np.flatnonzero(first != new).tolist():
            slot = int(first[row])
            known.put("log_ts", slot, max(known.get("log_ts", slot), int(logged[row])))
            known.put("newest", slot, target[row])

    def _targets(self, model: str, found: pa.Table) -> NDArray[np.float64]:
        """Stored labels as numbers, by the model of today; NaN where one means nothing to it.

        Classes never change, so any generation can tell. But a model that was deleted has none, and one that was
        declared again may be of another task.
        """
        generations = self._models.generations(model)
        if not generations:
            return np.full(len(found), np.nan)
        match generations[0].spec.task:
            case "binary":
                return _floats(found, "positive")
            case "regression":
                return _floats(found, "value")
        labels, label = _encoded(found, "label")
        return np.array([_place(generations[0], text) for text in labels])[label]


def _place(generation: Generation, label: str) -> float:
    try:
        return generation.task.target(label)
    except Refused:
        return np.nan


def _encoded(found: pa.Table, name: str) -> tuple[list[str], Ints]:
    """The distinct values of a column of texts, and the place of each row's among them."""
    column = found.column(name).combine_chunks()
    encoded = (column.chunk(0) if isinstance(column, pa.ChunkedArray) else column).dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def whole_numbers(found: pa.Table, name: str) -> Ints:
    """A column of whole numbers."""
    return np.asarray(found.column(name).to_numpy(), np.int64)


def _floats(found: pa.Table, name: str) -> NDArray[np.float64]:
    """A nullable column; NaN is null."""
    return np.asarray(found.column(name).cast(pa.float64()).to_numpy(), np.float64)


def _keys(found: pa.Table) -> Keys:
    column = found.column("key").combine_chunks()
    return Keys.arrow(column.chunk(0) if isinstance(column, pa.ChunkedArray) else column)
