"""Every kind of sketch on every kind of column: what it counts, that parts add up to the whole, and that it is kept.

One table of kinds and one of columns; each law is asked of all pairs. A new kind of sketch is a new line.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import msgspec
import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from river import stats

from detectors import latency, multiclass, performance, regression
from detectors import sketch as sk
from detectors.column import sketch_codes, sketch_numbers
from detectors.sketch import Sketch, merge
from schemas.partials import SketchRow
from schemas.tables import PARTIALS
from warehouse.client import Warehouse
from warehouse.migrate import migrate

NULL = float("nan")
EDGES = [-1.0, 0.0, 2.5]
CATEGORIES = 4
CLASSES = 3

Values = Sequence[float]
"""Numbers in [0, 1], or NaN: each kind makes its own columns of them."""


@dataclass(frozen=True)
class Kind:
    """A kind of sketch.

    Attributes:
        make: one sketch of a column.
        number: what a value becomes before it is summed and ranged; None where neither is done.
        nulls: whether NaN is a missing value; otherwise it is refused.
    """

    name: str
    make: Callable[[Values], Sketch]
    empty: Sketch
    number: Callable[[float], float] | None
    nulls: bool


def grouped(group: Callable[..., Sequence[Sketch]], *columns: Any, **options: Any) -> Sketch:
    (found,) = group(*columns, np.zeros(len(columns[0]), np.int64), 1, **options)
    return found


def codes(values: Values, n: int) -> list[int]:
    """-1 for NaN, else a code in [0, n]."""
    return [-1 if np.isnan(x) else min(int(x * (n + 1)), n) for x in values]


def labels(values: Values) -> list[int]:
    return [0 if np.isnan(x) else int(x * 1e6) % 2 for x in values]


def classes(values: Values) -> list[int]:
    return [0 if np.isnan(x) else int(x * 1e6) % CLASSES for x in values]


def wide(x: float) -> float:
    return x * 8 - 4


def slow(x: float) -> float:
    return 1e5 * x**4


KINDS = [
    Kind(
        "number",
        lambda v: grouped(sk.group_numeric, [wide(x) for x in v], edges=EDGES, low=-3.0, high=3.0),
        sk.empty_numeric(EDGES),
        wide,
        nulls=True,
    ),
    Kind(
        "number column",
        lambda v: sketch_numbers([wide(x) for x in v], EDGES, low=-3.0, high=3.0),
        sk.empty_numeric(EDGES),
        wide,
        nulls=True,
    ),
    Kind(
        "category",
        lambda v: grouped(sk.group_categorical, codes(v, CATEGORIES), n_categories=CATEGORIES),
        sk.empty_categorical(CATEGORIES),
        None,
        nulls=True,
    ),
    Kind(
        "category column",
        lambda v: sketch_codes(np.array(codes(v, CATEGORIES), np.int8), CATEGORIES),
        sk.empty_categorical(CATEGORIES),
        None,
        nulls=True,
    ),
    Kind("score", lambda v: grouped(sk.group_score, v), sk.EMPTY_SCORE, float, nulls=False),
    Kind("optional score", lambda v: grouped(sk.group_score, v, optional=True), sk.EMPTY_SCORE, float, nulls=True),
    Kind("latency", lambda v: grouped(sk.group_latency, [slow(x) for x in v]), sk.EMPTY_LATENCY, slow, nulls=True),
    Kind(
        "performance",
        lambda v: grouped(sk.group_performance, v, labels(v)),
        sk.EMPTY_PERFORMANCE,
        None,
        nulls=False,
    ),
    Kind(
        "confusion",
        lambda v: grouped(multiclass.group_confusion, classes(v), classes(v[::-1]), v, classes=CLASSES),
        Sketch(0, 0, 0, (0, 0), None, None, (0,) * CLASSES**2),
        None,
        nulls=True,
    ),
    Kind(
        "errors",
        lambda v: grouped(regression.group_errors, [wide(x) for x in v], list(v)),
        grouped(regression.group_errors, [], []),
        None,
        nulls=False,
    ),
]
COLUMNS: dict[str, Values] = {
    "empty": [],
    "single": [0.7],
    "tiny": [0.1, 0.9],
    "constant": [0.25] * 1_000,
    "ends": [0.0, 1.0] * 10,
    "all null": [NULL] * 50,
    "some null": [0.5, NULL, 0.1, NULL],
    "huge": np.linspace(0, 1, 300_000).tolist(),
}
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
every_column = pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())


def refused(kind: Kind, column: Values) -> bool:
    """Whether a column has NaN that is no missing value to a kind; then it must say so."""
    if kind.nulls or not np.isnan(column).any():
        return False
    with pytest.raises(ValueError, match=r"NaN|finite"):
        kind.make(column)
    return True


@every_kind
@every_column
def test_every_row_is_counted_once(kind: Kind, column: Values) -> None:
    if refused(kind, column):
        return
    found = kind.make(column)
    present = [x for x in column if not np.isnan(x)]
    rows_with_a_value = len(column) if kind.name == "confusion" else len(present)  # NaN there is a missing loss
    assert (found.n, found.n - found.nulls) == (len(column), rows_with_a_value)
    assert sum(found.counts) == rows_with_a_value
    assert all(count >= 0 for count in (*found.counts, found.nulls, found.outside))
    assert (len(found.counts), len(found.sums)) == (len(kind.empty.counts), len(kind.empty.sums))
    if not column:
        assert found == kind.empty


@every_kind
@every_column
def test_mean_and_range_are_those_of_another_implementation(kind: Kind, column: Values) -> None:
    if kind.number is None or refused(kind, column):
        return
    found, mean, low, high = kind.make(column), stats.Mean(), stats.Min(), stats.Max()
    present = [kind.number(x) for x in column if not np.isnan(x)]
    for x in present:
        for stat in (mean, low, high):
            stat.update(x)
    if not present:
        assert sk.mean(found) is None
        assert (found.minimum, found.maximum) == (None, None)
        return
    assert sk.mean(found) == pytest.approx(mean.get(), abs=1e-6, rel=1e-9)
    if found.minimum is not None:
        assert (found.minimum, found.maximum) == (low.get(), high.get())


columns = st.lists(st.floats(0, 1) | st.just(NULL), max_size=30)
known = st.lists(st.floats(0, 1), max_size=30)


@every_kind
@settings(max_examples=40)
@given(data=st.data())
def test_parts_in_any_order_and_shape_add_up_to_the_whole(kind: Kind, data: st.DataObject) -> None:
    if kind.name == "confusion":
        return  # its labels are made of the whole column here; unit tests hold its merge
    column = data.draw(columns if kind.nulls else known)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(column)), max_size=4)))
    parts = [kind.make(column[a:b]) for a, b in zip([0, *cuts], [*cuts, len(column)], strict=True)]
    shuffled = data.draw(st.permutations([*parts, kind.empty]))
    assert reduce(merge, shuffled) == kind.make(column)
    half = data.draw(st.integers(0, len(shuffled)))  # ((a b) (c d)) as well as (((a b) c) d)
    left, right = reduce(merge, shuffled[:half], kind.empty), reduce(merge, shuffled[half:], kind.empty)
    assert merge(left, right) == kind.make(column)
    assert kind.make(column[::-1]) == kind.make(column) or kind.name == "errors"


def row(found: Sketch, name: str = "x") -> SketchRow:
    return SketchRow(1, "feature", "", "", 0, name, found.n, found.nulls, found.outside, list(found.sums),
                     found.minimum, found.maximum, list(found.counts))  # fmt: skip


def back(kept: SketchRow) -> Sketch:
    return Sketch(kept.n, kept.nulls, kept.outside, tuple(kept.sums), kept.minimum, kept.maximum, tuple(kept.counts))


@every_kind
@every_column
def test_a_message_keeps_it_to_the_bit(kind: Kind, column: Values) -> None:
    if refused(kind, column):
        return
    found = kind.make(column)
    assert repr(back(msgspec.json.decode(msgspec.json.encode(row(found)), type=SketchRow))) == repr(found)


def test_the_table_keeps_all_of_them_to_the_bit(clickhouse: Client) -> None:
    warehouse = Warehouse(clickhouse, patience=5)
    migrate(warehouse)
    made = {
        f"{kind.name} {name}": kind.make(column)
        for kind in KINDS
        for name, column in COLUMNS.items()
        if kind.nulls or not np.isnan(column).any()
    }
    # Sums as large as they can get, and a minus zero.
    made["extreme"] = Sketch(2**40, 0, 0, (2**110, -(2**110)), -0.0, 5e-324, (2**40,))
    rows: list[list[Any]] = []
    for name, found in made.items():
        kept = row(found, name)
        rows.append(
            ["default", "m", 1, "feature", "", "", 0, name, 0, kept.n, kept.nulls, kept.outside, kept.sums,
             kept.minimum, kept.maximum, kept.counts, 1]
        )  # fmt: skip
    warehouse.insert(PARTIALS, rows)
    asked = "SELECT name, n, nulls, outside, sums, minimum, maximum, counts FROM partials FINAL"
    for name, n, nulls, outside, sums, minimum, maximum, counts in warehouse.rows(asked):
        assert repr(Sketch(n, nulls, outside, tuple(sums), minimum, maximum, tuple(counts))) == repr(made.pop(name)), (
            name
        )
    assert not made


def test_unseen_categories_are_other_and_outside_whatever_they_are() -> None:
    codes = sk.encode(["a", "b", "zzz", "", None, "A"], ["a", "b"])
    (found,) = sk.group_categorical(codes, [0] * 6, 1, 2)
    assert (found.n, found.nulls, found.outside, found.counts) == (6, 1, 3, (1, 1, 3))


def test_sketches_of_another_shape_are_refused_and_never_added() -> None:
    shapes = {(len(kind.empty.counts), len(kind.empty.sums)): kind.empty for kind in KINDS}
    for shape, one in shapes.items():
        for other, another in shapes.items():
            if shape != other:
                with pytest.raises(ValueError, match="only sketches of one kind"):
                    merge(one, another)


def test_empty_pairs_have_no_performance_rather_than_a_perfect_one() -> None:
    assert {performance.summarise(sk.EMPTY_PERFORMANCE).auc, performance.summarise(sk.EMPTY_PERFORMANCE).log_loss} == {
        None
    }
    assert multiclass.summarise(KINDS[-2].empty).accuracy is None
    assert regression.summarise(KINDS[-1].empty).mae is None
    assert latency.summarise(sk.EMPTY_LATENCY, 60.0).p99 is None
