"""What was left out of memory is found again by bits that ClickHouse computes as we do."""

import zlib

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given
from hypothesis import strategies as st

from streams.aggregate import seen
from streams.aggregate.keys import Keys
from streams.aggregate.routing import hashes_of
from streams.aggregate.seen import HASHES, Seen
from warehouse.client import Warehouse

IDS = ["", "a", "ab", "abc", "abcd", "0123456789" * 20, "größe", "名前", "a/b", "p00000001"]


def test_clickhouse_hashes_as_we_do(clickhouse: Client) -> None:
    rows = Warehouse(clickhouse, patience=30).rows(
        f"SELECT {HASHES} FROM (SELECT 'default' AS namespace, 'delay' AS model, "  # noqa: S608
        "arrayJoin({ids:Array(String)}) AS prediction_id)",
        {"ids": IDS},
    )
    keys = [f"default/delay/{i}".encode() for i in IDS]
    assert rows == list(zip(hashes_of(keys).tolist(), map(zlib.crc32, keys), strict=True))


def test_both_ways_of_setting_bits_set_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [b"m/%d" % number for number in range(10_000)]
    for partitions in (1, 12):
        there = [Seen(partitions), Seen(partitions)]
        there[0].add(Keys.of(names))
        with monkeypatch.context() as patch:
            patch.setattr(seen, "_mark", None)
            there[1].add(Keys.of(names))
        assert np.array_equal(there[0]._bits, there[1]._bits)
        assert int(np.unpackbits(there[0]._bits).sum()) > 3.9 * len(names)


@given(st.sets(st.binary(max_size=40)), st.sets(st.binary(max_size=40)), st.integers(1, 12))
def test_what_was_added_is_always_found(added: set[bytes], others: set[bytes], partitions: int) -> None:
    found = Seen(partitions)
    found.add(Keys.of(sorted(added)))
    assert set(found.maybe(Keys.of(sorted(added))).tolist()) == added
    assert set(found.maybe(Keys.of(sorted(others))).tolist()) <= added, "all bits are others'"


def test_of_many_ids_hardly_a_new_one_may_be_there() -> None:
    """Of three million (1 - e^(-4 n / m))^4, one in 18,000."""
    found = Seen(1)
    found.add(Keys.of([b"m/%d" % number for number in range(3_000_000)]))
    new = Keys.of([b"m/%d" % number for number in range(3_000_000, 4_000_000)])
    assert 25 <= len(found.maybe(new)) <= 90
