"""Performance without labels (CBPE) on real data: its error beside that of assuming that nothing changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from app.demo.flights import FEATURES
from benchmarks.scoreboard import census
from benchmarks.scoreboard.census import Scored
from benchmarks.scoreboard.flights import model, table
from benchmarks.scoreboard.worlds import Counts, Floats
from detectors.estimate import Calibrated, Estimate, calibrate_counts, estimate
from detectors.sketch import SCORE_BINS

METRICS = ("accuracy", "precision", "recall", "f1", "auc")
CHUNKS = 41
FINE = 512
CENSUS_ROWS = 5_000
"""Of a chunk of the census: 41 of them, the last 3,892 people are left out."""

DRAWS = 100
"""Of labels by the estimate's own probabilities, for the error of chance alone."""

CENSUS, COVARIATES, TIME = "census", "flights by covariates", "flights by time"


def measure(folder: Path, seed: int) -> dict[str, Any]:
    """Data -> groups -> metric -> error ratio: mean |estimate - truth| / mean |reference's value - truth| over chunks.

    Below 1 is a gain. *by chance* instead of groups is the ratio of an estimate whose every probability is right: what
    the labels of a chunk scatter about what was to be expected of them. No method can be expected to be below it.

    - *census*: a year of reference, three years in chunks of 5,000 in the order of the rows.
    - *flights by covariates*: three thirds of the year at random, one to train on, one to calibrate on, one in chunks
      by hour and origin, where P(late | score) hardly changes.
    - *flights by time*: the year after January, in which it does.
    """
    before, after = census.employment(folder)
    whole = len(after.scores) // CENSUS_ROWS
    chunks = [_part(after, np.arange(chunk * CENSUS_ROWS, (chunk + 1) * CENSUS_ROWS)) for chunk in range(whole)]
    found = {CENSUS: _ratios(before, chunks, seed)}

    flights = table(folder)
    thirds = np.random.default_rng(seed).integers(0, 3, len(flights.day))
    trained = model().fit(flights.columns[thirds == 0], flights.late[thirds == 0])
    scored = Scored(trained.predict_proba(flights.columns)[:, 1], flights.late)
    names = list(FEATURES)
    order = np.lexsort((flights.columns[:, names.index("origin")], flights.columns[:, names.index("hour")]))
    chunks = [_part(scored, rows[thirds[rows] == 2]) for rows in np.array_split(order, CHUNKS)]
    found[COVARIATES] = _ratios(_part(scored, np.flatnonzero(thirds == 1)), chunks, seed)

    january = flights.day < 31
    first, second = flights.day < 16, january & (flights.day >= 16)
    frozen = model().fit(flights.columns[first], flights.late[first])
    scored = Scored(frozen.predict_proba(flights.columns)[:, 1], flights.late)
    chunks = [_part(scored, rows) for rows in np.array_split(np.flatnonzero(~january), CHUNKS)]
    found[TIME] = _ratios(_part(scored, np.flatnonzero(second)), chunks, seed)
    return found


def _part(scored: Scored, rows: NDArray[np.int64]) -> Scored:
    return Scored(scored.scores[rows], scored.labels[rows])


def _ratios(reference: Scored, chunks: Sequence[Scored], seed: int) -> dict[str, dict[str, float]]:
    truths = np.array([_truth(chunk) for chunk in chunks])
    constant = np.abs(_truth(reference) - truths).mean(axis=0)
    errors = {}
    for groups, bins in ((32, SCORE_BINS), (FINE, FINE)):
        calibrated = _calibrated(reference, groups, bins)
        estimates = np.array([_estimate(calibrated, _by_label(chunk, bins).sum(axis=1)) for chunk in chunks])
        errors[f"{groups} groups"] = np.abs(estimates - truths).mean(axis=0)
    errors["by chance"] = np.mean([by_chance(_calibrated(reference, 32, SCORE_BINS), c, seed) for c in chunks], axis=0)
    return {
        how: dict(zip(METRICS, (error / constant).tolist(), strict=True)) for how, error in errors.items()
    }  # fmt: skip


def by_chance(calibrated: Calibrated, chunk: Scored, seed: int) -> Floats:
    """Mean error of each metric if every probability were right, over labels drawn by them; shape (metrics,)."""
    rng = np.random.default_rng(seed)
    starts, bins = np.array(calibrated.starts), _by_label(chunk, SCORE_BINS).sum(axis=1)
    sizes = np.add.reduceat(bins, starts)
    expected, errors = _estimate(calibrated, bins), []
    for _ in range(DRAWS):
        positives = rng.binomial(sizes, calibrated.positives)
        drawn = Calibrated(
            calibrated.starts, tuple(np.divide(positives, sizes, out=np.zeros(len(sizes)), where=sizes > 0))
        )
        errors.append(np.abs(_estimate(drawn, bins) - expected))
    scatter: Floats = np.mean(errors, axis=0)
    return scatter


def _calibrated(reference: Scored, groups: int, bins: int) -> Calibrated:
    found = calibrate_counts(_by_label(reference, bins), groups)
    if not isinstance(found, Calibrated):
        raise ValueError(found.reason)
    return found


def _estimate(calibrated: Calibrated, bins: NDArray[np.int64]) -> Floats:
    found = estimate(calibrated, bins)
    if not isinstance(found, Estimate):
        raise ValueError(found.reason)
    return np.array([getattr(found, name) or 0.0 for name in METRICS])


def _by_label(chunk: Scored, bins: int) -> Counts:
    index = np.minimum((chunk.scores * bins).astype(np.int64), bins - 1)
    return np.bincount(2 * index + chunk.labels, minlength=2 * bins).reshape(bins, 2)


def _truth(chunk: Scored) -> Floats:
    predicted = chunk.scores >= 0.5
    by_name = {
        "accuracy": accuracy_score(chunk.labels, predicted),
        "precision": precision_score(chunk.labels, predicted, zero_division=0.0),
        "recall": recall_score(chunk.labels, predicted),
        "f1": f1_score(chunk.labels, predicted),
        "auc": roc_auc_score(chunk.labels, chunk.scores),
    }
    return np.array([by_name[name] for name in METRICS])
