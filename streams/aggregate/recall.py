"""What a new owner of partitions reads of the ids before it: the newest, and of all others that they may be there.

Everything could be read, up to what memory holds. But events wait meanwhile, and a million ids per partition take
seconds of ClickHouse's time and of ours; most of them are never asked for again.
"""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from streams.aggregate.index import SIDES, Index, whole_numbers
from streams.aggregate.seen import HASHES
from warehouse.client import Warehouse

_OWNED = "`partition` IN {owned:Array(UInt16)}"
_BELOW, _SINCE = (
    f"transform(`partition`, {{owned:Array(UInt16)}}, {{{name}:Array(UInt64)}}, toUInt64(0))"
    for name in ("below", "since")
)


def recall(indexes: Mapping[int, Index], warehouse: Warehouse, newest: int) -> None:
    """Let empty indexes know every id below their committed positions; one scan of each table for all partitions.

    Args:
        indexes: by partition.
        warehouse: where the rows are.
        newest: so many events of each partition and topic, at most, are read into memory.
    """
    for side, (table, columns) in enumerate(SIDES):
        below = {p: index.committed[side] for p, index in indexes.items() if index.committed[side]}
        since = _since(table, below, newest, warehouse) if below else {}
        asked = {"owned": list(below), "below": list(below.values()), "since": list(since.values())}
        if any(since.values()):
            _note_older(side, indexes, warehouse, asked)
        if below:
            # Rows of one event are one row, written again: the newest counts, as where they are merged.
            found = warehouse.arrow(
                f"SELECT {columns}, `partition` AS p FROM {table} WHERE {_OWNED} "  # noqa: S608  all parts are ours
                f"AND `offset` < {_BELOW} AND `offset` >= {_SINCE} "
                "ORDER BY `offset`, `row`, seq DESC LIMIT 1 BY `partition`, `offset`, `row`, key",
                asked,
            )
            for p in below:
                indexes[p].remember_whole(side, found.filter(pc.equal(found.column("p"), p)))


def _since(table: str, below: Mapping[int, int], newest: int, warehouse: Warehouse) -> dict[int, int]:
    """By partition the offset from which on there are no more than so many events, of which a message may have many."""
    since = {p: max(0, end - newest) for p, end in below.items()}
    found = warehouse.rows(
        "SELECT p, max(at) + 1 FROM ("  # noqa: S608  all parts are ours
        "SELECT p, at, sum(events) OVER (PARTITION BY p ORDER BY at DESC) AS newer FROM ("
        # Not how many rows there are: some may have been written again.
        "SELECT `partition` AS p, `offset` AS at, toUInt64(max(`row`)) + 1 AS events "
        f"FROM {table} WHERE {_OWNED} AND `offset` < {_BELOW} AND `offset` >= {_SINCE} GROUP BY p, at"
        ")) WHERE newer > {newest:UInt64} GROUP BY p",
        {"owned": list(below), "below": list(below.values()), "since": list(since.values()), "newest": newest},
    )
    return since | dict(found)


def _note_older(side: int, indexes: Mapping[int, Index], warehouse: Warehouse, asked: dict[str, list[int]]) -> None:
    def note(block: pa.Table) -> None:
        for p in pc.unique(block.column("p")).to_pylist():
            rows = block.filter(pc.equal(block.column("p"), p))
            indexes[p].left_out(side).add_hashes(whole_numbers(rows, "hash"), whole_numbers(rows, "checksum"))

    warehouse.arrow_blocks(
        f"SELECT `partition` AS p, {HASHES} FROM {SIDES[side][0]} "  # noqa: S608  all parts are ours
        f"WHERE {_OWNED} AND `offset` < {_SINCE}",
        note,
        asked,
    )
