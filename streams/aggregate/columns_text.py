"""What raw rows keep in words, of a batch by column: made only when raw rows are written."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import pyarrow as pa

from schemas.columnar import FEATURE, SCORE, SEGMENT, Batch, Column
from schemas.events import class_name

_NULL = "null"


class _Asked(Mapping[str, Any]):
    """Columns by name, each made when it is asked for."""

    def __init__(self, makers: dict[str, Callable[[], pa.Array]]) -> None:
        self._makers = makers

    def __getitem__(self, name: str) -> pa.Array:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def prediction_columns(batch: Batch, at: Any) -> Mapping[str, Any]:
    """Columns ``prediction_id``, ``prediction``, ``scores``, ``features`` and ``segments`` of rows of raw_predictions.

    Args:
        batch: of predictions.
        at: its rows that are events, in their order.
    """
    return _Asked(
        {
            "prediction_id": lambda: _ids(batch, at),
            "prediction": lambda: _classes(_chosen(batch.columns.get("prediction"), at), len(at)),
            "scores": lambda: _objects(batch, SCORE, at),
            "features": lambda: _objects(batch, FEATURE, at),
            "segments": lambda: _objects(batch, SEGMENT, at),
        }
    )


def outcome_columns(batch: Batch, at: Any) -> Mapping[str, Any]:
    """Columns ``prediction_id`` and ``label`` of rows of raw_outcomes; see :func:`prediction_columns`."""
    return _Asked(
        {
            "prediction_id": lambda: _ids(batch, at),
            "label": lambda: _classes(_chosen(batch.columns["label"], at), len(at)),
        }
    )


def _chosen(column: Column | None, at: Any) -> pa.Array | None:
    if column is None:
        return None
    return column.values if len(at) == len(column.values) else column.values.take(pa.array(at))


def _ids(batch: Batch, at: Any) -> pa.Array:
    return _chosen(batch.columns["prediction_id"], at).cast(pa.string())  # type: ignore[union-attr]


def _classes(values: pa.Array | None, count: int) -> pa.Array:
    """Predictions or labels as people write them; empty where there is none."""
    if values is None:
        return pa.repeat("", count)
    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    texts = ["" if value is None or value != value else class_name(value) for value in coded.dictionary.to_pylist()]  # noqa: PLR0124  NaN
    return pa.array(texts, pa.string()).take(coded.indices).fill_null("")


def _objects(batch: Batch, prefix: str, at: Any) -> pa.Array:
    """JSON objects of the columns whose names begin with ``prefix``; what is null is left out, but for features."""
    columns = {name.removeprefix(prefix): c for name, c in batch.columns.items() if name.startswith(prefix)}
    values = {name: _chosen(column, at) for name, column in columns.items()}
    if not columns:
        return pa.repeat("{}", len(at))
    if len(columns) == 1:
        [(name, value)] = values.items()
        return _one_member(name, value, says_null=prefix == FEATURE)
    tokens = [_tokens(column.kind, values[name]) for name, column in columns.items()]
    names = [msgspec.json.encode(name).decode() for name in columns]
    if prefix == FEATURE or not any(value.null_count for value in values.values()):  # type: ignore[union-attr]
        template = "{" + ",".join(f"{name.replace('%', '%%')}:%s" for name in names) + "}"
        return pa.array([template % row for row in zip(*tokens, strict=True)], pa.string())
    rows = []
    for row in zip(*tokens, strict=True):
        members = [f"{name}:{value}" for name, value in zip(names, row, strict=True) if value != _NULL]
        rows.append("{" + ",".join(members) + "}")
    return pa.array(rows, pa.string())


def _one_member(name: str, values: Any, *, says_null: bool) -> pa.Array:
    """Objects of one member: each different one is made once."""
    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    known = [msgspec.json.encode({name: value}).decode() for value in coded.dictionary.to_pylist()]
    nothing = msgspec.json.encode({name: None} if says_null else {}).decode()
    return pa.array(known, pa.string()).take(coded.indices).fill_null(nothing)


def _tokens(kind: str, values: Any) -> list[str]:
    """Values as JSON, as an event that came alone is stored."""
    if kind == "text":
        coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
        known = [msgspec.json.encode(value).decode() for value in [*coded.dictionary.to_pylist(), None]]
        return [known[-1 if index is None else index] for index in coded.indices.to_pylist()]
    found: list[str] = msgspec.json.encode(values.to_pylist()).decode()[1:-1].split(",")
    return found
