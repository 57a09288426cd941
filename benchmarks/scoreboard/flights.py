"""The year of flights as daily windows, judged by a model that has seen January only."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GroupKFold, cross_val_predict

from app.demo.flights import FEATURES, STEPS, load
from benchmarks.scoreboard.worlds import Counts, Floats
from detectors.reference import quantile_edges

BINS = 16
CATEGORIES = 20


@dataclass(frozen=True)
class Table:
    """Flights that arrived, in order of departure.

    Attributes:
        day: days since the first, shape (n,).
        month: month of departure, 1-12, shape (n,).
        late: the label, shape (n,).
        columns: features as floats, categories as codes by frequency, nan is null; shape (n, features).
    """

    day: NDArray[np.int64]
    month: NDArray[np.int64]
    late: NDArray[np.bool_]
    columns: Floats


@cache
def table(folder: Path) -> Table:
    """All flights that have an outcome; ``folder`` caches the parsed package."""
    known = load(folder).table
    known = known.filter(known["late"].is_valid())
    instants = known["departure"].cast(pa.int64()).to_numpy()
    arrived = known.to_pandas()
    day = (instants - STEPS.offset) // STEPS.width
    columns = []
    for name, kind in FEATURES.items():
        if kind == "number":
            columns.append(arrived[name].to_numpy(np.float64))
        else:
            by_frequency = arrived[name].value_counts().index
            columns.append(by_frequency.get_indexer(arrived[name]).astype(np.float64))
    return Table(
        day=day - day.min(),
        month=(day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1),
        late=arrived["late"].to_numpy(np.bool_),
        columns=np.stack(columns, axis=1),
    )


def model() -> HistGradientBoostingClassifier:
    """The frozen model: small, seeded."""
    return HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=15, learning_rate=0.1, random_state=1)


def out_of_sample(flights: Table, rows: NDArray[np.bool_]) -> Floats:
    """Scores of these rows by models that have not seen their day (five folds of days)."""
    scores: Floats = cross_val_predict(
        model(), flights.columns[rows], flights.late[rows], groups=flights.day[rows], cv=GroupKFold(5),
        method="predict_proba",
    )[:, 1]  # fmt: skip
    return scores


def histograms(flights: Table, reference: NDArray[np.bool_]) -> dict[str, Counts]:
    """Counts per day and bin of every feature, in bins of the reference's rows; nulls are not counted."""
    days = int(flights.day.max()) + 1
    found = {}
    for index, (name, kind) in enumerate(FEATURES.items()):
        column = flights.columns[:, index]
        present = ~np.isnan(column)
        if kind == "number":
            edges = quantile_edges(np.sort(column[reference & present]), BINS)
            bins, n_bins = np.searchsorted(edges, column[present], side="right"), len(edges) + 1
        else:
            bins, n_bins = np.minimum(column[present].astype(np.int64), CATEGORIES), CATEGORIES + 1
        found[name] = np.bincount(flights.day[present] * n_bins + bins, minlength=days * n_bins).reshape(days, n_bins)
    return found


def day_means(flights: Table, values: Floats, rows: NDArray[np.bool_]) -> Floats:
    """Mean of a value of ``rows`` per day; nan on days without any."""
    days = int(flights.day.max()) + 1
    n = np.bincount(flights.day[rows], minlength=days)
    total = np.bincount(flights.day[rows], weights=values, minlength=days)
    means: Floats = np.divide(total, n, out=np.full(days, np.nan), where=n > 0)
    return means
