"""Tables of sketches: adding rows is merging sketches, whatever the sums, and nothing is lost on the way in or out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.sketch import Sketch, group_categorical, group_numeric, merge
from detectors.tables import Shape, Sketches

SHAPE = Shape([3, 1, 2], [1, 0, 5])
_counts = st.integers(0, 2**40)
_values = st.none() | st.floats(-1e300, 1e300).map(lambda x: x + 0.0)


@st.composite
def sketches(draw: st.DrawFn, bins: int, sums: int) -> Sketch:
    ends = draw(st.none() | st.tuples(_values, _values))
    least, most = ends or (None, None)
    return Sketch(
        draw(_counts),
        draw(_counts),
        draw(_counts),
        tuple(draw(st.lists(st.integers(-(2**120), 2**120), min_size=sums, max_size=sums))),
        least,
        most,
        tuple(draw(st.lists(_counts, min_size=bins, max_size=bins))),
    )


def rows(count: int) -> st.SearchStrategy[list[list[Sketch]]]:
    row = st.tuples(*(sketches(*each) for each in zip(SHAPE.bins, SHAPE.sums, strict=True))).map(list)
    return st.lists(row, min_size=count, max_size=count)


def table(rows: list[list[Sketch]]) -> Sketches:
    found = Sketches(SHAPE, len(rows))
    for place, row in enumerate(rows):
        for column, sketch in enumerate(row):
            found.put(place, column, sketch)
    return found


@given(given_rows=rows(3))
def test_what_is_put_is_read(given_rows: list[list[Sketch]]) -> None:
    found = table(given_rows)
    flat = [sketch for row in given_rows for sketch in row]
    assert len(found) == len(flat)
    assert list(found) == flat
    assert [found[place] for place in range(len(flat))] == flat
    assert found[-2:] == flat[-2:]
    found.grow(4)
    assert list(found)[:-3] == flat
    assert {sketch.n for sketch in found[-3:]} == {0}


@given(a=rows(2), b=rows(2))
def test_adding_rows_is_merging_sketches(a: list[list[Sketch]], b: list[list[Sketch]]) -> None:
    sums, delta = table(a), table(b)
    sums.add(0, delta, 1)
    sums.add(0, delta, 0)
    merged = [merge(merge(x, z), y) for x, y, z in zip(a[0], b[0], b[1], strict=True)]
    assert list(sums) == [*merged, *a[1]]


def test_columns_side_by_side_are_what_they_were() -> None:
    random = np.random.default_rng(1)
    groups = random.integers(0, 3, 200)
    number = group_numeric(random.normal(size=200), groups, 3, [-1.0, 0.0], low=-2.0, high=2.0)
    code = group_categorical(random.integers(-1, 3, 200), groups, 3, 2)
    both = Sketches.joined([number, code, number])
    assert list(both) == [sketch for row in zip(number, code, number, strict=True) for sketch in row]


def test_an_extreme_of_zero_has_no_sign() -> None:
    found = Sketches(Shape([1], [1]), 1)
    found.put(0, 0, Sketch(1, 0, 0, (0,), 0.0, 0.0, (1,)))
    found.add(0, group_numeric([-0.0], [0], 1, []), 0)
    assert str(found[0].minimum) == str(found[0].maximum) == "0.0"


def test_sketches_of_different_kinds_are_refused() -> None:
    one, other = Sketches(Shape([3], [1]), 1), Sketches(Shape([2], [1]), 1)
    with pytest.raises(ValueError, match="3 bins and 1 sums with one of 2 bins and 1 sums"):
        one.add(0, other, 0)
    with pytest.raises(ValueError, match="3 bins and 1 sums with one of 2 bins and 1 sums"):
        one.put(0, 0, other[0])
    with pytest.raises(IndexError, match="sketch 1 of 1"):
        one[1]
