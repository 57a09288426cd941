"""Correlation only: every feature keeps its distribution, and some go their own way."""

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from detectors import together
from detectors.distances import ks
from detectors.effects import KS_EFFECT
from detectors.sketch import Floats
from detectors.two_samples import CHANCE, Judgement

FEATURES = 20
SHARED = 0.5
"""Correlation of every two features while nothing is wrong."""

ROWS = 1_000
"""Of a window; the reference has :data:`DAYS` times as many."""

DAYS = 28
EDGES = np.quantile(np.random.default_rng(0).normal(size=100_000), np.arange(1, 32) / 32)

ALONE = {"nothing": 0, "1 of 20 features": 1, "5 of 20 features": 5, "10 of 20 features": 10, "all features": FEATURES}
"""What changes -> how many features lose what they share with the others."""


class Found(TypedDict):
    """Windows that were compared, in how many the features went together otherwise, and in how many one moved alone."""

    windows: int
    together: int
    alone: int


def measure(repeats: int, seed: int) -> dict[str, Found]:
    """What changes -> how often a window of it is told from the reference by all features, and by any one alone."""
    rng = np.random.default_rng(seed)
    reference = _rows(DAYS * ROWS, 0, rng)
    days = np.repeat(np.arange(DAYS), ROWS)
    usual = [_counts(column) for column in reference.T]
    found: dict[str, Found] = {}
    for name, alone in ALONE.items():
        told: Found = {"windows": repeats, "together": 0, "alone": 0}
        for _ in range(repeats):
            now = _rows(ROWS, alone, rng)
            judged = together.compare(reference, days, now, alpha=CHANCE)
            told["together"] += isinstance(judged, Judgement) and judged.word == "drift"
            # Beyond the minimum effect, and beyond chance at these numbers of rows for all features (DKW, Massart).
            most = KS_EFFECT + np.sqrt(np.log(2 * FEATURES / CHANCE) / 2 * (1 / ROWS + 1 / (DAYS * ROWS)))
            told["alone"] += any(ks(p, _counts(column)) > most for p, column in zip(usual, now.T, strict=True))
        found[name] = told
    return found


def _rows(rows: int, alone: int, rng: np.random.Generator) -> Floats:
    """Standard normal features with correlation :data:`SHARED`, of which the first ``alone`` share nothing."""
    own: NDArray[np.float64] = rng.normal(size=(rows, FEATURES))
    shared = np.full(FEATURES, SHARED)
    shared[:alone] = 0
    found: Floats = np.sqrt(shared) * rng.normal(size=(rows, 1)) + np.sqrt(1 - shared) * own
    return found


def _counts(column: Floats) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.bincount(np.searchsorted(EDGES, column), minlength=len(EDGES) + 1)
    return counts
