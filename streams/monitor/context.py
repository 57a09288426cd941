"""What stands beside a condition: the segments that it is worst in, and the features that moved most. Informs only."""

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import NamedTuple

from detectors import effects, tasks, watch
from detectors.distances import jensen_shannon
from detectors.sketch import Sketch, mean
from schemas.models import FEATURE_STREAM, FeatureReference
from schemas.partials import ALL
from schemas.tasks import Loss
from streams.monitor.close import by_version
from streams.monitor.generations import Generation
from streams.monitor.held import Held

SHARE_APART = 0.05
"""A segment's rate stands out when it is this much above that of all rows, and three standard errors."""

LOSS_APART = 1.1
"""A segment's loss stands out when it is this many times that of all rows."""

AT_MOST = 3
"""Segments that are named."""


class Part(NamedTuple):
    """One segment: its rate or loss, and of how many rows."""

    segment: str
    value: float
    n: int


class Parts(NamedTuple):
    """Segments that have enough rows to tell, and those among them that stand out, worst first."""

    known: int
    worst: tuple[Part, ...]


class Moved(NamedTuple):
    """How a feature moved: a number's mean in its own unit, or the category whose share changed most.

    Attributes:
        distance: Jensen-Shannon distance from the reference, in [0, 1].
        effect: how many minimum effects it is from the reference; None where the reference does not say.
        category: None for a number; empty for values that the reference does not have.
        before: mean, or share, in the reference.
        now: the same in the window.
        deviations: of a number, how many of the reference's standard deviations its mean moved; None without spread.
    """

    name: str
    distance: float
    effect: float | None
    category: str | None
    before: float
    now: float
    deviations: float | None


def shares(by_segment: Mapping[str, tuple[float | None, int]], min_rows: int) -> Parts:
    """Segments whose rate stands out from that of all rows.

    Args:
        by_segment: segment -> (rate in [0, 1], rows); :data:`ALL` among them.
        min_rows: fewer cannot tell.
    """
    whole = by_segment[ALL][0] or 0.0
    parts = _parts(by_segment, min_rows)

    def apart(part: Part) -> bool:
        error = sqrt(max(whole * (1 - whole), 0.0) / part.n)
        return part.value > whole + max(SHARE_APART, 3 * error)

    return Parts(len(parts), tuple(filter(apart, parts))[:AT_MOST])


def losses(held: Held, generation: Generation, window: int, *, version: str, metric: Loss) -> Parts:
    """Segments whose labelled loss stands out in a window that is held and mature."""
    min_rows = generation.spec.alerts.min_rows
    pairs = held.merged(window, "matured")
    by_segment: dict[str, tuple[float | None, int]] = {}
    for segment in sorted({key.segment for key in pairs}):
        sketch = by_version(pairs, segment).get(version)
        if sketch is not None:
            by_segment[segment] = tasks.metrics(generation.spec, sketch).get(metric), sketch.n
    whole = by_segment.get(ALL, (None, 0))[0]
    parts = _parts(by_segment, min_rows)
    if whole is None:
        return Parts(0, ())
    return Parts(len(parts), tuple(part for part in parts if part.value > LOSS_APART * whole)[:AT_MOST])


def moved(held: Held, generation: Generation, window: int) -> list[Moved]:
    """The features that are furthest from the reference in the window that closes, furthest first: a ranking, no test.

    By how many minimum effects they moved, where the reference says it of all of them; else by Jensen-Shannon distance;
    times their importance, where the reference knows it.
    """
    found = {feature.name: feature for feature in _distances(held, generation, window)}
    by_effect = {name: feature.effect for name, feature in found.items() if feature.effect is not None}
    by_distance = {name: feature.distance for name, feature in found.items()}
    ranked = effects.ranking(by_effect if len(by_effect) == len(found) else by_distance, generation.importances)
    return [found[feature.name] for feature in ranked]


def moved_of(held: Held, generation: Generation, window: int, name: str, segment: str = ALL) -> Moved | None:
    """How one feature moved in a segment; None when it cannot be told."""
    return next((feature for feature in _distances(held, generation, window, segment) if feature.name == name), None)


def apart(held: Held, generation: Generation, window: int, name: str) -> Parts:
    """Segments in which a feature is further from its own reference there than all rows are from theirs."""
    by_segment: dict[str, tuple[float | None, int]] = {}
    for key, sketch in held.merged(window, "feature").items():
        reference = generation.feature(key.segment, key.name)
        if key.name == name and key.generation == generation.number and reference is not None:
            distance = jensen_shannon(reference.counts, sketch.counts)
            by_segment[key.segment] = distance, min(sketch.n - sketch.nulls, reference.n - reference.nulls)
    whole = by_segment.get(ALL, (None, 0))[0]
    parts = _parts(by_segment, generation.spec.alerts.min_rows)
    return Parts(len(parts), tuple(part for part in parts if whole is not None and part.value > whole)[:AT_MOST])


def _parts(by_segment: Mapping[str, tuple[float | None, int]], min_rows: int) -> list[Part]:
    parts = [
        Part(segment, value, n)
        for segment, (value, n) in by_segment.items()
        if segment != ALL and value is not None and n >= min_rows
    ]
    return sorted(parts, key=lambda part: (-part.value, part.segment))


def _distances(held: Held, generation: Generation, window: int, segment: str = ALL) -> Iterator[Moved]:
    watches = {w.stream: w for _, w in generation.watches if w.scales and w.segment == segment}
    for key, sketch in held.merged(window, "feature").items():
        reference = generation.feature(segment, key.name)
        if key.segment != segment or key.generation != generation.number or reference is None:
            continue
        enough = min(sketch.n - sketch.nulls, reference.n - reference.nulls) >= generation.spec.alerts.min_rows
        if enough and len(reference.counts) == len(sketch.counts):
            effect, watched = None, watches.get(FEATURE_STREAM + key.name)
            if watched is not None:
                distances = watch.distances(watched, sketch.counts, window)
                effect = max(float(d) / s.effect for d, s in zip(distances, watched.scales, strict=True))
            yield _moved(reference, sketch, effect)


def _moved(reference: FeatureReference, sketch: Sketch, effect: float | None) -> Moved:
    distance = jensen_shannon(reference.counts, sketch.counts)
    if reference.kind == "number":
        before, now = reference.mean or 0.0, mean(sketch) or 0.0
        deviations = (now - before) / reference.sd if reference.sd else None
        return Moved(reference.name, distance, effect, None, before, now, deviations)
    totals = sum(reference.counts), sum(sketch.counts)
    pairs = [(a / totals[0], b / totals[1]) for a, b in zip(reference.counts, sketch.counts, strict=True)]
    index = max(range(len(pairs)), key=lambda i: (abs(pairs[i][1] - pairs[i][0]), -i))
    return Moved(reference.name, distance, effect, [*reference.categories, ""][index], *pairs[index], None)
