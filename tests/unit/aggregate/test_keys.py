"""Columns of keys are what lists of them would be, however they are made, taken apart and put together."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.aggregate import keys as module
from streams.aggregate.keys import Keys
from streams.aggregate.routing import hashes_of

TEXTS = st.lists(st.sampled_from(["", "a", "é", "a\0", "p00000001", "x" * 200]) | st.text(max_size=12), max_size=30)


@given(texts=TEXTS, skipped=st.integers(0, 3), native=st.booleans())
def test_keys_of_arrow_have_the_bytes_and_the_hashes(texts: list[str], skipped: int, native: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(module, "_prefixed", None)
        column = pa.array(["before"] * skipped + texts, pa.string())[skipped:]
        found = Keys.prefixed(b"default/delay/", column)
    expected = [b"default/delay/" + text.encode() for text in texts]
    assert found.tolist() == expected == Keys.of(expected).tolist()
    assert found.hashes.tolist() == hashes_of(expected).tolist() == Keys.of(expected).hashes.tolist()
    assert Keys.arrow(column).tolist() == [text.encode() for text in texts]


@given(st.data(), TEXTS)
def test_keys_are_a_list(data: st.DataObject, texts: list[str]) -> None:
    expected = [b"k" + text.encode() for text in texts]
    places = np.array(data.draw(st.lists(st.sampled_from(range(len(texts))))) if texts else [], np.int64)
    whole = Keys.of(expected)
    some = whole.take(places)
    assert some.tolist() == [expected[place] for place in places.tolist()]
    assert some.hashes.tolist() == hashes_of([expected[place] for place in places.tolist()]).tolist()
    assert whole.take(slice(1, 3)).tolist() == expected[1:3]
    assert Keys.none(2).tolist() == [b"", b""]


def test_rows_without_a_key_get_one_and_lose_it() -> None:
    keys = Keys.none(4)
    keys.put(np.array([3, 1]), Keys.of([b"three", b"one"]))
    keys.put(np.array([0]), Keys.of([b"zero"]))
    assert [keys[place] for place in range(4)] == [b"zero", b"one", None, b"three"]
    keys.clear(1)
    assert [keys[place] for place in range(4)] == [b"zero", None, None, b"three"]
    assert keys.take(np.array([3, 0])).hashes.tolist() == hashes_of([b"three", b"zero"]).tolist()
