"""What was left out of memory is found again by a bit that ClickHouse computes as we do."""

from clickhouse_connect.driver.client import Client
from hypothesis import given
from hypothesis import strategies as st

from streams.aggregate.keys import Keys
from streams.aggregate.routing import hashes_of
from streams.aggregate.seen import BITS, PLACE, Seen
from warehouse.client import Warehouse

IDS = ["", "a", "ab", "abc", "abcd", "0123456789" * 20, "größe", "名前", "a/b", "p00000001"]


def test_clickhouse_names_the_bit_that_we_name(clickhouse: Client) -> None:
    warehouse = Warehouse(clickhouse, patience=30)
    for partitions in (1, 4, 12):
        rows = warehouse.rows(
            f"SELECT prediction_id, {PLACE} FROM (SELECT 'default' AS namespace, 'delay' AS model, "  # noqa: S608
            "arrayJoin({ids:Array(String)}) AS prediction_id)",
            {"ids": IDS, "partitions": partitions},
        )
        ours = [int(found) // partitions % BITS for found in hashes_of([f"default/delay/{i}".encode() for i in IDS])]
        assert [int(place) for _, place in rows] == ours


@given(st.sets(st.binary(max_size=40)), st.sets(st.binary(max_size=40)), st.integers(1, 12))
def test_what_was_added_is_always_found(added: set[bytes], others: set[bytes], partitions: int) -> None:
    seen = Seen(partitions)
    seen.add(Keys.of(sorted(added)))
    assert set(seen.maybe(Keys.of(sorted(added))).tolist()) == added
    assert len(set(seen.maybe(Keys.of(sorted(others))).tolist()) - added) <= 1, "a false alarm is rare"
