"""Two samples of several columns: whether the columns still go together as they did (:mod:`detectors.pca`).

Judged like a single column (:mod:`detectors.two_samples`): by a minimum that matters, by what chance adds, and by what
parts of the first sample differ by among themselves, each as explained by the components of the others.
"""

from collections.abc import Sequence
from functools import reduce
from math import sqrt

import numpy as np
from scipy.special import ndtri

from detectors import pca
from detectors.sketch import Floats, Ints
from detectors.two_samples import CHANCE, MIN_ROWS, Judgement, Usual, judge
from detectors.verdict import Insufficient

MIN_CHANGE = 0.1
"""Smallest change of the reconstruction error that matters, relative to that of the first sample."""


def compare(before: Floats, blocks: Ints, after: Floats, *, alpha: float) -> Judgement | Insufficient:
    """How much further from the first sample's components rows of the second lie, or nearer: |ratio - 1|.

    Args:
        before: columns of the first sample, NaN is null, shape (rows, columns).
        blocks: block of each of its rows, in [0, number of blocks).
        after: the same columns of the second sample.
        alpha: two-sided, in (0, 1); chance is a normal's quantile times the standard error of rows.
    """
    for side, rows in (("reference", before), ("current rows", after)):
        if len(rows) < MIN_ROWS:
            return Insufficient(f"the {side} have {len(rows):,} rows, {MIN_ROWS} are needed")
    scaling = pca.Scaling.of(before)
    parts = [pca.moments(scaling, before[blocks == block]) for block in np.unique(blocks)]
    basis = pca.fit(reduce(pca.merge, parts))
    if isinstance(basis, Insufficient):
        return basis
    was, now = (pca.row_errors(basis, scaling, rows) for rows in (before, after))
    error = sqrt(float(was.var()) / len(was) + float(now.var()) / len(now)) / basis.usual
    return judge(
        abs(float(now.mean()) / basis.usual - 1),
        minimum=MIN_CHANGE,
        chance=-float(ndtri(alpha / 2)) * error,
        usual=_usual(parts, float(was.std()) / basis.usual),
    )


def _usual(parts: Sequence[pca.Moments], spread: float) -> Usual | None:
    """How far each part is from all others together; None without two that can be asked.

    Args:
        parts: moments of the first sample's blocks.
        spread: standard deviation of its rows' errors, relative to their mean.
    """
    found, smallest = [], 0
    for place, part in enumerate(parts):
        if part.n < MIN_ROWS or len(parts) < 2:
            continue
        basis = pca.fit(reduce(pca.merge, [*parts[:place], *parts[place + 1 :]]))
        if isinstance(basis, pca.Basis):
            found.append(abs(pca.error(basis, part) / basis.usual - 1))
            smallest = min(smallest or part.n, part.n)
    if len(found) < 2:
        return None
    second, worst = sorted(found)[-2:]
    noise = -float(ndtri(CHANCE / 2 / len(found))) * spread / sqrt(smallest)
    return Usual(worst, worst + (worst - second), noise)
