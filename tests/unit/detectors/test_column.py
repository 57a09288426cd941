"""A whole column at once is what the grouped sketches say of one group, to the bit."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from detectors.column import sketch_codes, sketch_numbers
from detectors.sketch import group_categorical, group_numeric

numbers = arrays(np.float64, st.integers(0, 200), elements=st.floats(allow_infinity=False))
edges = st.lists(st.floats(-1e6, 1e6), max_size=31, unique=True).map(sorted)
bound = st.none() | st.floats(-1e3, 1e3)


@given(values=numbers, edges=edges, low=bound, high=bound)
@example(values=np.array([-0.0, 0.0, np.nan, 1e300, -1e300]), edges=[0.0], low=0.0, high=0.0)
def test_numbers(values: np.ndarray, edges: list[float], low: float | None, high: float | None) -> None:
    (expected,) = group_numeric(values, np.zeros(len(values), int), 1, edges, low=low, high=high)
    found = sketch_numbers(values, edges, low=low, high=high)
    assert (found, repr(found.minimum), repr(found.maximum)) == (
        expected,
        repr(expected.minimum),
        repr(expected.maximum),
    )


def test_more_values_than_a_block_and_large_ones_add_up_exactly() -> None:
    values = np.full(100_000, 2.0**42)
    assert sketch_numbers(values, []).sums == (100_000 << 62,)


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64])
@given(codes=st.lists(st.integers(-1, 5)))
def test_codes(kind: type[np.signedinteger], codes: list[int]) -> None:
    (expected,) = group_categorical(codes, [0] * len(codes), 1, 5)
    assert sketch_codes(np.array(codes, kind), 5) == expected


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: sketch_numbers([1.0, np.inf], []), "infinity"),
        (lambda: sketch_numbers([1.0], [2.0, 2.0]), "strictly increasing"),
        (lambda: sketch_numbers([[1.0]], []), "shape"),
        (lambda: sketch_codes([6], 5), r"\[-1, 5\]"),
        (lambda: sketch_codes([-2], 5), r"\[-1, 5\]"),
        (lambda: sketch_codes([0.5], 5), "integers"),
    ],
)
def test_what_is_no_column_is_refused(wrong, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=said):
        wrong()
