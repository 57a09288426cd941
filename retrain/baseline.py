"""What normal was, made from rows of predictions: the ``Reference`` that a generation carries."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.multiclass import class_losses, group_confusion
from detectors.reference import profile_categories, profile_number, quantile_edges
from detectors.regression import group_errors
from detectors.sketch import SCORE_BINS, Sketch, group_performance, losses, score_bins
from retrain.dataset import FEATURE, SEGMENT
from schemas.events import class_name
from schemas.models import FeatureReference, Reference
from schemas.partials import ALL
from schemas.spec import FeatureSpec, ModelSpec
from schemas.tasks import Loss, Task

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Scores = Mapping[str, pa.Array]


def build_reference(
    spec: ModelSpec,
    *,
    event_time: Ints,
    features: Mapping[str, pa.Array],
    segments: Mapping[str, pa.Array],
    prediction: pa.Array | None = None,
    scores: Scores | None = None,
    label: pa.Array | None = None,
) -> Reference:
    """The reference that rows of predictions make, in any order. All columns are of one length, at least one row.

    A window has a loss when it has as many labels as a test asks for (``alerts.min_rows``, ``alerts.min_coverage``).

    Args:
        spec: of the model; says which of the columns are looked at.
        event_time: milliseconds since the epoch.
        features: name -> float64, string or bool; null is a missing value.
        segments: tag -> string; null is a row without the tag.
        prediction: of a regression the numbers, of multiclass the names of classes; binary has no need of it.
        scores: class -> probability. Binary: of the positive class, every row. Multiclass: of all classes or of none.
        label: what really happened, null where it is not known. Regression: numbers. Else names of classes, of binary
            also 0, 1 and booleans. No model may have learned from these labels: losses in the sample would make every
            later window look bad.

    Raises:
        ValueError: a column that the task needs is missing, or a value names no class.
    """
    grid = spec.grid()
    windows = event_time - (event_time - grid.offset) % grid.width
    found = answers(spec, prediction, scores or {}, label)
    window_losses, window_rows = _window_losses(spec, windows, found.losses)
    whole = [_profile(feature, features[feature.name], windows) for feature in spec.features]
    return Reference(
        start=int(windows.min()),
        end=grid.end(int(windows.max())),
        rows=len(windows),
        features={
            ALL: whole,
            **{
                name: [
                    _profile(feature, features[feature.name].filter(pa.array(mask)), windows[mask], of_all)
                    for feature, of_all in zip(spec.features, whole, strict=True)
                ]
                for name, mask in segment_masks(spec, segments).items()
            },
        },
        score_counts=found.score_counts,
        score_edges=found.score_edges,
        class_counts=found.class_counts,
        loss=found.loss,
        window_losses=window_losses,
        window_rows=window_rows,
    )


def build(table: pa.Table, spec: ModelSpec, scores: Floats) -> Reference:
    """The reference of a first training.

    Args:
        table: rows as :func:`retrain.dataset.read` returns them, at least one.
        spec: of a binary model.
        scores: probability of the positive class for each row, by a model that was not fitted on the row's window.
    """
    return build_reference(
        spec,
        event_time=table["window_start"].to_numpy(),
        features={feature.name: table[FEATURE + feature.name] for feature in spec.features},
        segments={tag: table[SEGMENT + tag] for tag in spec.segments},
        scores={spec.positive_class: pa.array(scores)},
        label=table["label"],
    )


def segments(table: pa.Table, spec: ModelSpec) -> dict[str, NDArray[np.bool_]]:
    """``tag=value`` -> mask of its rows, of rows as :func:`retrain.dataset.read` returns them."""
    return segment_masks(spec, {tag: table[SEGMENT + tag] for tag in spec.segments})


def segment_masks(spec: ModelSpec, tags: Mapping[str, pa.Array]) -> dict[str, NDArray[np.bool_]]:
    """``tag=value`` -> mask of its rows, in order of name."""
    found = {}
    for tag in spec.segments:
        values = np.asarray(tags[tag].to_pylist(), dtype=object)
        for value in sorted({value for value in values if value is not None}):
            found[f"{tag}={value}"] = np.asarray(values == value, dtype=np.bool_)
    return found


def _profile(
    feature: FeatureSpec, column: pa.Array, windows: Ints, of_all: FeatureReference | None = None
) -> FeatureReference:
    """One feature; a segment is counted by the bins of all rows, as stage 1 counts its windows."""
    if feature.kind == "number":
        edges = of_all.edges if of_all else None
        return profile_number(feature.name, column.to_numpy(zero_copy_only=False), windows, edges=edges)
    categories = of_all.categories if of_all else None
    return profile_categories(feature.name, column.to_pylist(), windows, kind=feature.kind, categories=categories)


def _window_losses(spec: ModelSpec, windows: Ints, loss: Floats) -> tuple[list[float], list[int]]:
    """(mean loss, labelled rows) of the windows that have enough labels; the loss of the other rows is NaN."""
    labelled = ~np.isnan(loss)
    starts, place, rows = np.unique(windows, return_inverse=True, return_counts=True)
    n = np.bincount(place[labelled], minlength=len(starts))
    enough = (n >= spec.alerts.min_rows) & (n >= spec.alerts.min_coverage * rows) & (n > 0)
    total = np.bincount(place[labelled], weights=loss[labelled], minlength=len(starts))
    return (total[enough] / n[enough]).tolist(), n[enough].tolist()


class Answers(NamedTuple):
    """What rows say of a model's answers.

    Attributes:
        losses: of each row, NaN where there is no label.
        pairs: sketch of the labelled rows.
    """

    score_counts: list[int]
    score_edges: list[float]
    class_counts: list[int]
    loss: Loss
    losses: Floats
    pairs: Sketch


def _binary(spec: ModelSpec, _prediction: pa.Array | None, scores: Scores, label: pa.Array | None) -> Answers:
    positive = spec.positive_class
    if positive not in scores:
        raise ValueError(f"no scores of {positive!r} (spec.positive_class); there are {', '.join(scores) or 'none'}")
    score = _numbers(scores[positive])
    known, values = _labels(label, len(score))
    happened = np.array([v == positive if isinstance(v, str) else bool(v) for v in values], np.bool_)
    loss = np.full(len(score), np.nan)
    loss[known] = losses(score[known], happened)[0]
    (pairs,) = group_performance(score[known], happened, *_one(known))
    return Answers(_probabilities(score), [], [], "log_loss", loss, pairs)


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
        probabilities = np.column_stack([_numbers(scores[name]) for name in spec.classes])
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
    return Answers(
        _probabilities(probabilities[rows, predicted][scored]),
        [],
        np.bincount(predicted, minlength=len(places)).tolist(),
        kind,
        loss,
        pairs,
    )


def _regression(_spec: ModelSpec, prediction: pa.Array | None, _scores: Scores, label: pa.Array | None) -> Answers:
    if prediction is None:
        raise ValueError("no predictions: task regression needs the number that was predicted")
    values = _numbers(prediction)
    edges = quantile_edges(values)
    known, labels = _labels(label, len(values))
    happened = np.array(labels, np.float64)
    loss = np.full(len(values), np.nan)
    loss[known] = np.abs(values[known] - happened)
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    (pairs,) = group_errors(values[known], happened, *_one(known))
    return Answers(counts.tolist(), edges, [], "mae", loss, pairs)


def answers(spec: ModelSpec, prediction: pa.Array | None, scores: Scores, label: pa.Array | None) -> Answers:
    """What rows say of a model's answers; arguments as for :func:`build_reference`.

    Raises:
        ValueError: a column that the task needs is missing, or a value names no class.
    """
    return _ANSWERS[spec.task](spec, prediction, scores, label)


_ANSWERS: dict[Task, Callable[[ModelSpec, pa.Array | None, Scores, pa.Array | None], Answers]] = {
    "binary": _binary,
    "multiclass": _multiclass,
    "regression": _regression,
}


def _one(rows: Ints) -> tuple[Ints, int]:
    """All rows in one group."""
    return np.zeros(len(rows), np.int64), 1


def _numbers(column: pa.Array) -> Floats:
    """A column of numbers; null is NaN."""
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _probabilities(scores: Floats) -> list[int]:
    counts: list[int] = np.bincount(score_bins(scores), minlength=SCORE_BINS).tolist()
    return counts


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
