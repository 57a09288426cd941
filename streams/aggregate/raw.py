"""Rows of ``raw_predictions`` and ``raw_outcomes``, as Arrow tables: columns go to ClickHouse as they are."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streams.aggregate.models import Models
from streams.aggregate.rows import EVENT, ROLES, VERDICTS, Bools, Ints, OutcomeRows, PredictionRows, Rows

R = TypeVar("R", bound=Rows)

_INSTANT = pa.timestamp("ms", "UTC")
_TASKS = ("binary", "multiclass", "regression")
_BINARY, _REGRESSION = 0, 2


def prediction_table(batches: Sequence[PredictionRows], models: Models, seqs: Mapping[int, int]) -> pa.Table | None:
    """Rows of raw_predictions, in the columns of the table; None without events.

    Args:
        batches: judged.
        models: that the codes are of.
        seqs: number of the checkpoint that writes the rows, by partition.
    """
    if not (events := _Events(batches)).parts:
        return None
    generation = events.column("generation")
    return pa.table(
        {
            **_common(events, generation, models, seqs),
            "version": _named(events.column("version"), models.versions.all),
            "role": _named(events.column("role"), ROLES),
            "prediction": events.texts("prediction"),
            "score": pa.array(events.column("score"), from_pandas=True),
            "scores": events.texts("scores"),
            "features": _kept(events, models.tables.keeps_features[generation]),
            "segments": events.texts("segments"),
            "latency_ms": pa.array(events.column("latency"), from_pandas=True),
            "generation": pa.array(models.tables.number[generation], pa.uint32()),
        }
    )


def outcome_table(batches: Sequence[OutcomeRows], models: Models, seqs: Mapping[int, int]) -> pa.Table | None:
    """Rows of raw_outcomes; see :func:`prediction_table`."""
    if not (events := _Events(batches)).parts:
        return None
    generation, target = events.column("generation"), events.column("target")
    task = np.array([_TASKS.index(generation.spec.task) for generation in models.everything], np.int64)[generation]
    positive = np.where(task == _BINARY, target, 0).astype(np.uint8)
    return pa.table(
        {
            **_common(events, generation, models, seqs),
            "label": events.texts("label"),
            "positive": pa.array(positive, mask=task != _BINARY),
            "value": pa.array(target, mask=task != _REGRESSION),
        }
    )


class _Part(NamedTuple, Generic[R]):
    """Events of a batch whose texts are together; ``at``: their places."""

    rows: R
    at: Ints
    texts: Mapping[str, Any]


class _Events(Generic[R]):
    """The events of all batches, as columns."""

    def __init__(self, batches: Sequence[R]) -> None:
        self.parts: list[_Part[R]] = []
        for rows in batches:
            for texts in rows.texts:
                # Others live in another partition.
                mine = rows.kind[texts.rows] == EVENT
                if mine.all():
                    self.parts.append(_Part(rows, texts.rows, texts.columns))
                elif mine.any():
                    chosen = pa.array(np.flatnonzero(mine))
                    columns = {name: column.take(chosen) for name, column in texts.columns.items()}
                    self.parts.append(_Part(rows, texts.rows[mine], columns))

    def column(self, name: str) -> Any:
        """A column of ``Rows``."""
        return np.concatenate([getattr(part.rows, name)[part.at] for part in self.parts])

    def texts(self, name: str) -> pa.ChunkedArray:
        """A column of texts."""
        return pa.chunked_array([part.texts[name] for part in self.parts], pa.string())


def _kept(events: _Events[PredictionRows], keeps: Bools) -> pa.Array | pa.ChunkedArray:
    """Features as JSON, of the models whose raw rows keep them (``spec.raw.features``); else nobody asks for them."""
    if not keeps.any():
        return _named(np.zeros(len(keeps), np.int8), ("{}",))
    features = events.texts("features")
    return features if keeps.all() else pc.if_else(pa.array(keeps), features, "{}")


def _common(events: _Events[Any], generation: Ints, models: Models, seqs: Mapping[int, int]) -> dict[str, Any]:
    partition = events.column("partition")
    by_partition = np.zeros(int(partition.max()) + 1, np.int64)
    for number, seq in seqs.items():
        if number < len(by_partition):
            by_partition[number] = seq
    keys = [key.split("/", 1) for key in models.keys.all]
    namespaces = {name: code for code, name in enumerate(dict.fromkeys(namespace for namespace, _ in keys))}
    model = models.tables.model[generation]
    names = list(dict.fromkeys(name for _, name in keys))
    places = {name: code for code, name in enumerate(names)}
    return {
        "namespace": _named(np.array([namespaces[name] for name, _ in keys], np.int32)[model], list(namespaces)),
        "model": _named(np.array([places[name] for _, name in keys], np.int32)[model], names),
        "prediction_id": events.texts("prediction_id"),
        "partition": pa.array(partition, pa.uint16()),
        "offset": pa.array(events.column("offset"), pa.uint64()),
        "row": pa.array(events.column("row"), pa.uint32()),
        "log_ts": pa.array(events.column("log_ts")).view(_INSTANT),
        "event_time": pa.array(events.column("event_time")).view(_INSTANT),
        "verdict": _named(events.column("verdict"), VERDICTS),
        "seq": pa.array(by_partition[partition], pa.uint64()),
        "ttl_days": pa.array(models.tables.ttl_days[generation], pa.uint16()),
    }


def _named(codes: Any, names: Sequence[str]) -> pa.DictionaryArray:
    """Names by their codes: each is sent once."""
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names, pa.string()))
