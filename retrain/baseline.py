"""What normal was, made from the rows of the first training: the ``Reference`` that a generation carries."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.reference import profile_categories, profile_number
from detectors.sketch import SCORE_BINS, losses, score_bins
from retrain.dataset import FEATURE, SEGMENT
from schemas.models import FeatureReference, Reference
from schemas.partials import ALL
from schemas.spec import FeatureSpec, ModelSpec


def build(table: pa.Table, spec: ModelSpec, scores: NDArray[np.float64]) -> Reference:
    """Bins and per-window rates of every feature, overall and per segment; scores and losses out of sample.

    Args:
        table: rows as :func:`retrain.dataset.read` returns them, at least one.
        spec: of the model.
        scores: probability of the positive class for each row, by a model that was not fitted on the row's window;
            in-sample losses would make every later window look bad.
    """
    windows = table["window_start"].to_numpy()
    starts, place, n = np.unique(windows, return_inverse=True, return_counts=True)
    log_loss, _ = losses(scores, table["label"].to_numpy().astype(bool))
    whole = [_profile(feature, table, windows) for feature in spec.features]
    return Reference(
        start=int(starts[0]),
        end=spec.grid().end(int(starts[-1])),
        rows=len(table),
        features={
            ALL: whole,
            **{
                name: [
                    _profile(feature, table.filter(pa.array(mask)), windows[mask], of_all)
                    for feature, of_all in zip(spec.features, whole, strict=True)
                ]
                for name, mask in segments(table, spec).items()
            },
        },
        score_counts=np.bincount(score_bins(scores), minlength=SCORE_BINS).tolist(),
        window_log_loss=(np.bincount(place, weights=log_loss) / n).tolist(),
        window_rows=n.tolist(),
    )


def segments(table: pa.Table, spec: ModelSpec) -> dict[str, NDArray[np.bool_]]:
    """``tag=value`` -> mask of its rows, in order of name."""
    found = {}
    for tag in spec.segments:
        values = np.asarray(table[SEGMENT + tag].to_pylist(), dtype=object)
        for value in sorted({value for value in values if value is not None}):
            found[f"{tag}={value}"] = np.asarray(values == value, dtype=np.bool_)
    return found


def _profile(
    feature: FeatureSpec, rows: pa.Table, windows: NDArray[np.int64], of_all: FeatureReference | None = None
) -> FeatureReference:
    """One feature; a segment is counted by the bins of all rows, as stage 1 counts its windows."""
    column = rows[FEATURE + feature.name]
    if feature.kind == "number":
        edges = of_all.edges if of_all else None
        return profile_number(feature.name, column.to_numpy(), windows, edges=edges)
    categories = of_all.categories if of_all else None
    return profile_categories(feature.name, column.to_pylist(), windows, kind=feature.kind, categories=categories)
