"""The fast way: a batch of JSON events straight into columns, by the native decoder, where it is installed.

It leaves to the careful way (``accept``) whatever it is not sure of, and everything when it is not installed.
"""

import math
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from streams.aggregate.batch import Batch
from streams.aggregate.keys import Keys
from streams.aggregate.layout import Layout, Names
from streams.aggregate.models import Models
from streams.aggregate.rows import DEAD, EVENT, Features, Ints, OutcomeRows, PredictionRows, Texts

try:
    from driftline_native import Decoder
except ImportError:
    _decoder: "type[Decoder] | None" = None
else:
    _decoder = Decoder

T = TypeVar("T")

INSTALLED = _decoder is not None
"""Whether there is a fast way."""

_NOT_SURE = -1


class Fast:
    """A decoder for all models that there are.

    Args:
        models: every known model; their changes are followed.
        partitions: how many source partitions there are.
    """

    def __init__(self, models: Models, partitions: int) -> None:
        self._models = models
        self._partitions = partitions
        self._revision = -1
        self._decoder: Decoder | None = None
        self._layouts: list[Layout] = []
        self._newest: Ints = np.zeros(0, np.int64)

    def predictions(self, batch: Batch) -> tuple[PredictionRows, Ints]:
        """Columns of a batch, with the partition in which each id lives; kind DEAD where the careful way must look."""
        decoder, count = self._follow(), len(batch)
        if decoder is None or not any(batch.values):
            rows = PredictionRows(
                **_blank(batch),
                version=np.zeros(count, np.int64),
                segment=np.zeros(count, np.int64),
                role=np.zeros(count, np.int8),
                score=np.full(count, np.nan),
                place=np.full(count, -1),
                latency=np.full(count, np.nan),
                late=np.zeros(count, np.bool_),
            )
            return rows, np.zeros(count, np.int64)
        found = decoder.predictions(batch.values, True)
        sure, common, home = self._common(batch, found)
        rows = PredictionRows(
            **common,
            version=_recoded(found.version, decoder.versions, self._models.versions, self._versions),
            segment=_recoded(found.segment, decoder.segments, self._models.segments, self._segments),
            role=_column(found.role, np.int8),
            score=_column(found.score, np.float64),
            place=_column(found.place, np.int32).astype(np.int64),
            latency=_column(found.latency, np.float64),
            late=np.zeros(count, np.bool_),
        )
        for plan, (places, numbers, codes_, scores) in found.blocks.items():
            layout, at = self._layouts[plan], _column(places, np.int32).astype(np.int64)
            rows.features.append(
                Features(
                    layout,
                    at,
                    _column(numbers, np.float64).reshape(len(at), len(layout.numbers)),
                    _column(codes_, np.int32).reshape(len(at), len(layout.categories)),
                )
            )
            if layout.plan is not None and layout.plan.task == "multiclass":
                table = _column(scores, np.float64).reshape(len(at), len(layout.plan.classes))
                for place, row in zip(at.tolist(), table.tolist(), strict=True):
                    # All or none of them are known.
                    rows.remember(place, () if math.isnan(row[0]) else tuple(row))
        _add_texts(rows.texts, found.texts, sure, ("prediction_id", "prediction", "scores", "features", "segments"))
        return rows, home

    def outcomes(self, batch: Batch) -> tuple[OutcomeRows, Ints]:
        """See :meth:`predictions`."""
        decoder = self._follow()
        if decoder is None or not any(batch.values):
            return OutcomeRows(**_blank(batch), target=np.zeros(len(batch))), np.zeros(len(batch), np.int64)
        found = decoder.outcomes(batch.values, True)
        sure, common, home = self._common(batch, found)
        rows = OutcomeRows(**common, target=_column(found.target, np.float64))
        _add_texts(rows.texts, found.texts, sure, ("prediction_id", "label"))
        return rows, home

    def _common(self, batch: Batch, found: Any) -> tuple[Ints, dict[str, Any], Ints]:
        """(Places of which the decoder is sure, columns of both topics, home partitions)."""
        model = _column(found.model, np.int32)
        columns = _blank(batch)
        event_time = columns["event_time"] = _column(found.event_time, np.int64)
        sure = np.flatnonzero(model != _NOT_SURE)
        if len(sure):
            generation, window = self._models.assign(self._newest[model[sure]], event_time[sure])
            # The careful way says why these are dead.
            plausible = self._models.tables.plausible(generation, event_time[sure], batch.log_ts[sure])
            if not plausible.all():
                sure, generation, window = sure[plausible], generation[plausible], window[plausible]
            columns["generation"][sure] = generation
            columns["window"][sure] = window
            columns["kind"][sure] = EVENT
        offsets, data = found.keys
        hashes = _column(found.hash, np.uint32)
        columns["keys"] = Keys.packed(data, np.diff(_column(offsets, np.int32)), hashes)
        return sure, columns, hashes.astype(np.int64) % self._partitions

    def _follow(self) -> "Decoder | None":
        """The decoder of the models as they are now."""
        if _decoder is not None and self._revision != self._models.revision:
            self._revision = self._models.revision
            self._layouts = [layout for layout in self._models.layouts.values() if layout.plan is not None]
            newest = [self._models.generations(layout.key)[0].code for layout in self._layouts]
            self._newest = np.array(newest, np.int64)
            self._decoder = _decoder([layout.plan for layout in self._layouts if layout.plan is not None])
            self._versions, self._segments = list[int](), list[int]()
        return self._decoder


def _blank(batch: Batch) -> dict[str, Any]:
    count = len(batch)
    return {
        "topic": batch.topic,
        "partition": batch.partition,
        "offset": batch.offset,
        "row": batch.row,
        "log_ts": batch.log_ts,
        "kind": np.full(count, DEAD, np.int8),
        "generation": np.zeros(count, np.int64),
        "event_time": np.zeros(count, np.int64),
        "window": np.zeros(count, np.int64),
        "keys": Keys.none(count),
        "verdict": np.zeros(count, np.int8),
    }


def _column(buffer: Any, kind: DTypeLike) -> NDArray[Any]:
    return np.frombuffer(buffer, kind)


def _recoded(buffer: Any, names: list[T], known: Names[T], codes: list[int]) -> Ints:
    """Codes of this decoder as codes of the process; ``codes`` are those of the decoder's names so far."""
    codes += [known.code(name) for name in names[len(codes) :]]
    found = _column(buffer, np.int32)
    return np.array(codes, np.int64)[found] if codes else np.zeros(len(found), np.int64)


def _add_texts(texts: list[Texts], found: Any, sure: Ints, names: tuple[str, ...]) -> None:
    if not len(sure):
        return
    columns: dict[str, pa.Array] = {}
    for name in names:
        offsets, data = found[name]
        whole = pa.StringArray.from_buffers(len(offsets) // 4 - 1, pa.py_buffer(offsets), pa.py_buffer(data))
        columns[name] = whole if len(sure) == len(whole) else whole.take(pa.array(sure))
    texts.append(Texts(sure, columns))
