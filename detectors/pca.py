"""Change of several columns together: how badly the reference's principal components explain rows.

When a correlation breaks, no column's own distribution need move; but rows then lie off the plane that the reference's
rows lay near. Their mean squared distance from it is the reconstruction error (the Q statistic of Jackson and Mudholkar
1979; NannyML's multivariate detector). It follows from moments alone (rows, sums, products of pairs), which are whole
numbers, so that parts of a window add up to it to the bit, in any order.
"""

from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from detectors.sketch import Floats
from detectors.verdict import Insufficient

EXPLAINED = 0.65
"""Share of the variance that the kept components explain at least; NannyML's default."""

MIN_ROWS = 500
"""Fewer rows fit no components."""

_ONE = 2**10
"""One standard deviation: values are rounded to a thousandth of it, so that sums and products are whole numbers."""

_LIMIT = 8.0
"""In standard deviations: values further away are taken for that, lest one row be a window."""

_BLOCK = 2**16


class Moments(Struct, frozen=True):
    """What a window's rows add up to, over columns in standard deviations of the reference.

    Attributes:
        n: rows.
        sums: per column, in units of 2^-10.
        products: of each pair of columns, in units of 2^-20.
    """

    n: int
    sums: list[int]
    products: list[list[int]]


@dataclass(frozen=True, slots=True)
class Scaling:
    """Means and standard deviations of the reference's columns, each of shape (columns,); sd 0: a constant."""

    means: Floats
    sds: Floats

    @classmethod
    def of(cls, values: ArrayLike) -> "Scaling":
        """Of columns of shape (rows, columns); NaN is null. A column without values is a constant."""
        columns = np.asarray(values, np.float64)
        known = ~np.isnan(columns)
        n = np.maximum(known.sum(axis=0), 1)
        means = np.where(known, columns, 0).sum(axis=0) / n
        return cls(means, np.sqrt(np.where(known, (columns - means) ** 2, 0).sum(axis=0) / n))

    def steps(self, values: ArrayLike) -> Floats:
        """Whole numbers of 2^-10 standard deviations from the mean, shape (rows, columns); 0 for null and constants.

        Raises:
            ValueError: there are other columns than the reference had.
        """
        columns = np.asarray(values, np.float64)
        if columns.ndim != 2 or columns.shape[1] != len(self.means):
            raise ValueError(f"expected rows of {len(self.means)} columns, got shape {columns.shape}")
        scaled = np.divide(columns - self.means, self.sds, out=np.zeros_like(columns), where=self.sds > 0)
        steps: Floats = np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), -_LIMIT, _LIMIT) * _ONE) + 0.0
        return steps


@dataclass(frozen=True, slots=True)
class Basis:
    """The plane that the reference's rows lie near.

    Attributes:
        centre: mean of the reference's rows, in standard deviations, shape (columns,).
        components: orthonormal, shape (kept, columns); fewer than the directions in which the reference varies.
        usual: reconstruction error of the reference itself, > 0.
    """

    centre: Floats
    components: Floats
    usual: float


def empty(columns: int) -> Moments:
    """Identity of :func:`merge`."""
    return Moments(0, [0] * columns, [[0] * columns for _ in range(columns)])


def moments(scaling: Scaling, values: ArrayLike) -> Moments:
    """Of rows, shape (rows, columns); NaN is null.

    Raises:
        ValueError: as :meth:`Scaling.steps`.
    """
    steps = scaling.steps(values)
    sums, products = np.zeros(steps.shape[1], np.int64), np.zeros((steps.shape[1], steps.shape[1]), np.int64)
    for start in range(0, len(steps), _BLOCK):
        block = steps[start : start + _BLOCK]
        # Below 2^42: whole numbers that a double holds exactly, and the fast matrix product is one of doubles.
        sums += block.sum(axis=0).astype(np.int64)
        products += (block.T @ block).astype(np.int64)
    return Moments(len(steps), sums.tolist(), products.tolist())


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of both sets of rows: associative, commutative, to the bit.

    Raises:
        ValueError: they are of different columns.
    """
    if len(a.sums) != len(b.sums):
        raise ValueError(f"cannot merge moments of {len(a.sums)} columns with those of {len(b.sums)}")
    sums = [x + y for x, y in zip(a.sums, b.sums, strict=True)]
    products = [[x + y for x, y in zip(p, q, strict=True)] for p, q in zip(a.products, b.products, strict=True)]
    return Moments(a.n + b.n, sums, products)


def fit(reference: Moments, explained: float = EXPLAINED) -> Basis | Insufficient:
    """The fewest principal components that explain ``explained`` of the reference's variance, at least one.

    Args:
        reference: moments of its rows.
        explained: share of variance, in (0, 1).
    """
    if reference.n < MIN_ROWS:
        return Insufficient(f"the reference has {reference.n} rows, {MIN_ROWS} are needed")
    centre, second = _means(reference)
    values, vectors = np.linalg.eigh(second - np.outer(centre, centre))
    variance: Floats = np.maximum(values[::-1], 0)
    varying = int(np.count_nonzero(variance > 1e-9 * max(float(variance[0]), 1e-9)))
    if varying < 2:
        return Insufficient("the columns vary in one direction at most: there is nothing between them to watch")
    kept = int(np.searchsorted(np.cumsum(variance) / variance.sum(), explained)) + 1
    # A constant, or a sum of others, adds no direction: with all that vary kept, nothing would be left to watch.
    components: Floats = vectors[:, ::-1][:, : min(kept, varying - 1)].T
    basis = Basis(centre, components, 0.0)
    return Basis(centre, components, error(basis, reference))


def error(basis: Basis, window: Moments) -> float:
    """Mean squared distance of a window's rows from the plane, per column, in variances of the reference; >= 0.

    Raises:
        ValueError: the window has no rows.
    """
    if not window.n:
        raise ValueError("a window without rows has no reconstruction error: leave it out")
    means, second = _means(window)
    about = second - np.outer(means, basis.centre) - np.outer(basis.centre, means)
    about += np.outer(basis.centre, basis.centre)
    explained = np.einsum("kc,cd,kd->", basis.components, about, basis.components)
    return max(0.0, float(np.trace(about) - explained) / len(means))


def row_errors(basis: Basis, scaling: Scaling, values: ArrayLike) -> Floats:
    """The same of each row, shape (rows,): their mean is :func:`error` of the rows' moments.

    Raises:
        ValueError: as :meth:`Scaling.steps`.
    """
    rows = scaling.steps(values) / _ONE - basis.centre
    left: NDArray[np.float64] = rows - rows @ basis.components.T @ basis.components
    found: Floats = (left**2).mean(axis=1)
    return found


def _means(of: Moments) -> tuple[Floats, Floats]:
    """(mean of each column, mean product of each pair), in standard deviations."""
    sums, products = np.array(of.sums, np.float64), np.array(of.products, np.float64)
    return sums / of.n / _ONE, products / of.n / _ONE**2
