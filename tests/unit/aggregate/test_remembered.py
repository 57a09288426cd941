"""What is remembered by id stays what it is while others come and go, and columns move."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.aggregate.classify import dense, running_maxima
from streams.aggregate.keys import Keys
from streams.aggregate.remembered import Outcomes

STEPS = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 700)), min_size=1, max_size=12)


@given(STEPS)
def test_rows_are_found_again_after_any_forgetting(steps: list[tuple[int, int]]) -> None:
    known, expected, number = Outcomes(), dict[bytes, float](), 0
    for come, go in steps:
        keys = [b"%d" % name for name in range(number, number + come)]
        first, new = known.claim(Keys.of(keys))
        assert first.tolist() == new.tolist()
        known.write(new, log_ts=7, target=np.arange(number, number + come) / 2)
        expected |= dict(zip(keys, (np.arange(number, number + come) / 2).tolist(), strict=True))
        number += come
        gone = known.forget(go).tolist()
        assert gone == list(expected)[: len(gone)]
        assert len(gone) == min(go, len(expected))
        for key in gone:
            del expected[key]
        slots = known.find(Keys.of(list(expected)))
        assert known.read("target", slots).tolist() == list(expected.values())
        assert (known.read("newest", slots) == 0).all(), "what was never written is nothing"
        assert len(known) == len(expected)


@given(
    st.lists(st.integers(-(2**63), 2**60), min_size=1, max_size=4).flatmap(
        lambda first: st.tuples(
            st.just(first),
            st.lists(st.tuples(st.integers(0, len(first) - 1), st.integers(-(2**40), 2**50)), max_size=20),
        )
    )
)
def test_running_maxima_are_those_of_a_loop(drawn: tuple[list[int], list[tuple[int, int]]]) -> None:
    first, steps = drawn
    group, values = (np.array([step[place] for step in steps], np.int64) for place in (0, 1))
    met, marks = [], list(first)
    for of, value in steps:
        met.append(marks[of])
        marks[of] = max(marks[of], value)
    found, last = running_maxima(np.array(first, np.int64), group, values)
    assert (found.tolist(), last.tolist()) == (met, marks)


@given(st.lists(st.integers(0, 50)))
def test_dense_codes_are_places_among_those_that_there_are(codes: list[int]) -> None:
    present, places = dense(np.array(codes, np.int64))
    assert present.tolist() == sorted(set(codes))
    assert present[places].tolist() == codes
