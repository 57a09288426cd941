"""What may page by a reference: every stream of a model, calibrated on the windows that the reference is made of."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import ceil
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace
from numpy.typing import NDArray

from detectors import budget, calibration, effects, estimate, held_out, quality
from detectors import watch as reading
from detectors.distances import bin_positions
from detectors.sketch import LATENCY_EDGES, SCORE_BINS, group_latency
from detectors.stream import Measure
from detectors.verdict import Insufficient
from detectors.watching import Windows, of_counts, of_values
from retrain.scored import Answers, Floats, Ints
from schemas.models import FEATURE_STREAM, Calibrated, FeatureReference, Watch
from schemas.spec import ModelSpec

MOST_SEGMENTS = 32
"""Segments that page by evidence, the largest: the next one's part of the budget would be a ten-thousandth."""


class Windowed(NamedTuple):
    """The windows of rows.

    Attributes:
        starts: of the windows, ms, ascending.
        ids: place of each row's window among them.
    """

    starts: Ints
    ids: Ints


class Losses(NamedTuple):
    """Labelled loss by window, of those with as many labels as a test asks for.

    Attributes:
        windows: places of these windows.
        means: loss of each.
        rows: labelled rows of each.
    """

    windows: Ints
    means: Floats
    rows: Ints


def losses_by_window(spec: ModelSpec, windowed: Windowed, losses: Floats) -> Losses:
    """Mean losses of the windows that have ``alerts.min_rows`` labels, and ``alerts.min_coverage`` of their rows.

    Args:
        spec: of the model.
        windowed: windows of the rows.
        losses: of each row, NaN where there is no label.
    """
    known, n_windows = ~np.isnan(losses), len(windowed.starts)
    rows = np.bincount(windowed.ids, minlength=n_windows)
    n = np.bincount(windowed.ids[known], minlength=n_windows)
    enough = np.flatnonzero((n >= spec.alerts.min_rows) & (n >= spec.alerts.min_coverage * rows) & (n > 0))
    total = np.bincount(windowed.ids[known], weights=losses[known], minlength=n_windows)
    return Losses(enough, total[enough] / n[enough], n[enough])


def watch(
    spec: ModelSpec,
    windowed: Windowed,
    found: Answers,
    *,
    labelled: Losses,
    profiles: Sequence[FeatureReference],
    features: Mapping[str, pa.Array],
    latency: Floats | None,
    segments: Mapping[str, NDArray[np.bool_]] | None = None,
) -> tuple[list[Watch], Calibrated | None]:
    """Every stream that a model's rows allow, and what a binary model's scores mean.

    A stream that cannot be calibrated is there too, and says why; of segments only the loss does, the others say no
    more than that.

    Args:
        spec: of the model.
        windowed: windows of the rows.
        found: what the rows say of the model's answers.
        labelled: losses by window.
        profiles: of the features over all rows, in whose bins they are counted.
        features: name -> column.
        latency: of each row in ms, NaN where not measured; None: not known.
        segments: ``tag=value`` -> mask of its rows.
    """
    windows = Windows.of(windowed.starts, spec.grid(), spec.reference.timezone, spec.reference.holidays)
    scored = bool((found.score_bins >= 0).any())
    calibrated = estimate.calibrate(found.pairs) if spec.task == "binary" else None
    makers = [partial(_loss, spec, windows, labelled, found)]
    if calibrated is not None:
        makers.append(partial(_estimate, windows, _by_window(windowed, found.score_bins, SCORE_BINS), calibrated))
    if scored:
        counts = _by_window(windowed, found.score_bins, len(found.positions))
        makers.append(partial(of_counts, "score", counts, Measure(found.positions, found.score_sd), windows))
    if spec.task == "multiclass":
        counts = _by_window(windowed, found.predicted, len(spec.classes))
        makers.append(partial(of_counts, "prediction", counts, Measure(None), windows))
    if latency is not None and not np.isnan(latency).all():
        makers.append(partial(_latency, windows, windowed, latency))
    makers += [partial(_feature, windows, windowed, profile, features[profile.name]) for profile in profiles]
    parts = _of_segments(spec, windows, windowed, found, profiles=profiles, features=features, segments=segments or {})
    # Segments have the reserve's part of the chance that a bound is too low, as they have of the budget.
    reserve = budget.SHARES["reserve"] if parts else 0.0
    watched = [make(streams=ceil(len(makers) / (1 - reserve))) for make in makers]
    for name, of_segment in parts:
        made = of_segment(streams=ceil(len(parts) / reserve))
        if made.scales or made.stream == "loss":
            watched.append(replace(made, segment=name))
    if isinstance(calibrated, estimate.Calibrated):
        return watched, Calibrated(list(calibrated.starts), list(calibrated.positives))
    return watched, None


def _of_segments(
    spec: ModelSpec,
    windows: Windows,
    windowed: Windowed,
    found: Answers,
    *,
    profiles: Sequence[FeatureReference],
    features: Mapping[str, pa.Array],
    segments: Mapping[str, NDArray[np.bool_]],
) -> list[tuple[str, Callable[..., Watch]]]:
    """(segment, maker of a stream of its rows) of the largest segments: loss, and features in the bins of all rows.

    They have no seasonal slots, for which a segment has too few rows an hour.
    """
    makers: list[tuple[str, Callable[..., Watch]]] = []
    for name in sorted(segments, key=lambda one: (-int(segments[one].sum()), one))[:MOST_SEGMENTS]:
        mask = segments[name]
        of, losses = Windowed(windowed.starts, windowed.ids[mask]), found.losses[mask]
        mine = found._replace(losses=losses)
        makers.append((name, partial(_loss, spec, windows, losses_by_window(spec, of, losses), mine)))
        for profile in profiles:
            column = features[profile.name].filter(pa.array(mask))
            makers.append((name, partial(_feature, windows, of, profile, column, seasonal=False)))
    return makers


