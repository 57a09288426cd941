"""Counting in C gives numpy's sketches, to the bit, and refuses what numpy refuses."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

pytest.importorskip("driftline_native", reason="not built: that needs a C compiler and Python's headers")

import driftline_native

from detectors import kernels, sketch
from detectors.sketch import FIXED_LIMIT, LATENCY_EDGES, SCORE_BINS, Sketch

GROUPS = 5
_EDGES = [-0.0, 0.0, 0.5, 1.0, -1.0, FIXED_LIMIT, -FIXED_LIMIT, 2.0**-21, 3 * 2.0**-21, 1e300, 5e-324]
_VALUES = st.sampled_from(_EDGES) | st.floats(allow_infinity=False) | st.just(float("nan")) | st.floats(-2, 2)


def _columns(values: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    return st.lists(st.tuples(values, st.integers(0, GROUPS - 1)), max_size=40).map(
        lambda rows: (np.array([v for v, _ in rows], np.float64), np.array([g for _, g in rows], np.int64))
    )


def _bits(found: Sequence[Sketch]) -> list[tuple[object, ...]]:
    """Sketches with their extremes as bytes, since -0.0 == 0.0."""

    def bits(x: float | None) -> bytes | None:
        return None if x is None else struct.pack("<d", x)

    return [(s.n, s.nulls, s.outside, s.sums, bits(s.minimum), bits(s.maximum), s.counts) for s in found]


def both(count: Callable[[], Sequence[Sketch]]) -> None:
    """Count with C and with numpy; both agree, also in refusing."""
    answers: list[object] = []
    for installed in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kernels, "INSTALLED", installed)
            try:
                answers.append(_bits(count()))
            except ValueError as error:
                answers.append(str(error))
    assert answers[0] == answers[1]


@given(
    columns=_columns(_VALUES),
    edges=st.lists(_VALUES.filter(lambda x: not np.isnan(x)), max_size=12, unique=True).map(sorted),
    low=st.none() | st.floats(-2, 2),
    high=st.none() | st.floats(-2, 2),
)
def test_numbers(columns: Any, edges: list[float], low: float | None, high: float | None) -> None:
    values, groups = columns
    both(lambda: sketch.group_numeric(values, groups, GROUPS, edges, low=low, high=high))


@given(columns=_columns(st.sampled_from([*LATENCY_EDGES.tolist(), 0.0, 1e6, float("nan")]) | st.floats(0, 1e6)))
def test_latencies(columns: Any) -> None:
    values, groups = columns
    both(lambda: sketch.group_latency(values, groups, GROUPS))


_SCORES = [*(np.arange(SCORE_BINS + 1) / SCORE_BINS).tolist(), -0.0, 0.5 - 2.0**-54, 5e-324, 1 - 2.0**-53, 1 + 2.0**-52]


@given(columns=_columns(st.sampled_from([*_SCORES, -5e-324, float("nan")]) | st.floats(0, 1)), optional=st.booleans())
def test_scores(columns: Any, optional: bool) -> None:
    values, groups = columns
    both(lambda: sketch.group_score(values, groups, GROUPS, optional=optional))


@given(
    codes=arrays.arrays(st.sampled_from([np.int32, np.int64]), st.integers(0, 40), elements=st.integers(-2, 5)),
    categories=st.integers(0, 6),
    seed=st.integers(0, 99),
)
def test_codes(codes: NDArray[Any], categories: int, seed: int) -> None:
    groups = np.random.default_rng(seed).integers(0, GROUPS, len(codes))
    both(lambda: sketch.group_categorical(codes, groups, GROUPS, categories))


def test_columns_of_a_table_are_counted_where_they_lie() -> None:
    table = np.random.default_rng(1).normal(size=(1_000, 3))
    codes = np.random.default_rng(2).integers(-1, 4, (1_000, 2), dtype=np.int32)
    groups = np.arange(1_000) % GROUPS
    for strided, column in ((table[:, 1], table[:, 1].copy()), (table[::-2, 2], table[::-2, 2].copy())):
        ids = groups[: len(column)]
        assert not strided.flags.c_contiguous
        found, plain = (
            kernels.numeric(c, ids, GROUPS, np.array([0.0]), low=None, high=None) for c in (strided, column)
        )
        assert found is not None
        assert plain is not None
        assert list(found) == list(plain)
    both(lambda: sketch.group_categorical(codes[:, 1], groups, GROUPS, 3))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sketch.group_numeric([1.0, np.inf], [0, 0], 1, []),
        lambda: sketch.group_numeric([1.0], [1], 1, []),
        lambda: sketch.group_numeric([1.0], [-1], 1, []),
        lambda: sketch.group_numeric([1.0], [0, 0], 1, []),
        lambda: sketch.group_numeric([[1.0]], [[0]], 1, []),
        lambda: sketch.group_numeric([1.0], [0], 1, [2.0, 1.0]),
        lambda: sketch.group_categorical([3], [0], 1, 2),
        lambda: sketch.group_categorical([-2], [0], 1, 2),
        lambda: sketch.group_categorical([0], [1], 1, 2),
    ],
)
def test_what_numpy_refuses_is_refused_in_the_same_words(wrong: Callable[[], Sequence[Sketch]]) -> None:
    with pytest.raises(ValueError, match=r"."):
        wrong()
    both(wrong)


def test_kernels_refuse_columns_of_other_types() -> None:
    values, groups = np.zeros(2), np.zeros(2, np.int64)
    with pytest.raises(TypeError, match="values must be a column of format d"):
        driftline_native.numeric(values.astype(np.float32), groups, 1, values[:0], None, None)
    with pytest.raises(TypeError, match="groups must be"):
        driftline_native.numeric(values, groups.astype(np.int32), 1, values[:0], None, None)
    with pytest.raises(ValueError, match="groups of 1 bins"):
        driftline_native.numeric(values, groups, -1, values[:0], None, None)
    with pytest.raises(ValueError, match="bins at most"):
        driftline_native.categorical(groups, groups, 1, 2**40)
    with pytest.raises(TypeError):
        driftline_native.numeric(values, groups, 1, values[:0], "low", None)  # type: ignore[arg-type]


def test_sums_are_exact_at_the_limit() -> None:
    values = np.full(100_000, FIXED_LIMIT)
    [found] = sketch.group_numeric(values, np.zeros(len(values), np.int64), 1, [])
    assert found.sums == (len(values) * 2**62,)
