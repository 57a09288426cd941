"""What is wrong at a tick by hard rules, in one window or a few.

A feature's quality that the reference's own windows do not explain, and the owner's latency objective, page at once.
Labelled loss above the band of the reference's windows, several in a row, asks for a retraining; it pages only where
the reference is too small for evidence (``streams.monitor.watching``), which pages by the team's budget.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from detectors import budget, latency, quality
from detectors.sketch import Sketch
from detectors.verdict import Insufficient
from schemas.lifecycle import Condition, Kind, PerformanceWindow
from schemas.models import FEATURE_STREAM, FeatureReference
from schemas.partials import ALL
from streams.monitor import context, words
from streams.monitor.close import by_version
from streams.monitor.generations import Generation
from streams.monitor.held import Held
from streams.monitor.labelled import band
from streams.monitor.state import Run

MOST = 0.5
"""A rate from here on is critical: most of a feature is gone. Below, it is a warning."""

RULES = 3
"""Hard rules of a feature: missing, never seen or out of range, constant. The volume is one of the model's."""

RAREST = 0.001
"""False pages in 30 days that hard rules go by where a team accepts none: a gross fault is worth that."""

STALE_WINDOWS = 3
"""Windows after the last one above the band for which a run speaks, when those since had too little data."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What holds at a tick, and what cannot be told for want of data (keys): that ends nothing."""

    active: tuple[Condition, ...]
    unknown: frozenset[str]

    def __or__(self, other: "Findings") -> "Findings":
        """Both, in order."""
        active = sorted((*self.active, *other.active), key=lambda condition: condition.key)
        return Findings(tuple(active), self.unknown | other.unknown)

    def without(self, kind: Kind, versions: Collection[str]) -> "Findings":
        """All but conditions of this kind that are of these versions."""
        kept = tuple(found for found in self.active if found.kind != kind or found.version not in versions)
        return Findings(kept, self.unknown)


def find(
    held: Held, generation: Generation, window: int, serving: str | None, run: Run | None, *, pages: float = 1.0
) -> Findings:
    """All conditions at the tick that closes ``window``.

    Args:
        held: partials of the model.
        generation: of the window.
        window: start of the window that closes.
        serving: version that served it, None when unknown.
        run: windows in a row above the band; None where the labelled loss pages by evidence.
        pages: false pages in 30 days that the model may have; the rules of quality have a part of them.
    """
    active: list[Condition] = []
    unknown: set[str] = set()
    for found in (*_quality(held, generation, window, pages), *_latency(held, generation, window, serving)):
        if isinstance(found, str):
            unknown.add(found)
        else:
            active.append(found)
    by_rules = Findings(tuple(sorted(active, key=lambda condition: condition.key)), frozenset(unknown))
    return by_rules | above_band(held, generation, window, run)


def above_band(held: Held, generation: Generation, window: int, run: Run | None) -> Findings:
    """The labelled loss, when it was above its band for as many windows as the spec says; unknown when long ago.

    Args:
        held: partials of the model.
        generation: of the window.
        window: start of the window that closes.
        run: windows in a row above the band.
    """
    alerts, tested = generation.spec.alerts, window - generation.maturity
    if not alerts.labelled_loss or run is None or run.windows < alerts.consecutive:
        return Findings((), frozenset())
    if _stale(run, tested, generation):
        return Findings((), frozenset({loss_key(run.version)}))
    return Findings((_labelled_loss(held, generation, run, tested),), frozenset())


def advance(run: Run | None, window: PerformanceWindow | None, generation: Generation) -> Run | None:
    """Windows in a row above the band, after another was tested.

    Below the band is better than expected: reported as outside, it still ends the run. Too little data changes nothing,
    but after :data:`STALE_WINDOWS` of it another run begins.
    """
    if window is None or window.verdict == "insufficient":
        return run
    normal = band(generation)
    if normal is None or window.loss is None or window.loss <= normal.high:
        return None
    before = run if run is not None and (run.version, run.metric) == (window.version, window.metric) else None
    if before is not None and _stale(before, window.window_start, generation):
        before = None
    losses = generation.reference.window_losses if generation.reference else []
    return Run(
        version=window.version,
        since=before.since if before else window.window_start,
        last=window.window_start,
        windows=before.windows + 1 if before else 1,
        value=window.loss,
        limit=normal.high,
        normal=sum(losses) / len(losses),
        n=window.n,
        metric=window.metric,
    )


def chance(generation: Generation, pages: float) -> float:
    """Probability with which each hard rule of a model may be wrong in a window: they share a part of its budget.

    Args:
        generation: with a reference.
        pages: false pages in 30 days that the model may have.
    """
    rules = RULES * len(generation.spec.features) + 1  # the volume
    of_model = budget.Budget.of_width(max(pages, RAREST), generation.width)
    return of_model.chance(budget.SHARES["quality"], rules)


def _quality(held: Held, generation: Generation, window: int, pages: float) -> Iterator[Condition | str]:
    """A condition for each feature that has a gross fault, the key of each that cannot be told."""
    references = generation.reference.features.get(ALL, []) if generation.reference else []
    if not references:
        return
    of_one = chance(generation, pages)
    counted: dict[str, dict[str, Sketch]] = defaultdict(dict)
    for key, sketch in held.merged(window, "feature").items():
        if key.generation == generation.number:
            counted[key.name][key.segment] = sketch
    for reference in references:
        for metric, normal in (
            ("null_rate", reference.window_nulls),
            ("outside_share" if reference.kind == "number" else "unseen_share", reference.window_outside),
        ):
            rates = {segment: _rate(sketch, metric) for segment, sketch in counted[reference.name].items()}
            yield from _rate_condition(generation, window, reference, metric, normal=normal, rates=rates, chance=of_one)
        if (whole := counted[reference.name].get(ALL)) is not None:
            yield from _constant(generation, window, reference, whole, of_one)


