"""A window in memory says what its events say, also when a part of it was read back from ClickHouse."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.sketch import Sketch, group_numeric, merge
from detectors.tables import Sketches
from schemas.partials import ALL
from streams.aggregate.windows import Delta, Place, ViewKey, Window

KEY = ("default/delay", 0)
VIEW: ViewKey = (1, "feature", ("x", "y"))
PLACES: list[Place] = [(ALL, ALL), (ALL, "land=DE"), (ALL, "land=FR")]

_batches = st.lists(st.lists(st.tuples(st.floats(-2, 2), st.integers(1, 2)), min_size=1, max_size=6), max_size=5)


def sketched(values: list[float]) -> Sketch:
    return group_numeric(values, [0] * len(values), 1, [0.0])[0]


def delta(batch: list[tuple[float, int]]) -> Delta:
    """Both features have the same values; each row is in its land and in all."""
    values, lands = [x for x, _ in batch], [land for _, land in batch]
    one = group_numeric(values, np.array(lands) - 1, 2, [0.0])
    there = sorted(set(lands))
    places = [place for land in there for place in (PLACES[0], PLACES[land])]
    return Delta(KEY, VIEW, places, Sketches.joined([one, one]), [land - 1 for land in there for _ in range(2)])


def said(window: Window) -> dict[Any, Any]:
    rows = list(window.changed(0))
    assert rows == sorted(rows, key=lambda row: (row.generation, row.view, row.version, row.segment))
    return {
        (row.name, row.version, row.segment): Sketch(
            row.n, row.nulls, row.outside, tuple(row.sums), row.minimum, row.maximum, tuple(row.counts)
        )
        for row in rows
    }


@given(before=_batches, after=_batches)
def test_a_window_that_was_read_back_goes_on(before: Any, after: Any) -> None:
    whole, first, second = Window(), Window(), Window()
    for batch in before:
        whole.add(delta(batch))
        first.add(delta(batch))
    for (name, *place), sketch in said(first).items():
        second.read(1, "feature", name, (place[0], place[1]), sketch)
    assert said(second) == {}, "what was read is in ClickHouse already"
    for batch in after:
        whole.add(delta(batch))
        second.add(delta(batch))
    touched = said(second)
    assert touched.items() <= said(whole).items()
    assert {segment for _, _, segment in touched} == {PLACES[land][1] for b in after for _, land in b} | (
        {ALL} if after else set()
    )
    values = [x for batch in (*before, *after) for x, _ in batch]
    if after:
        assert touched["y", ALL, ALL] == sketched(values)


def test_only_what_changed_since_the_last_checkpoint_is_told() -> None:
    window = Window()
    window.add(delta([(1.0, 1), (-1.0, 2)]))
    assert len(said(window)) == 6
    window.commit()
    assert said(window) == {}
    window.add(delta([(0.5, 2)]))
    told = said(window)
    assert {segment for _, _, segment in told} == {ALL, "land=FR"}
    assert told["x", ALL, "land=FR"] == merge(sketched([-1.0]), sketched([0.5]))


def test_a_sketch_of_other_bins_is_refused() -> None:
    window = Window()
    window.read(1, "feature", "x", (ALL, ALL), Sketch(1, 0, 0, (0,), 0.0, 0.0, (1, 0, 0)))
    with pytest.raises(ValueError, match="one reference"):
        window.add(delta([(1.0, 1)]))
