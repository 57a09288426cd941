"""What raw rows keep in words, of a batch by column: made only when raw rows are written."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.columnar import FEATURE, SCORE, SEGMENT, Batch, Column
from schemas.events import class_name

_NULL = "null"
_SMALLEST_PLAIN, _LARGEST_PLAIN = 1e-5, 1e10


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
    members = [
        (msgspec.json.encode(name.removeprefix(prefix)).decode(), column.kind, _chosen(column, at))
        for name, column in batch.columns.items()
        if name.startswith(prefix)
    ]
    if not members:
        return pa.repeat("{}", len(at))
    tokens = [_tokens(kind, values) for _, kind, values in members]
    if prefix == FEATURE or not any(values.null_count for _, _, values in members):  # type: ignore[union-attr]
        pieces: list[Any] = []
        for (name, _, _), values in zip(members, tokens, strict=True):
            pieces += [pa.scalar(f"{',' if pieces else '{'}{name}:"), values]
        return pc.binary_join_element_wise(*pieces, pa.scalar("}"), pa.scalar(""))
    rows = []
    for row in zip(*(column.to_pylist() for column in tokens), strict=True):
        said = [f"{name}:{value}" for (name, _, _), value in zip(members, row, strict=True) if value != _NULL]
        rows.append("{" + ",".join(said) + "}")
    return pa.array(rows, pa.string())


def _tokens(kind: str, values: Any) -> pa.Array:
    """Values as JSON, as an event that came alone is stored."""
    if kind == "number":
        return _numbers(values)
    if kind == "boolean":
        return values.cast(pa.string()).fill_null(_NULL)
    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    known = [msgspec.json.encode(value).decode() for value in coded.dictionary.to_pylist()]
    return pa.array(known, pa.string()).take(coded.indices).fill_null(_NULL)


def _numbers(values: pa.Array) -> pa.Array:
    """Numbers as JSON: Arrow writes those that need no exponent and are not whole as msgspec does, and sooner."""
    found = values.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        size = np.abs(found)
        plain = (size >= _SMALLEST_PLAIN) & (size < _LARGEST_PLAIN) & (found != np.rint(found))
    texts = values.cast(pa.string())
    if plain.all():
        return texts
    rest = np.flatnonzero(~plain)
    # What is NaN, null or not, is null.
    written = msgspec.json.encode(pa.array(found[rest], from_pandas=True).to_pylist())
    others = pa.array(written.decode()[1:-1].split(","), pa.string())
    return others if len(rest) == len(found) else pc.replace_with_mask(texts, pa.array(~plain), others)
