"""Performance without labels (CBPE) on real flights: its error beside that of assuming that nothing changed."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from app.demo.flights import FEATURES
from benchmarks.scoreboard.flights import Table, model, table
from benchmarks.scoreboard.worlds import Counts, Floats
from detectors.estimate import Calibrated, Estimate, calibrate_counts, estimate
from detectors.sketch import SCORE_BINS

METRICS = ("accuracy", "precision", "recall", "f1", "auc")
CHUNKS = 41
FINE = 512


def measure(folder: Path, seed: int) -> dict[str, Any]:
    """Error ratios: mean |estimate - truth| / mean |reference's value - truth| over chunks; below 1 is a gain.

    Three thirds of the year at random: one to train on, one to calibrate on, one in chunks by covariates (hour,
    origin), where P(late | score) hardly changes; and the year by time after January, where it does.
    """
    flights = table(folder)
    thirds = np.random.default_rng(seed).integers(0, 3, len(flights.day))
    trained = model().fit(flights.columns[thirds == 0], flights.late[thirds == 0])
    scores = trained.predict_proba(flights.columns)[:, 1]
    names = list(FEATURES)
    order = np.lexsort((flights.columns[:, names.index("origin")], flights.columns[:, names.index("hour")]))
    by_covariates = [rows[thirds[rows] == 2] for rows in np.array_split(order, CHUNKS)]
    found = {"by covariates": _ratios(scores, flights, np.flatnonzero(thirds == 1), by_covariates)}
    january = flights.day < 31
    rest = np.flatnonzero(~january)
    first, second = flights.day < 16, january & (flights.day >= 16)
    frozen = model().fit(flights.columns[first], flights.late[first]).predict_proba(flights.columns)[:, 1]
    found["by time"] = _ratios(frozen, flights, np.flatnonzero(second), np.array_split(rest, CHUNKS))
    return found


def _ratios(
    scores: Floats, flights: Table, reference: NDArray[np.int64], chunks: list[NDArray[np.int64]]
) -> dict[str, dict[str, float]]:
    usual = _truth(scores[reference], flights.late[reference])
    found: dict[str, dict[str, float]] = {}
    for groups, bins in ((32, SCORE_BINS), (FINE, FINE)):
        calibrated = calibrate_counts(_by_label(scores[reference], flights.late[reference], bins), groups)
        if not isinstance(calibrated, Calibrated):
            raise ValueError(calibrated.reason)
        ours, constant = [], []
        for rows in chunks:
            truth = _truth(scores[rows], flights.late[rows])
            estimated = estimate(calibrated, _by_label(scores[rows], flights.late[rows], bins).sum(axis=1))
            if not isinstance(estimated, Estimate):
                raise ValueError(estimated.reason)
            ours.append([abs((getattr(estimated, name) or 0.0) - truth[name]) for name in METRICS])
            constant.append([abs(usual[name] - truth[name]) for name in METRICS])
        ratios = np.mean(ours, axis=0) / np.mean(constant, axis=0)
        found[f"{groups} groups"] = dict(zip(METRICS, ratios.tolist(), strict=True))
    return found


def _by_label(scores: Floats, late: NDArray[np.bool_], bins: int) -> Counts:
    index = np.minimum((scores * bins).astype(np.int64), bins - 1)
    return np.bincount(2 * index + late, minlength=2 * bins).reshape(bins, 2)


def _truth(scores: Floats, late: NDArray[np.bool_]) -> dict[str, float]:
    predicted = scores >= 0.5
    return {
        "accuracy": accuracy_score(late, predicted),
        "precision": precision_score(late, predicted, zero_division=0.0),
        "recall": recall_score(late, predicted),
        "f1": f1_score(late, predicted),
        "auc": roc_auc_score(late, scores),
    }