def _rate(sketch: Sketch, metric: str) -> tuple[float | None, int]:
    """A rate, and the rows that it was measured on."""
    found = quality.rates(sketch)
    return (found.null_rate, found.n) if metric == "null_rate" else (found.outside_rate, sketch.n - sketch.nulls)


def _rate_condition(
    generation: Generation,
    window: int,
    reference: FeatureReference,
    metric: str,
    *,
    normal: list[float],
    rates: dict[str, tuple[float | None, int]],
    chance: float,
) -> Iterator[Condition | str]:
    key = f"quality/{metric}/{reference.name}"
    min_rows = generation.spec.alerts.min_rows
    rate, n = rates.get(ALL, (None, 0))
    found = quality.check_rate(key, rate if n >= min_rows else None, n, normal, reference.window_n, chance=chance)
    if isinstance(found, Insufficient):
        yield key
    elif found.violated:
        rows = sum(reference.window_n)
        usual = sum(r * k for r, k in zip(normal, reference.window_n, strict=True)) / rows if rows else 0.0
        summary, text = words.quality(reference.name, metric, usual=usual, value=found.value, limit=found.limit, n=n)
        yield Condition(
            key=key,
            kind="quality",
            version=ALL,
            segment=ALL,
            name=reference.name,
            metric=metric,
            value=found.value,
            limit=found.limit,
            since=window,
            last=window,
            text=text,
            severity="critical" if found.value >= MOST else "warning",
            summary=summary,
            where=words.where_shares(context.shares(rates, min_rows)),
        )


def _constant(
    generation: Generation, window: int, reference: FeatureReference, sketch: Sketch, chance: float
) -> Iterator[Condition | str]:
    """A feature that has one value in all rows, and never had; only where its rows' worth is known."""
    stream = FEATURE_STREAM + reference.name
    watch = next((w for _, w in generation.watches if (w.stream, w.segment) == (stream, ALL)), None)
    total = sum(reference.counts)
    if watch is None or not watch.effective_rows or not total or len(reference.counts) != len(sketch.counts):
        return
    place = max(range(len(sketch.counts)), key=sketch.counts.__getitem__)
    n, same = sketch.n - sketch.nulls, sketch.counts[place]
    numbers = reference.kind == "number"
    if n < generation.spec.alerts.min_rows or (sketch.minimum != sketch.maximum if numbers else same < n):
        return
    key, share = f"quality/constant/{reference.name}", reference.counts[place] / total
    found = quality.check_constant(reference.name, share, n, watch.effective_rows / watch.rows, chance=chance)
    if isinstance(found, Insufficient):
        yield key
    elif found.violated:
        summary, text = words.constant(reference.name, usual=share, n=n)
        yield Condition(
            key=key,
            kind="quality",
            version=ALL,
            segment=ALL,
            name=reference.name,
            metric="constant",
            value=1.0,
            limit=found.limit,
            since=window,
            last=window,
            text=text,
            summary=summary,
        )


def _latency(held: Held, generation: Generation, window: int, serving: str | None) -> Iterator[Condition | str]:
    objective = generation.spec.alerts.latency_p99_ms
    if objective is None or serving is None:
        return
    key = f"latency/p99/{serving}"
    sketch = by_version(held.merged(window, "latency")).get(serving)
    if sketch is None or sketch.n - sketch.nulls < generation.spec.alerts.min_rows:
        yield key
        return
    found = latency.summarise(sketch, generation.width / 1000)
    if found.p99 is not None and found.p50 is not None and found.p99 > objective:
        summary, text = words.latency(serving, p99=found.p99, p50=found.p50, objective=objective, n=found.n)
        yield Condition(
            key=key,
            kind="latency",
            version=serving,
            segment=ALL,
            name="",
            metric="p99",
            value=found.p99,
            limit=objective,
            since=window,
            last=window,
            text=text,
            summary=summary,
            where="latency is not counted by segment",
        )


def _stale(run: Run, tested: int, generation: Generation) -> bool:
    """Whether a run is too old, at the window that was tested, to ask for a training again."""
    return tested - run.last > STALE_WINDOWS * generation.width


def loss_key(version: str) -> str:
    """Key of the condition that a version's labelled loss is."""
    return f"labelled_loss/{version}"


def _labelled_loss(held: Held, generation: Generation, run: Run, tested: int) -> Condition:
    measure = words.Measure.of(generation.spec, run.metric)
    windows = len(generation.reference.window_losses) if generation.reference else 0
    summary, text = words.labelled(run, measure, windows)
    # The pairs of an older window may be let go by now.
    fresh = run.last == tested
    parts = context.losses(held, generation, tested, version=run.version, metric=run.metric) if fresh else None
    return Condition(
        key=loss_key(run.version),
        kind="labelled_loss",
        version=run.version,
        segment=ALL,
        name="",
        metric=run.metric,
        value=run.value,
        limit=run.limit,
        since=run.since,
        last=run.last,
        text=text,
        summary=summary,
        where=words.where_losses(parts, measure) if parts else "",
    )
