"""What is asked of ClickHouse about the ids of a batch: those that memory does not hold, and that may be there."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.binding import format_query_value

from streams.aggregate.index import OF_CLASSES, SIDES, Index
from streams.aggregate.keys import Keys
from warehouse.client import Warehouse

_AT_ONCE = 200_000
_LONGEST_QUERY = 100_000_000
"""Ids of a query, and bytes of its text. Ids are hashes, and any thousands of them are in every block of the table: a
query costs what the table is large, and little more for more ids."""

_FEW, _TOGETHER = 1_000, 10_000
"""Ids of a model that are looked up with those of others, and how many together: of a hundred models each batch has a
few ids to look up, and a query for each would take longer than all else."""

Model = tuple[str, str]
"""Namespace and name."""


class _Question(NamedTuple):
    """Ids to look up at once: the models that they are of, and a condition in SQL, with its parameters."""

    models: Sequence[Model]
    condition: str
    parameters: dict[str, str]


def prefetch(
    indexes: Mapping[int, Index], keys: Mapping[int, Callable[[], Sequence[Keys]]], warehouse: Warehouse
) -> int:
    """Bring the ids of a batch into memory: afterwards an id that is not there has no earlier row.

    One query for all partitions, since a look-up of many ids costs ClickHouse about as much as one of a few.

    Args:
        indexes: by partition.
        keys: ids of the batch, by partition; columns of them.
        warehouse: where rows below the committed positions are.

    Returns:
        How many ids were looked up.
    """
    looked_up = 0
    missing = {partition: indexes[partition].missing(of) for partition, of in keys.items()}
    for side in range(len(SIDES)):
        by_model: dict[Model, list[str]] = defaultdict(list)
        for of in missing.values():
            for key in of[side]:
                namespace, model, prediction_id = key.decode().split("/", 2)
                by_model[namespace, model].append(prediction_id)
        looked_up += sum(map(len, by_model.values()))
        for question in _questions(by_model):
            found = _answer(side, question, indexes, warehouse)
            for partition in set(found.column("p").to_pylist()):
                indexes[partition].remember(side, found.filter(pc.equal(found.column("p"), partition)))
    return looked_up


def _questions(by_model: Mapping[Model, list[str]]) -> Iterator[_Question]:
    # In the text of the query, which may be long: a field of a form may not (128 KiB).
    together: list[tuple[str, str, str]] = []
    for model, ids in by_model.items():
        if len(ids) < _FEW and len(by_model) > 1:
            together += [(*model, prediction_id) for prediction_id in ids]
            continue
        # A byte of an id may be two in a literal, and a character four bytes.
        at_once = min(_AT_ONCE, _LONGEST_QUERY // (8 * max(map(len, ids)) + 8))
        for start in range(0, len(ids), at_once):
            yield _Question(
                [model],
                "namespace = {namespace:String} AND model = {model:String} "
                f"AND prediction_id IN {format_query_value(ids[start : start + at_once])}",
                dict(zip(("namespace", "model"), model, strict=True)),
            )
    for start in range(0, len(together), _TOGETHER):
        some = together[start : start + _TOGETHER]
        # A tuple of tuples is one literal to the parser; an array of them is a tree of functions.
        tuples = format_query_value(some)[1:-1]
        yield _Question(sorted({of[:2] for of in some}), f"(namespace, model, prediction_id) IN ({tuples})", {})


def _answer(side: int, question: _Question, indexes: Mapping[int, Index], warehouse: Warehouse) -> pa.Table:
    table, columns = SIDES[side]
    index, *_ = indexes.values()
    if not any(index.of_classes("/".join(model)) for model in question.models):
        columns = columns.removesuffix(OF_CLASSES)
    return warehouse.arrow(
        f"SELECT {columns}, `partition` AS p FROM {table} FINAL "  # noqa: S608  ids are escaped by the client
        f"WHERE {question.condition} AND `partition` IN {{partitions:Array(UInt16)}} "
        "AND `offset` < transform(`partition`, {partitions:Array(UInt16)}, {below:Array(UInt64)}, toUInt64(0)) "
        "ORDER BY `offset`, `row`",
        {
            **question.parameters,
            "partitions": list(indexes),
            "below": [index.committed[side] for index in indexes.values()],
        },
        # Rows of one identity have one timestamp, and so are in one part of the table.
        settings={"do_not_merge_across_partitions_select_final": 1, "max_query_size": _LONGEST_QUERY},
    )
