"""Sketches, one by one and many at once: a table of whole numbers, so that merging a row of it is one addition."""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from math import inf
from operator import add
from typing import overload

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LIMBS = 3
"""A sum is kept in so many whole numbers that are added apart: exact for 2**30 rows of the largest squares."""

LIMB_BITS = 31
LIMB_MASK = 2**LIMB_BITS - 1


class Sketch(Struct, frozen=True, gc=False):
    """What is known of one column in one window.

    Attributes:
        n: rows, nulls included.
        nulls: rows without a value; ``sum(counts) == n - nulls``.
        outside: numbers beyond the reference's range, or categories the reference has not seen.
        sums: fixed-point sums (see ``detectors.sketch.from_fixed``). Numeric: (value). Score: (score). Latency: (ms).
            Performance: (log-loss, Brier, score); of several classes or of a number, see ``detectors.multiclass`` and
            ``detectors.regression``. Categorical: none.
        minimum: smallest value, None without one.
        maximum: largest value, None without one.
        counts: rows per bin. Numeric: one more than there are interior edges. Categorical: one per category, then
            OTHER. Score: ``SCORE_BINS``. Performance: ``2 * bin + label``. Latency: ``len(LATENCY_EDGES) + 1``.
    """

    n: int
    nulls: int
    outside: int
    sums: tuple[int, ...]
    minimum: float | None
    maximum: float | None
    counts: tuple[int, ...]


def merge(a: Sketch, b: Sketch) -> Sketch:
    """The sketch of both sets of rows: associative, commutative, with an empty sketch of the kind as identity.

    Raises:
        ValueError: the sketches have different bins or sums, hence different kinds or references.
    """
    if len(a.counts) != len(b.counts) or len(a.sums) != len(b.sums):
        raise _different(Shape([len(a.counts)], [len(a.sums)]), Shape([len(b.counts)], [len(b.sums)]))
    return Sketch(
        a.n + b.n,
        a.nulls + b.nulls,
        a.outside + b.outside,
        tuple(map(add, a.sums, b.sums)),
        b.minimum if a.minimum is None or (b.minimum is not None and b.minimum < a.minimum) else a.minimum,
        b.maximum if a.maximum is None or (b.maximum is not None and b.maximum > a.maximum) else a.maximum,
        tuple(map(add, a.counts, b.counts)),
    )


Fields = tuple[int, int, int, list[int], float | None, float | None, list[int]]
"""Those of a :class:`Sketch`, in their order."""


class Shape:
    """How many bins and sums the sketches of a row have, column by column, and where all that is.

    Args:
        bins: of each column.
        sums: of each column.

    Attributes:
        sum_spans: where each column's sums are among all sums.
        limb_slices: where the limbs of each column's sums are in a row, the least limb of each sum first.
        count_slices: where the counts of each column are in a row.
        width: whole numbers in a row: n, nulls and outside of all columns, limbs of all sums, all counts.
        columns: how many sketches a row has.
    """

    def __init__(self, bins: Sequence[int], sums: Sequence[int]) -> None:
        self.bins, self.sums, self.columns = tuple(bins), tuple(sums), len(bins)
        ends = list(accumulate(self.sums, initial=0))
        self.sum_spans = [slice(*pair) for pair in pairwise(ends)]
        first = 3 * self.columns
        self.limb_slices = [slice(first + LIMBS * a, first + LIMBS * b) for a, b in pairwise(ends)]
        ends = list(accumulate(self.bins, initial=first + LIMBS * ends[-1]))
        self.count_slices = [slice(*pair) for pair in pairwise(ends)]
        self.width = ends[-1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shape) and (self.bins, self.sums) == (other.bins, other.sums)

    def __hash__(self) -> int:
        return hash((self.bins, self.sums))


