"""What normal was, made from rows of predictions: the ``Reference`` that a generation carries."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.reference import profile_categories, profile_number
from retrain.dataset import FEATURE, SEGMENT
from retrain.scored import Floats, Ints, Scores, answers, numbers
from retrain.watched import Windowed, losses_by_window, watch
from schemas.models import FeatureReference, Reference
from schemas.partials import ALL
from schemas.spec import FeatureSpec, ModelSpec


def build_reference(
    spec: ModelSpec,
    *,
    event_time: Ints,
    features: Mapping[str, pa.Array],
    segments: Mapping[str, pa.Array],
    prediction: pa.Array | None = None,
    scores: Scores | None = None,
    label: pa.Array | None = None,
    latency_ms: pa.Array | None = None,
    importances: Mapping[str, float] | None = None,
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
        latency_ms: as the service measured it, null where it did not; None: not known.
        importances: feature -> how much the model's answers depend on it; below 0 is none. None: no model was asked.

    Raises:
        ValueError: a column that the task needs is missing, or a value names no class.
    """
    grid = spec.grid()
    windows = event_time - (event_time - grid.offset) % grid.width
    found = answers(spec, prediction, scores or {}, label)
    starts, ids = np.unique(windows, return_inverse=True)
    of = Windowed(starts, ids)
    labelled = losses_by_window(spec, of, found.losses)
    whole = [_profile(feature, features[feature.name], windows) for feature in spec.features]
    latency = None if latency_ms is None else numbers(latency_ms)
    masks = segment_masks(spec, segments)
    watched, calibrated = watch(
        spec, of, found, labelled=labelled, profiles=whole, features=features, latency=latency, segments=masks
    )
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
                for name, mask in masks.items()
            },
        },
        score_counts=found.score_counts,
        score_edges=found.score_edges,
        class_counts=np.bincount(found.predicted, minlength=len(spec.classes)).tolist(),
        loss=found.loss,
        window_losses=labelled.means.tolist(),
        window_rows=labelled.rows.tolist(),
        watched=watched,
        calibrated=calibrated,
        importances={name: max(0.0, importance) for name, importance in (importances or {}).items()},
    )


def build(
    table: pa.Table, spec: ModelSpec, scores: Floats, importances: Mapping[str, float] | None = None
) -> Reference:
    """The reference of a first training. It says nothing of latency, which is no part of what a fit may see.

    Args:
        table: rows as :func:`retrain.dataset.read` returns them, at least one.
        spec: of a binary model.
        scores: probability of the positive class for each row, by a model that was not fitted on the row's window.
        importances: of the model's features (``retrain.fit.importances``); None: not known.
    """
    return build_reference(
        spec,
        event_time=table["window_start"].to_numpy(),
        features={feature.name: table[FEATURE + feature.name] for feature in spec.features},
        segments={tag: table[SEGMENT + tag] for tag in spec.segments},
        scores={spec.positive_class: pa.array(scores)},
        label=table["label"],
        importances=importances,
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
