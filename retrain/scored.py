"""What rows say of a model's answers: the scores that are watched, in bins, and the loss of each labelled row."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.distances import bin_positions
from detectors.multiclass import class_losses, group_confusion
from detectors.reference import quantile_edges
from detectors.regression import group_errors
from detectors.sketch import SCORE_BINS, Sketch, group_performance, losses, score_bins
from schemas.events import class_name
from schemas.spec import ModelSpec
from schemas.tasks import Loss, Task

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Scores = Mapping[str, pa.Array]

_MIDDLES = tuple(((np.arange(SCORE_BINS) + 0.5) / SCORE_BINS).tolist())
"""Where the bins of a probability lie."""


class Answers(NamedTuple):
    """What rows say of a model's answers.

    Attributes:
        score_bins: bin of each row's watched score, -1 where there is none.
        score_edges: interior edges of a regression's predictions; [] for the other tasks.
        positions: where each bin lies.
        score_sd: standard deviation of the watched scores; 0 without any.
        predicted: of a multiclass model, place of each row's predicted class; of the others empty.
        loss: what ``losses`` are.
        losses: of each row, NaN where there is no label.
        pairs: sketch of the labelled rows.
    """

    score_bins: Ints
    score_edges: list[float]
    positions: tuple[float, ...]
    score_sd: float
    predicted: Ints
    loss: Loss
    losses: Floats
    pairs: Sketch

    @property
    def score_counts(self) -> list[int]:
        """Rows per bin of the watched score."""
        counts: list[int] = np.bincount(self.score_bins[self.score_bins >= 0], minlength=len(self.positions)).tolist()
        return counts


def _binary(spec: ModelSpec, _prediction: pa.Array | None, scores: Scores, label: pa.Array | None) -> Answers:
    positive = spec.positive_class
    if positive not in scores:
        raise ValueError(f"no scores of {positive!r} (spec.positive_class); there are {', '.join(scores) or 'none'}")
    score = numbers(scores[positive])
    known, values = _labels(label, len(score))
    happened = np.array([v == positive if isinstance(v, str) else bool(v) for v in values], np.bool_)
    loss = np.full(len(score), np.nan)
    loss[known] = losses(score[known], happened)[0]
    (pairs,) = group_performance(score[known], happened, *_one(known))
    return Answers(score_bins(score), [], _MIDDLES, _spread(score), _NONE, "log_loss", loss, pairs)


def _multiclass(spec: ModelSpec, prediction: pa.Array | None, scores: Scores, label: pa.Array | None) -> Answers:
    if prediction is None:
        raise ValueError("no predictions: task multiclass needs the class that was predicted")
    places = {name: place for place, name in enumerate(spec.classes)}
    predicted = np.array([_place(places, value, "prediction") for value in prediction.to_pylist()], np.int64)
    rows = np.arange(len(predicted))
    probabilities = np.full((len(predicted), len(places)), np.nan)
    if scores:
        if lacking := [name for name in spec.classes if name not in scores]:
            raise ValueError(f"no scores of {', '.join(lacking)}: give those of all classes, or none")
        probabilities = np.column_stack([numbers(scores[name]) for name in spec.classes])
    scored = ~np.isnan(probabilities).any(axis=1)
    known, values = _labels(label, len(predicted))
    happened = np.array([_place(places, value, "label") for value in values], np.int64)
    loss = np.full(len(predicted), np.nan)
    # A band is made of one kind of loss: the better one, if all rows have it.
    kind: Loss = "log_loss" if len(known) and scored[known].all() else "error_rate"
    if kind == "log_loss":
        loss[known] = class_losses(probabilities[known], happened)
    else:
        loss[known] = predicted[known] != happened
    (pairs,) = group_confusion(
        predicted[known], happened, class_losses(probabilities[known], happened), *_one(known), classes=len(places)
    )
    bins = np.full(len(predicted), -1, np.int64)
    score = probabilities[rows, predicted][scored]
    bins[scored] = score_bins(score)
    return Answers(bins, [], _MIDDLES, _spread(score), predicted, kind, loss, pairs)


def _regression(_spec: ModelSpec, prediction: pa.Array | None, _scores: Scores, label: pa.Array | None) -> Answers:
    if prediction is None:
        raise ValueError("no predictions: task regression needs the number that was predicted")
    values = numbers(prediction)
    edges = quantile_edges(values)
    known, labels = _labels(label, len(values))
    happened = np.array(labels, np.float64)
    loss = np.full(len(values), np.nan)
    loss[known] = np.abs(values[known] - happened)
    bins = np.searchsorted(edges, values, side="right").astype(np.int64)
    positions = bin_positions(edges, float(values.min()), float(values.max()))
    (pairs,) = group_errors(values[known], happened, *_one(known))
    return Answers(bins, edges, tuple(positions.tolist()), _spread(values), _NONE, "mae", loss, pairs)


def answers(spec: ModelSpec, prediction: pa.Array | None, scores: Scores, label: pa.Array | None) -> Answers:
    """What rows say of a model's answers; arguments as for :func:`retrain.baseline.build_reference`.

    Raises:
        ValueError: a column that the task needs is missing, or a value names no class.
    """
    return _ANSWERS[spec.task](spec, prediction, scores, label)


def _spread(scores: Floats) -> float:
    """Standard deviation, whatever the order of rows."""
    return float(np.sort(scores).std()) if len(scores) else 0.0


_NONE = np.zeros(0, np.int64)

_ANSWERS: dict[Task, Callable[[ModelSpec, pa.Array | None, Scores, pa.Array | None], Answers]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "regression": _regression,
}


def _one(rows: Ints) -> tuple[Ints, int]:
    """All rows in one group."""
    return np.zeros(len(rows), np.int64), 1


def numbers(column: pa.Array) -> Floats:
    """A column of numbers; null is NaN."""
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _labels(label: pa.Array | None, rows: int) -> tuple[Ints, list[float | str | bool]]:
    """(rows that have a label, their labels)."""
    values: list[Any] = [None] * rows if label is None else label.to_pylist()
    known = np.flatnonzero([value is not None for value in values])
    return known, [values[row] for row in known]


def _place(places: Mapping[str, int], value: float | str | bool | None, what: str) -> int:
    """The place of a class among the spec's."""
    place = None if value is None else places.get(class_name(value))
    if place is None:
        raise ValueError(f"a {what} is {value!r}; the spec's classes are {', '.join(places)}")
    return place
