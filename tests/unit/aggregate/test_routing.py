"""The partition of an id, as other clients' partitioners have it."""

import random

from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from streams.aggregate.routing import partitions_of


@given(keys=st.lists(st.binary(max_size=70), max_size=30), partitions=st.integers(1, 40))
def test_every_key_goes_where_murmur2_says(keys: list[bytes], partitions: int) -> None:
    expected = [(murmur2(key) & 0x7FFFFFFF) % partitions for key in keys]
    assert partitions_of(keys, partitions).tolist() == expected


def test_keys_as_they_are_and_long_ones() -> None:
    rng = random.Random(1)
    keys = [f"payments/fraud/{'ü' * rng.randrange(200)}{number}".encode() for number in range(2_000)]
    expected = [(murmur2(key) & 0x7FFFFFFF) % 12 for key in keys]
    assert partitions_of(keys, 12).tolist() == expected


def test_trailing_zeros_belong_to_a_key() -> None:
    keys = [b"a", b"a\x00", b"a\x00\x00\x00", b"a\x00\x00\x00\x00", b""]
    expected = [(murmur2(key) & 0x7FFFFFFF) % 1_000 for key in keys]
    assert partitions_of(keys, 1_000).tolist() == expected
