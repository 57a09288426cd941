"""Sketches: known values, grouped equals one by one, and the algebra that makes replays and batches invisible."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import sketch as sk
from detectors.sketch import Sketch, merge

EDGES = [-1.0, 0.0, 2.5]
CATEGORIES = ["a", "b", "false", "true"]

Column = list[float]
Maker = Callable[[Column, list[int], int], Sequence[Sketch]]


def number(column: Column, groups: list[int], n: int) -> Sequence[Sketch]:
    return sk.group_numeric([x * 8 - 4 for x in column], groups, n, EDGES, low=-3.0, high=3.0)


def category(column: Column, groups: list[int], n: int) -> Sequence[Sketch]:
    return sk.group_categorical([int(x * 5.999) - 1 for x in column], groups, n, 4)


def score(column: Column, groups: list[int], n: int) -> Sequence[Sketch]:
    return sk.group_score(column, groups, n)


def performance(column: Column, groups: list[int], n: int) -> Sequence[Sketch]:
    return sk.group_performance(column, [int(x * 1e6) % 2 for x in column], groups, n)


def latency(column: Column, groups: list[int], n: int) -> Sequence[Sketch]:
    return sk.group_latency([np.nan if x == 0 else 1e6 * x**4 for x in column], groups, n)


KINDS: dict[str, tuple[Maker, Sketch]] = {
    "number": (number, sk.empty_numeric(EDGES)),
    "category": (category, sk.empty_categorical(4)),
    "score": (score, sk.EMPTY_SCORE),
    "performance": (performance, sk.EMPTY_PERFORMANCE),
    "latency": (latency, sk.EMPTY_LATENCY),
}
columns = st.lists(st.floats(0, 1), max_size=12)


every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())


def whole(make: Maker, column: Column) -> Sketch:
    return make(column, [0] * len(column), 1)[0]


@every_kind
@given(a=columns, b=columns, c=columns)
def test_merge_is_associative_and_commutative_with_an_identity(
    kind: tuple[Maker, Sketch], a: Column, b: Column, c: Column
) -> None:
    make, empty = kind
    x, y, z = whole(make, a), whole(make, b), whole(make, c)
    assert merge(merge(x, y), z) == merge(x, merge(y, z))
    assert merge(x, y) == merge(y, x)
    assert merge(x, empty) == x
    assert whole(make, []) == empty


@every_kind
@given(column=columns, cut=st.integers(0, 12))
def test_the_sketch_does_not_show_how_rows_were_batched(kind: tuple[Maker, Sketch], column: Column, cut: int) -> None:
    make, _ = kind
    assert repr(merge(whole(make, column[:cut]), whole(make, column[cut:]))) == repr(whole(make, column))
    assert repr(whole(make, column[::-1])) == repr(whole(make, column))


@every_kind
@given(rows=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), max_size=30))
def test_grouped_equals_one_by_one(kind: tuple[Maker, Sketch], rows: list[tuple[float, int]]) -> None:
    make, empty = kind
    grouped = make([x for x, _ in rows], [g for _, g in rows], 4)
    for group, sketch in enumerate(grouped):
        one_by_one = empty
        for x, g in rows:
            if g == group:
                one_by_one = merge(one_by_one, whole(make, [x]))
        assert sketch == one_by_one
        assert sum(sketch.counts) == sketch.n - sketch.nulls


@every_kind
def test_a_large_batch_equals_its_pieces(kind: tuple[Maker, Sketch]) -> None:
    """Vector instructions must not give other last bits than the scalar tail of a loop."""
    make, empty = kind
    column = np.random.default_rng(3).random(20_011).tolist()
    pieces = empty
    for start in range(0, len(column), 7):
        pieces = merge(pieces, whole(make, column[start : start + 7]))
    assert pieces == whole(make, column)


def test_numeric_by_hand() -> None:
    values = [-2.0, -1.0, 0.0, 2.4, 2.5, 9.0, float("nan")]
    (sketch,) = sk.group_numeric(values, [0] * 7, 1, EDGES, low=-1.5, high=5.0)
    assert sketch == Sketch(7, 1, 2, (sk.FIXED_ONE * 109 // 10,), -2.0, 9.0, (1, 1, 2, 2))
    assert sk.mean(sketch) == pytest.approx(10.9 / 6, abs=1e-6)


def test_without_edges_and_range_there_is_one_bin_and_nothing_is_outside() -> None:
    (sketch,) = sk.group_numeric([1.0, 2.0], [0, 0], 1, [])
    assert (sketch.counts, sketch.outside) == ((2,), 0)


def test_negative_zero_does_not_show() -> None:
    (sketch,) = sk.group_numeric([-0.0], [0], 1, [])
    assert repr(sketch.minimum) == repr(sketch.maximum) == "0.0"


def test_categories_by_hand() -> None:
    codes = sk.encode(["a", "b", None, "new", True, False, "a"], CATEGORIES)
    assert codes.tolist() == [0, 1, -1, 4, 3, 2, 0]
    (sketch,) = sk.group_categorical(codes, [0] * 7, 1, 4)
    assert sketch == Sketch(7, 1, 1, (), None, None, (2, 1, 1, 1, 1))


def test_a_boolean_without_a_category_is_other() -> None:
    assert sk.encode([True, None], ["a"]).tolist() == [1, -1]


def test_score_bins_have_an_edge_at_a_half_and_hold_one() -> None:
    (sketch,) = sk.group_score([0.0, np.nextafter(0.5, 0), 0.5, 1.0], [0] * 4, 1)
    assert [b for b, count in enumerate(sketch.counts) if count] == [0, 63, 64, 127]
    assert sk.from_fixed(sketch.sums[0]) == 2.0


def test_performance_by_hand() -> None:
    (sketch,) = sk.group_performance([0.25, 0.25, 1.0], [1, 0, 0], [0, 0, 0], 1)
    assert {i: c for i, c in enumerate(sketch.counts) if c} == {64: 1, 65: 1, 254: 1}
    expected = (-np.log(0.25) - np.log(0.75) - np.log(1e-6), 0.5625 + 0.0625 + 1, 1.5)
    assert [sk.from_fixed(total) for total in sketch.sums] == pytest.approx(expected, abs=3e-6)


def test_latency_edges_are_geometric_from_ten_microseconds_to_a_hundred_seconds() -> None:
    assert sk.LATENCY_EDGES[0] == 0.01
    assert 100_000 <= sk.LATENCY_EDGES[-1] < 104_000
    assert np.allclose(sk.LATENCY_EDGES[1:] / sk.LATENCY_EDGES[:-1], 1.04)


def test_sums_are_exact_beyond_64_bits() -> None:
    (sketch,) = sk.group_numeric([2.0**42] * 1000 + [2.0**-20, 1e300, -(2.0**41)], [0] * 1003, 1, [])
    assert sketch.sums == (1001 * 2**62 + 1 - 2**61,)


def test_fixed_point_clips_rounds_and_refuses() -> None:
    assert sk.to_fixed(np.array([1.0, -0.5, 1e300, -1e300])).tolist() == [2**20, -(2**19), 2**62, -(2**62)]
    assert sk.from_fixed(3 * 2**19) == 1.5
    with pytest.raises(ValueError, match="take nulls out"):
        sk.to_fixed(np.array([np.nan]))
    with pytest.raises(ValueError, match="infinity"):
        sk.group_numeric([np.inf], [0], 1, [])


def test_mean_of_nothing_is_none() -> None:
    assert sk.mean(sk.EMPTY_SCORE) is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: merge(sk.EMPTY_SCORE, sk.EMPTY_LATENCY), "128 bins and 1 sums with one of 413 bins"),
        (lambda: sk.group_numeric([1.0], [0], 1, [1.0, 1.0]), "strictly increasing"),
        (lambda: sk.group_numeric([1.0], [1], 1, []), r"group ids must be in \[0, 1\)"),
        (lambda: sk.group_numeric([1.0], [0, 0], 1, []), "one length"),
        (lambda: sk.group_categorical([3], [0], 1, 2), r"codes must be in \[-1, 2\]"),
        (lambda: sk.group_score([1.1], [0], 1), r"in \[0, 1\]"),
        (lambda: sk.group_score([float("nan")], [0], 1), "without NaN"),
        (lambda: sk.group_performance([0.1], [2], [0], 1), "labels must be 0 or 1"),
        (lambda: sk.group_performance([0.1], [], [0], 1), "one per score"),
    ],
)
def test_errors_say_what_is_valid(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