class Sketches(Sequence[Sketch]):
    """Sketches by row and column; as a sequence they are read row by row.

    Args:
        shape: of every row.
        rows: how many; they are empty.

    Attributes:
        whole: ``rows`` x ``shape.width`` whole numbers, of which all are merged by addition.
        least: ``rows`` x twice the columns: smallest values, then the largest ones negated, so that both are merged by
            taking the smaller; infinite where there is no value.
    """

    def __init__(self, shape: Shape, rows: int) -> None:
        self.shape = shape
        self.whole: Ints = np.zeros((rows, shape.width), np.int64)
        self.least: Floats = np.full((rows, 2 * shape.columns), np.inf)

    @classmethod
    def joined(cls, columns: Sequence["Sketches"]) -> "Sketches":
        """Sketches of one column each, side by side.

        Args:
            columns: at least one; all of the same number of rows.
        """
        rows = len(columns[0].whole)
        shape = Shape(
            [bins for column in columns for bins in column.shape.bins],
            [sums for column in columns for sums in column.shape.sums],
        )
        found = cls(shape, rows)
        for place, column in enumerate(columns):
            found.whole[:, place : 3 * shape.columns : shape.columns] = column.whole[:, :3]
            found.whole[:, shape.limb_slices[place]] = column.whole[:, column.shape.limb_slices[0]]
            found.whole[:, shape.count_slices[place]] = column.whole[:, column.shape.count_slices[0]]
            found.least[:, place :: shape.columns] = column.least
        return found

    def __len__(self) -> int:
        return len(self.whole) * self.shape.columns

    @overload
    def __getitem__(self, at: int) -> Sketch: ...

    @overload
    def __getitem__(self, at: slice) -> list[Sketch]: ...

    def __getitem__(self, at: int | slice) -> Sketch | list[Sketch]:
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(f"sketch {at} of {len(self)}")
        row, column = divmod(at % len(self), self.shape.columns)
        [fields] = self.fields(slice(row, row + 1))
        n, nulls, outside, sums, minimum, maximum, counts = fields[column]
        return Sketch(n, nulls, outside, tuple(sums), minimum, maximum, tuple(counts))

    def __iter__(self) -> Iterator[Sketch]:
        for row in self.fields(slice(None)):
            for n, nulls, outside, sums, minimum, maximum, counts in row:
                yield Sketch(n, nulls, outside, tuple(sums), minimum, maximum, tuple(counts))

    def fields(self, rows: slice | Sequence[int]) -> Iterator[list[Fields]]:
        """What the sketches of some rows say: per row, one of each column."""
        columns, first = self.shape.columns, 3 * self.shape.columns
        end = first + LIMBS * sum(self.shape.sums)
        spans = list(zip(self.shape.sum_spans, self.shape.count_slices, strict=True))
        for row, least in zip(self.whole[rows].tolist(), self.least[rows].tolist(), strict=True):
            limbs = zip(row[first:end:LIMBS], row[first + 1 : end : LIMBS], row[first + 2 : end : LIMBS], strict=True)
            totals = [low + (middle << LIMB_BITS) + (high << 2 * LIMB_BITS) for low, middle, high in limbs]
            yield [
                (
                    row[column],
                    row[columns + column],
                    row[2 * columns + column],
                    totals[sums],
                    None if least[column] == inf else least[column],
                    None if least[columns + column] == inf else 0.0 - least[columns + column],
                    row[counts],
                )
                for column, (sums, counts) in enumerate(spans)
            ]

    def grow(self, rows: int) -> None:
        """Have so many rows, no fewer than now; the new ones are empty."""
        more = Sketches(self.shape, rows - len(self.whole))
        self.whole = np.concatenate([self.whole, more.whole])
        self.least = np.concatenate([self.least, more.least])

    def add(self, row: int, other: "Sketches", of: int) -> None:
        """Merge a row of another table into one of this.

        Raises:
            ValueError: their sketches have different bins or sums, hence different kinds or references.
        """
        if self.shape != other.shape:
            raise _different(self.shape, other.shape)
        self.whole[row] += other.whole[of]
        np.minimum(self.least[row], other.least[of], out=self.least[row])

    def put(self, row: int, column: int, sketch: Sketch) -> None:
        """Set one sketch.

        Raises:
            ValueError: it has other bins or sums than the column.
        """
        bins, sums = self.shape.bins[column], self.shape.sums[column]
        if (len(sketch.counts), len(sketch.sums)) != (bins, sums):
            raise _different(Shape([bins], [sums]), Shape([len(sketch.counts)], [len(sketch.sums)]))
        columns, whole, least = self.shape.columns, self.whole[row], self.least[row]
        whole[column : 3 * columns : columns] = sketch.n, sketch.nulls, sketch.outside
        whole[self.shape.limb_slices[column]] = [limb for total in sketch.sums for limb in _limbs(total)]
        whole[self.shape.count_slices[column]] = sketch.counts
        least[column] = inf if sketch.minimum is None else sketch.minimum
        least[columns + column] = inf if sketch.maximum is None else -sketch.maximum


def _limbs(total: int) -> tuple[int, int, int]:
    return total & LIMB_MASK, total >> LIMB_BITS & LIMB_MASK, total >> 2 * LIMB_BITS


def _different(a: Shape, b: Shape) -> ValueError:
    return ValueError(
        f"cannot merge a sketch of {sum(a.bins)} bins and {sum(a.sums)} sums with one of {sum(b.bins)} bins "
        f"and {sum(b.sums)} sums: only sketches of one kind and one reference (generation) can be merged"
    )
