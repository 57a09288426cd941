"""The native table of ids says what a dictionary would, whatever is claimed, looked up and forgotten."""

import sys
import zlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from driftline_native import Ids as Table
from driftline_native import checksums, mark, prefixed
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from streams.aggregate.ids import NativeIds, PlainIds
from streams.aggregate.keys import Keys

NAMES = st.lists(st.sampled_from([b"", b"m/a", b"m/b", b"m/\0", b"n/a", b"n/" + b"x" * 300]) | st.binary(max_size=3))


class SameIds(RuleBasedStateMachine):
    """Both tables, asked and told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = NativeIds(), PlainIds()
        self.slot = 0

    def same(self, answers: list[Any]) -> Any:
        assert answers[0] == answers[1]
        return answers[0]

    @rule(names=NAMES, first=st.integers(0, 2))
    def claim(self, names: list[bytes], first: int) -> None:
        keys = Keys.of(names).take(slice(first, None))
        self.same([table.claim(keys, self.slot).tolist() for table in self.tables])
        self.slot += len(keys)

    @rule(names=NAMES)
    def find(self, names: list[bytes]) -> None:
        self.same([table.find(Keys.of(names)).tolist() for table in self.tables])

    @rule(count=st.integers(0, 6) | st.just(sys.maxsize), prefix=st.sampled_from([b"", b"", b"m/", b"n/", b"\0"]))
    def forget(self, count: int, prefix: bytes) -> None:
        forgotten = self.same([table.forget(count, prefix).tolist() for table in self.tables])
        assert len(forgotten) <= count

    @rule(first=st.integers(0, 1_000), count=st.integers(1, 300))
    def claim_many(self, first: int, count: int) -> None:
        self.claim([b"m/%d" % number for number in range(first, first + count)], 0)

    @invariant()
    def as_large_and_as_old(self) -> None:
        self.same([len(table) for table in self.tables])
        self.same([table.oldest() for table in self.tables])


TestSameIds = SameIds.TestCase
TestSameIds.settings = settings(max_examples=40, stateful_step_count=30)


def test_ids_that_come_and_go_by_the_hundred_thousand() -> None:
    native, plain = NativeIds(), PlainIds()
    for start in range(0, 400_000, 50_000):
        # Every tenth was there before.
        numbers = np.where(
            np.arange(50_000) % 10, np.arange(start, start + 50_000), np.arange(50_000) // 2 + start // 2
        )
        keys = Keys.of([b"default/delay/p%09d" % number for number in numbers.tolist()])
        assert (native.claim(keys, start) == plain.claim(keys, start)).all()
        if len(plain) > 150_000:
            assert native.forget(40_000).tolist() == plain.forget(40_000).tolist()
        assert (native.find(keys) == plain.find(keys)).all()
        assert native.oldest() == plain.oldest()


@pytest.mark.parametrize(
    ("start", "size"), [([0], [4]), ([4], [0]), ([-1], [1]), ([0], [-1]), ([2**62], [2**30]), ([0, 1], [1])]
)
def test_keys_outside_of_their_bytes_are_refused(start: list[int], size: list[int]) -> None:
    table = Table()
    columns = np.array(start, np.int64), np.array(size, np.int32)
    with pytest.raises(ValueError, match="within the 3 bytes"):
        table.claim(b"abc", *columns, 0)
    with pytest.raises(ValueError, match="within the 3 bytes"):
        table.find(b"abc", *columns)
    assert len(table) == 0


def test_columns_of_another_kind_are_refused() -> None:
    table, none = Table(), np.zeros(0, np.int64)
    with pytest.raises(TypeError, match="size must be a column of format i"):
        table.find(b"", none, none)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="from 0 on"):
        table.claim(b"", none, none.astype(np.int32), -1)
    with pytest.raises(TypeError, match="offsets must be"):
        prefixed(b"", none, b"")  # type: ignore[arg-type]


@given(st.lists(st.integers(-3, 5), max_size=4))
def test_offsets_that_fall_or_lie_outside_are_refused(offsets: list[int]) -> None:
    fit = bool(offsets) and offsets == sorted(offsets) and offsets[0] >= 0 and offsets[-1] <= 3
    if fit:
        keys, hashes = prefixed(b"m/", np.array(offsets, np.int32), b"abc")
        pieces = [b"m/" + b"abc"[a:b] for a, b in pairwise(offsets)]
        assert (bytes(keys), len(hashes)) == (b"".join(pieces), 4 * len(pieces))
        return
    with pytest.raises(ValueError, match="must not fall"):
        prefixed(b"m/", np.array(offsets, np.int32), b"abc")


@given(st.lists(st.binary(max_size=70)), st.integers(0, 3))
def test_checksums_are_those_of_zlib(names: list[bytes], first: int) -> None:
    keys = Keys.of(names).take(slice(first, None))
    found = np.frombuffer(checksums(keys.data, keys.start, keys.size), np.uint32)
    assert found.tolist() == [zlib.crc32(name) for name in names[first:]]


def test_checksums_are_of_keys_within_the_data() -> None:
    data, size = np.zeros(8, np.uint8), np.array([9], np.int32)
    with pytest.raises(ValueError, match="within the 8 bytes"):
        checksums(data, np.zeros(1, np.int64), size)
    with pytest.raises(TypeError):
        checksums(data, np.zeros(1, np.int64), size.astype(np.int64))


def test_bits_are_set_within_the_field_only() -> None:
    bits = np.zeros(16, np.uint8)
    mark(bits, np.array([3, 127, -1]), np.array([5, 1, 1]), 2)
    assert np.flatnonzero(np.unpackbits(bits, bitorder="little")).tolist() == [0, 3, 8, 127]
    for field, steps in ((np.zeros(12, np.uint8), [1]), (np.zeros(0, np.uint8), [1]), (bits, [1, 1])):
        with pytest.raises(ValueError, match="power of two"):
            mark(field, np.array([1]), np.array(steps), 1)
    with pytest.raises(TypeError):
        mark(bits, np.array([1.0]), np.array([1]), 1)
    bits.flags.writeable = False
    with pytest.raises((BufferError, TypeError)):
        mark(bits, np.array([1]), np.array([1]), 1)