def _loss(spec: ModelSpec, windows: Windows, labelled: Losses, found: Answers, *, streams: int) -> Watch:
    known = found.losses[~np.isnan(found.losses)]
    usual = float(known.mean()) if len(known) else 0.0
    return of_values(
        "loss",
        labelled.means,
        labelled.rows,
        windows.calendar.days[labelled.windows],
        effect=effects.loss_effect(usual, found.loss),
        design_effect=_design_effect(labelled.means, labelled.rows, float(known.var()) if len(known) else 0.0),
        streams=streams,
        counted=f"windows count that have {spec.alerts.min_rows} labels (alerts.min_rows), and labels for "
        f"{spec.alerts.min_coverage:.0%} of their rows (alerts.min_coverage)",
    )


def _estimate(windows: Windows, counts: Ints, calibrated: estimate.Calibrated | Insufficient, *, streams: int) -> Watch:
    if isinstance(calibrated, Insufficient):
        return Watch("estimate", "change", insufficient=calibrated.reason)
    by_bin = estimate.error_by_bin(calibrated)
    usual, variance = _moments(counts.sum(axis=0), by_bin)
    full = np.flatnonzero(counts.sum(axis=1) >= quality.MIN_ROWS)
    rows = counts[full].sum(axis=1)
    errors = counts[full] @ by_bin / rows
    return of_values(
        "estimate",
        errors,
        rows,
        windows.calendar.days[full],
        effect=effects.loss_effect(usual),
        design_effect=_design_effect(errors, rows, variance),
        streams=streams,
        counted=f"windows of {quality.MIN_ROWS} rows with a score count",
    )


def _latency(windows: Windows, windowed: Windowed, latency: Floats, *, streams: int) -> Watch:
    sketches = group_latency(latency, windowed.ids, windows.n)
    full = [window for window, sketch in enumerate(sketches) if sketch.n - sketch.nulls >= quality.MIN_ROWS]
    values = [value for value in (reading.log_p99(sketches[window]) for window in full) if value is not None]
    counts = np.array([sketches[window].counts for window in full], np.int64).reshape(len(full), len(LATENCY_EDGES) + 1)
    days = windows.calendar.days[full]
    return of_values(
        "latency",
        values,
        counts.sum(axis=1),
        days,
        effect=effects.LATENCY_EFFECT,
        design_effect=_of_slowest(counts, days),
        streams=streams,
        counted=f"windows of {quality.MIN_ROWS} rows with a latency count",
    )


def _of_slowest(counts: Ints, days: Ints) -> float:
    """Design effect of the share of rows among the slowest hundredth; 1 where the days are too few to tell."""
    if len(np.unique(days)) < calibration.MIN_BLOCKS:
        return 1.0
    below = np.cumsum(counts.sum(axis=0))
    cut = int(np.searchsorted(below, 0.99 * below[-1]))
    fast = counts[:, : cut + 1].sum(axis=1)
    return held_out.design_effect(np.stack([fast, counts.sum(axis=1) - fast], axis=1), days)


def _feature(
    windows: Windows,
    windowed: Windowed,
    profile: FeatureReference,
    column: pa.Array,
    *,
    streams: int,
    seasonal: bool = True,
) -> Watch:
    if profile.kind == "number":
        values: Floats = column.to_numpy(zero_copy_only=False).astype(np.float64)
        bins = np.where(np.isnan(values), -1, np.searchsorted(profile.edges, values, side="right"))
        measure = Measure((0.0,) * len(profile.counts))
        if profile.edges and profile.low is not None and profile.high is not None:
            positions = bin_positions(profile.edges, profile.low, profile.high)
            measure = Measure(tuple(positions.tolist()), profile.sd or 0.0)
    else:
        bins, measure = _codes(column, profile.categories), Measure(None)
    counts = _by_window(windowed, bins, len(profile.counts))
    return of_counts(FEATURE_STREAM + profile.name, counts, measure, windows, streams=streams, seasonal=seasonal)


def _codes(column: pa.Array, categories: Sequence[str]) -> Ints:
    """As ``detectors.sketch.encode`` has them: -1 null, ``len(categories)`` any other value."""
    text = column.cast(pa.string())
    codes = pc.fill_null(pc.index_in(text, pa.array(categories, pa.string())), len(categories))
    found: Ints = pc.if_else(pc.is_null(text), -1, codes).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _by_window(windowed: Windowed, bins: Ints, n_bins: int) -> Ints:
    """Rows per window and bin; rows of bin -1 have none."""
    kept: NDArray[np.bool_] = bins >= 0
    n = len(windowed.starts)
    counts: Ints = np.bincount(windowed.ids[kept] * n_bins + bins[kept], minlength=n * n_bins).reshape(n, n_bins)
    return counts


def _moments(counts: Ints, values: Floats) -> tuple[float, float]:
    """(mean, variance) of rows that each have the value of their bin; zero without rows."""
    total = int(counts.sum())
    mean = float(counts @ values) / total if total else 0.0
    return mean, float(counts @ (values - mean) ** 2) / total if total else 0.0


def _design_effect(means: Floats, rows: Ints, variance: float) -> float:
    return held_out.design_effect_of_means(means, rows, variance) if len(means) > 1 and variance > 0 else 1.0
