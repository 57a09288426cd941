"""Rows of ``raw_predictions`` and ``raw_outcomes``, as Arrow tables: columns go to ClickHouse as they are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streams.aggregate.models import Models
from streams.aggregate.rows import EVENT, ROLES, VERDICTS, Bools, OutcomeRows, PredictionRows, Rows

_INSTANT = pa.timestamp("ms", "UTC")


def prediction_table(batches: Sequence[PredictionRows], models: Models, seqs: Mapping[int, int]) -> pa.Table | None:
    """Rows of raw_predictions, in the columns of the table; None without events.

    Args:
        batches: judged.
        models: that the codes are of.
        seqs: number of the checkpoint that writes the rows, by partition.
    """
    versions = pa.array(models.versions.all, pa.string())
    parts = []
    for rows in batches:
        for at, texts in _events(rows):
            score, latency = rows.score[at], rows.latency[at]
            parts.append(
                pa.table(
                    {
                        **_common(rows, at, texts, models, seqs),
                        "version": versions.take(pa.array(rows.version[at])),
                        "role": _ROLE_NAMES.take(pa.array(rows.role[at])),
                        "prediction": texts["prediction"],
                        "score": pa.array(score, mask=np.isnan(score)),
                        "scores": texts["scores"],
                        "features": _kept(texts, models.tables.keeps_features[rows.generation[at]]),
                        "segments": texts["segments"],
                        "latency_ms": pa.array(latency, mask=np.isnan(latency)),
                        "generation": pa.array(models.tables.number[rows.generation[at]], pa.uint32()),
                    }
                )
            )
    return pa.concat_tables(parts) if parts else None


def outcome_table(batches: Sequence[OutcomeRows], models: Models, seqs: Mapping[int, int]) -> pa.Table | None:
    """Rows of raw_outcomes; see :func:`prediction_table`."""
    tasks = np.array([_TASKS.index(generation.spec.task) for generation in models.everything], np.int64)
    parts = []
    for rows in batches:
        for at, texts in _events(rows):
            target, task = rows.target[at], tasks[rows.generation[at]]
            positive = np.where(task == _BINARY, target, 0).astype(np.uint8)
            parts.append(
                pa.table(
                    {
                        **_common(rows, at, texts, models, seqs),
                        "label": texts["label"],
                        "positive": pa.array(positive, mask=task != _BINARY),
                        "value": pa.array(target, mask=task != _REGRESSION),
                    }
                )
            )
    return pa.concat_tables(parts) if parts else None


_TASKS = ("binary", "multiclass", "regression")
_BINARY, _REGRESSION = 0, 2
_ROLE_NAMES = pa.array(ROLES, pa.string())
_VERDICT_NAMES = pa.array(VERDICTS, pa.string())


def _kept(texts: Mapping[str, Any], keeps: Bools) -> pa.Array:
    """Features as JSON, of the models whose raw rows keep them (``spec.raw.features``); else nobody asks for them."""
    if not keeps.any():
        return pa.repeat("{}", len(keeps))
    features = texts["features"]
    return features if keeps.all() else pc.if_else(pa.array(keeps), features, "{}")


def _events(rows: Rows) -> list[tuple[Any, Mapping[str, Any]]]:
    """(Places, texts) of the events of a batch."""
    found = []
    for texts in rows.texts:
        kept = rows.kind[texts.rows] == EVENT
        if kept.all():
            found.append((texts.rows, texts.columns))
        elif kept.any():
            chosen = pa.array(np.flatnonzero(kept))
            found.append((texts.rows[kept], {name: column.take(chosen) for name, column in texts.columns.items()}))
    return found


def _common(rows: Rows, at: Any, texts: Mapping[str, Any], models: Models, seqs: Mapping[int, int]) -> dict[str, Any]:
    generation, partition = rows.generation[at], rows.partition[at]
    names = [generation.key.split("/", 1) for generation in models.everything]
    codes = pa.array(generation)
    by_partition = np.zeros(int(partition.max()) + 1, np.int64)
    for number, seq in seqs.items():
        if number < len(by_partition):
            by_partition[number] = seq
    return {
        "namespace": pa.array([name for name, _ in names], pa.string()).take(codes),
        "model": pa.array([name for _, name in names], pa.string()).take(codes),
        "prediction_id": texts["prediction_id"],
        "partition": pa.array(partition, pa.uint16()),
        "offset": pa.array(rows.offset[at], pa.uint64()),
        "row": pa.array(rows.row[at], pa.uint32()),
        "log_ts": pa.array(rows.log_ts[at]).cast(_INSTANT),
        "event_time": pa.array(rows.event_time[at]).cast(_INSTANT),
        "verdict": _VERDICT_NAMES.take(pa.array(rows.verdict[at])),
        "seq": pa.array(by_partition[partition], pa.uint64()),
        "ttl_days": pa.array(models.tables.ttl_days[generation], pa.uint16()),
    }
