"""``driftline reference show``: what rows that were normal can promise, per stream, before anything pages by them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from rich.table import Table as Grid

from app import table
from detectors import budget, calibration, effects, held_out, quality, stream
from detectors.distances import bin_positions
from detectors.reference import BOOLEANS, MAX_BINS, MAX_CATEGORIES, quantile_edges
from detectors.sketch import Floats, Ints, encode
from detectors.slots import slot_of, week_of
from detectors.verdict import Insufficient
from retrain.scored import answers
from schemas.spec import FeatureSpec, ModelSpec

KEPT: calibration.Claim = "within budget on held-out reference"
VARIABLE = "structurally variable: reported, never paged"


@dataclass(frozen=True, slots=True)
class Shown:
    """What the reference says of one stream.

    Attributes:
        stream: ``labelled loss`` or the feature.
        claim: of a report, or why it would never page.
        reference: ``fixed`` or ``seasonal slots``.
        windows: held-out windows with rows enough.
        blocks: independent blocks of them: days, or weeks for slots.
        rows: of a window, on average.
        effective_rows: independent rows that these are worth.
        autocorrelation: lag-1, of the score between neighbouring windows.
        reached: evidence that the reference's own held-out windows reached.
        threshold: evidence that pages.
        reason: of the claim, in plain words.
    """

    stream: str
    claim: str
    reference: str
    windows: int
    blocks: int
    rows: float
    effective_rows: float | None
    autocorrelation: float | None
    reached: float | None
    threshold: float
    reason: str


@dataclass(frozen=True, slots=True)
class Windows:
    """The file's windows.

    Attributes:
        ids: window of each row, in [0, n).
        calendar: of the windows, in time order.
    """

    ids: Ints
    calendar: stream.Calendar

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.calendar.days)


def shown(
    path: Path, spec: ModelSpec, columns: Mapping[str, str], *, timezone: str | None, pages: float
) -> Iterator[Shown]:
    """Every stream of a model, the labelled loss first.

    Args:
        path: Parquet or CSV of rows that were normal, see :mod:`app.table`.
        spec: of the model.
        columns: our name -> the file's.
        timezone: IANA name: of times that have none, and of seasonal slots (default there: UTC).
        pages: budget of false pages a month, > 0.

    Raises:
        TableError: the file cannot be used.
    """
    rows = table.read(path, spec, columns, timezone=timezone)
    windows = _windows(spec, rows.event_time, ZoneInfo(timezone or "UTC"))
    of = budget.Budget.of_width(pages, spec.grid().width)
    weights = budget.weights({feature.name: 1.0 for feature in spec.features})
    streams = len(spec.features) + 1
    if rows.label is not None:
        losses = answers(spec, rows.prediction, rows.scores, rows.label).losses
        yield _loss(windows, losses, spec.alerts.min_rows, of.of(weights["loss"]), streams)
    for feature in spec.features:
        counts, measure = _counts(feature, rows.features[feature.name], windows)
        threshold = of.of(weights[f"feature.{feature.name}"])
        yield _feature(feature.name, counts, measure, windows, threshold=threshold, streams=streams)


def _windows(spec: ModelSpec, times: Ints, zone: ZoneInfo) -> Windows:
    grid = spec.grid()
    starts, ids = np.unique(times - (times - grid.offset) % grid.width, return_inverse=True)
    days = (starts - grid.offset) // 86_400_000
    slots = np.array([slot_of(int(start), zone) for start in starts], np.int64)
    weeks = np.array([week_of(int(start)) for start in starts], np.int64)
    return Windows(ids.astype(np.int64), stream.Calendar(days, slots, weeks))


def _counts(feature: FeatureSpec, column: pa.Array, windows: Windows) -> tuple[Ints, stream.Measure]:
    """Rows with a value per window and bin, in the bins a reference would have."""
    if feature.kind == "number":
        values: Floats = column.to_numpy(zero_copy_only=False).astype(np.float64)
        present = ~np.isnan(values)
        ordered = np.sort(values[present])
        edges = quantile_edges(ordered, MAX_BINS)
        codes, bins = np.searchsorted(edges, values, side="right"), len(edges) + 1
        if ordered.size and edges:
            positions = bin_positions(edges, float(ordered[0]), float(ordered[-1]))
            measure = stream.Measure(tuple(positions.tolist()), float(ordered.std()))
        else:
            measure = stream.Measure((0.0,) * bins)
    else:
        texts = column.to_pylist()
        known = BOOLEANS if feature.kind == "boolean" else _frequent(column)
        codes, bins, measure = encode(texts, known), len(known) + 1, stream.Measure(None)
        present = codes >= 0
    flat = windows.ids[present] * bins + codes[present]
    return np.bincount(flat, minlength=windows.n * bins).reshape(windows.n, bins), measure


def _frequent(column: pa.Array) -> list[str]:
    counted = column.drop_null().value_counts()
    pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    return [name for name, _ in sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:MAX_CATEGORIES]]


def _feature(
    name: str, counts: Ints, measure: stream.Measure, windows: Windows, *, threshold: float, streams: int
) -> Shown:
    full = counts.sum(axis=1) >= quality.MIN_ROWS
    calendar = stream.Calendar(windows.calendar.days[full], windows.calendar.slots[full], windows.calendar.weeks[full])
    rows = float(counts[full].sum(axis=1).mean()) if full.any() else 0.0
    found = stream.fit(counts[full], calendar, measure, threshold=threshold, streams=streams)
    if isinstance(found, Insufficient):
        reason = f"{found.reason} (windows of {quality.MIN_ROWS} rows or more count)"
        blocks = len(np.unique(calendar.days))
        return _nothing(name, reason, windows=int(full.sum()), blocks=blocks, rows=rows, threshold=threshold)
    examined = found.examined
    reason = examined.reason
    if found.variable:
        reason = (
            f"a window of {rows:,.0f} rows is worth {found.effective_rows:,.0f} independent ones, "
            f"{held_out.MIN_EFFECTIVE:.0f} are needed"
        )
    return Shown(
        stream=name,
        claim=VARIABLE if found.variable else examined.claim,
        reference="fixed" if found.seasonal is None else "seasonal slots",
        windows=examined.windows,
        blocks=examined.blocks,
        rows=rows,
        effective_rows=found.effective_rows,
        autocorrelation=examined.autocorrelation,
        reached=examined.reached,
        threshold=examined.threshold,
        reason=reason,
    )


def _loss(windows: Windows, losses: Floats, min_rows: int, threshold: float, streams: int) -> Shown:
    name = "labelled loss"
    known = ~np.isnan(losses)
    n = np.bincount(windows.ids[known], minlength=windows.n)
    total = np.bincount(windows.ids[known], weights=losses[known], minlength=windows.n)
    full = (n >= min_rows) & (n > 0)
    days = windows.calendar.days[full]
    if len(np.unique(days)) < calibration.MIN_BLOCKS:
        reason = f"{full.sum()} windows have {min_rows} labels (alerts.min_rows), on {len(np.unique(days))} days"
        blocks = len(np.unique(days))
        return _nothing(name, reason, windows=int(full.sum()), blocks=blocks, rows=0.0, threshold=threshold)
    others = held_out.of_others(np.stack([total[full], n[full]], axis=1), days)
    changes = total[full] / n[full] - others[:, 0] / others[:, 1]
    effect = effects.loss_effect(float(total[full].sum() / n[full].sum()))
    examined = calibration.examine(changes[:, None], days, effects=[effect], threshold=threshold, streams=streams)
    variance = float(losses[known].var())
    ratio = held_out.design_effect_of_means(total[full] / n[full], n[full], variance) if variance > 0 else 1.0
    rows = float(n[full].mean())
    return Shown(
        stream=name,
        claim=examined.claim,
        reference="fixed",
        windows=examined.windows,
        blocks=examined.blocks,
        rows=rows,
        effective_rows=held_out.effective_rows(rows, ratio),
        autocorrelation=examined.autocorrelation,
        reached=examined.reached,
        threshold=examined.threshold,
        reason=examined.reason,
    )


def _nothing(name: str, reason: str, *, windows: int, blocks: int, rows: float, threshold: float) -> Shown:
    return Shown(name, "not enough data", "fixed", windows, blocks, rows, None, None, None, threshold, reason)


def grid(found: list[Shown]) -> Grid:
    """The streams for a person."""
    printed = Grid("stream", "reference", "windows", "rows", "worth", "lag-1", "may claim", box=None)
    for one in found:
        printed.add_row(
            one.stream,
            one.reference,
            f"{one.windows:,}",
            f"{one.rows:,.0f}",
            "-" if one.effective_rows is None else f"{one.effective_rows:,.0f}",
            "-" if one.autocorrelation is None else f"{one.autocorrelation:.2f}",
            one.claim,
        )
    return printed


def reasons(found: list[Shown]) -> list[str]:
    """A line for each stream that cannot keep the budget, or may not page."""
    return [f"{one.stream}: {one.reason}" for one in found if one.claim != KEPT]


def as_json(found: list[Shown]) -> list[dict[str, Any]]:
    """The streams for a machine."""
    return [asdict(one) for one in found]
