"""What was left out of memory is found again by bits that ClickHouse computes as we do."""

import zlib

from clickhouse_connect.driver.client import Client
from hypothesis import given
from hypothesis import strategies as st

from streams.aggregate.keys import Keys
from streams.aggregate.routing import hashes_of
from streams.aggregate.seen import BITS, OF_AN_ID, PLACES, Seen
from warehouse.client import Warehouse

IDS = ["", "a", "ab", "abc", "abcd", "0123456789" * 20, "größe", "名前", "a/b", "p00000001"]


def test_clickhouse_names_the_bits_that_we_name(clickhouse: Client) -> None:
    warehouse = Warehouse(clickhouse, patience=30)
    for partitions in (1, 4, 12):
        rows = warehouse.rows(
            f"SELECT prediction_id, {PLACES} FROM (SELECT 'default' AS namespace, 'delay' AS model, "  # noqa: S608
            "arrayJoin({ids:Array(String)}) AS prediction_id)",
            {"ids": IDS, "partitions": partitions},
        )
        keys = [f"default/delay/{i}".encode() for i in IDS]
        ours = [
            [(int(found) // partitions + number * (zlib.crc32(key) | 1)) % BITS for number in range(OF_AN_ID)]
            for key, found in zip(keys, hashes_of(keys), strict=True)
        ]
        assert [list(map(int, places)) for _, places in rows] == ours


@given(st.sets(st.binary(max_size=40)), st.sets(st.binary(max_size=40)), st.integers(1, 12))
def test_what_was_added_is_always_found(added: set[bytes], others: set[bytes], partitions: int) -> None:
    seen = Seen(partitions)
    seen.add(Keys.of(sorted(added)))
    assert set(seen.maybe(Keys.of(sorted(added))).tolist()) == added
    assert set(seen.maybe(Keys.of(sorted(others))).tolist()) <= added, "all bits are others'"


def test_of_many_ids_hardly_a_new_one_may_be_there() -> None:
    """Of three million (1 - e^(-4 n / m))^4, one in 18,000."""
    seen = Seen(1)
    seen.add(Keys.of([b"m/%d" % number for number in range(3_000_000)]))
    new = Keys.of([b"m/%d" % number for number in range(3_000_000, 4_000_000)])
    assert 25 <= len(seen.maybe(new)) <= 90
