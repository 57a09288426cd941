"""Numbers of a window that closed: features against the reference, scores, latency, volume, what scores let one expect.

They inform, none pages.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from detectors import estimate, latency, quality
from detectors.distances import Distances, bin_positions, compare_each, psi
from detectors.sketch import Sketch, mean, merge
from detectors.verdict import Insufficient
from schemas.models import FeatureReference
from schemas.partials import ALL
from schemas.tasks import ESTIMATED
from streams.monitor.generations import Generation
from streams.monitor.held import Held, Key


class Metric(NamedTuple):
    """A row of ``metrics``; ``value`` None is its own verdict: too little data."""

    generation: int
    window_start: int
    view: str
    version: str
    segment: str
    name: str
    metric: str
    value: float | None
    n: int
    coverage: float | None = None
    revision: int = 0


def closed(held: Held, generation: Generation, window: int) -> Iterator[Metric]:
    """Volume, features, scores and latencies of a closed window: they never change again."""
    for segment, n in traffic(held, window).items():
        yield Metric(generation.number, window, "quality", ALL, segment, "", "counted", float(n), n)
    features = {k: s for k, s in held.merged(window, "feature").items() if k.generation == generation.number}
    distances = _distances(generation, features)
    for key, sketch in features.items():
        for metric, value in _feature(generation, key, sketch, distances.get(key, {})).items():
            yield Metric(generation.number, window, "feature", ALL, key.segment, key.name, metric, value, sketch.n)
    for version, sketch in by_version(scores(held, generation, window)).items():
        for metric, value in _score(generation, sketch).items():
            yield Metric(generation.number, window, "score", version, ALL, "", metric, value, sketch.n)
    for version, sketch in by_version(held.merged(window, "prediction")).items():
        for name, metric, value in _predicted(generation, sketch):
            yield Metric(generation.number, window, "score", version, ALL, name, metric, value, sketch.n)
    for version, sketch in by_version(held.merged(window, "latency")).items():
        for metric, value in _latency(generation, sketch).items():
            yield Metric(generation.number, window, "latency", version, ALL, "", metric, value, sketch.n)


def expected(held: Held, generation: Generation, window: int, version: str) -> Iterator[Metric]:
    """How well a version does in a closed window, without labels: what its scores meant in the reference says so.

    Args:
        held: partials of the model.
        generation: of the window.
        window: its start.
        version: whose scores the reference has calibrated; another's mean something else.
    """
    calibrated = generation.reference.calibrated if generation.reference else None
    sketch = by_version(held.merged(window, "score")).get(version)
    if calibrated is None or sketch is None:
        return
    n = sketch.n - sketch.nulls
    groups = estimate.Calibrated(tuple(calibrated.starts), tuple(calibrated.positives))
    found = estimate.estimate(groups, sketch.counts) if n >= generation.spec.alerts.min_rows else None
    for metric in ESTIMATED[generation.spec.task]:
        value = getattr(found, metric) if isinstance(found, estimate.Estimate) else None
        yield Metric(generation.number, window, "estimate", version, ALL, "", metric, value, n)


def traffic(held: Held, window: int) -> dict[str, int]:
    """Counted predictions that are not a shadow's, of all rows and per segment; of a window that is not let go.

    From the feature sketches, which leave shadows out (and have every row, with or without a value): the traffic of a
    model does not double because a version shadows. Tallies count everything, since they must add up to the log.
    """
    rows = {
        (key.generation, key.segment): sketch.n  # the same for all features
        for key, sketch in held.merged(window, "feature").items()
    }
    found = {ALL: 0}
    for (_, segment), n in rows.items():
        found[segment] = found.get(segment, 0) + n
    return found


def unclean(held: Held, generation: Generation, window: int) -> Iterator[Metric]:
    """How many predictions of a window were late and duplicate, shadows' too; they may still grow."""
    revision = held.revision(window, "tally")
    for metric in ("late", "duplicate"):
        events = held.tally(window, f"predictions.{metric}")
        yield Metric(
            generation.number, window, "quality", ALL, ALL, "", metric, float(events), events, revision=revision
        )


def by_version(sketches: Mapping[Key, Sketch], segment: str = ALL) -> dict[str, Sketch]:
    """Sketches of one segment by version, for views that are not counted in a reference's bins."""
    totals: dict[str, Sketch] = {}
    for key, sketch in sketches.items():
        if key.segment == segment:
            totals[key.version] = merge(totals[key.version], sketch) if key.version in totals else sketch
    return totals


def answers(held: Held, window: int) -> dict[str, int]:
    """Counted predictions of a window by version, shadows' too."""
    found: dict[str, int] = {}
    for key, sketch in held.merged(window, "score").items():
        found[key.version] = found.get(key.version, 0) + sketch.n
    return found


def _feature(
    generation: Generation, key: Key, sketch: Sketch, distances: Mapping[str, float | None]
) -> dict[str, float | None]:
    rates = quality.rates(sketch)
    values: dict[str, float | None] = {"null_rate": rates.null_rate}
    if generation.kind(key.name) == "number":
        values |= {
            "outside_share": rates.outside_rate,
            "mean": mean(sketch),
            "minimum": sketch.minimum,
            "maximum": sketch.maximum,
        }
    else:
        values["unseen_share"] = rates.outside_rate
    values |= distances
    return values if sketch.n >= generation.spec.alerts.min_rows else dict.fromkeys(values)


class _Pair(NamedTuple):
    """A feature of the window beside its reference: in a segment, and in all rows."""

    key: Key
    sketch: Sketch
    reference: FeatureReference
    whole: FeatureReference


def _distances(generation: Generation, features: Mapping[Key, Sketch]) -> dict[Key, dict[str, float | None]]:
    """Distances of those that have a reference; all of equally many bins are compared in one pass."""
    alike: defaultdict[tuple[str, bool, int, int], list[_Pair]] = defaultdict(list)
    for key, sketch in features.items():
        reference, whole = generation.feature(key.segment, key.name), generation.feature(ALL, key.name)
        if reference is not None and whole is not None:
            placed = reference.kind == "number" and whole.low is not None and whole.high is not None
            shape = reference.kind, placed, len(reference.counts), len(sketch.counts)
            alike[shape].append(_Pair(key, sketch, reference, whole))
    found: dict[Key, dict[str, float | None]] = {}
    for (kind, placed, *_), pairs in alike.items():
        positions = None
        if placed:
            # A segment's own range may end inside the bins of all rows: their places are those of all rows.
            wholes = [pair.whole for pair in pairs]
            low, high = (np.array(ends, np.float64) for ends in zip(*((w.low, w.high) for w in wholes), strict=True))
            positions = bin_positions([whole.edges for whole in wholes], low, high)
        compared = compare_each(
            [pair.reference.counts for pair in pairs],
            [pair.sketch.counts for pair in pairs],
            positions=positions,
            sds=[pair.reference.sd for pair in pairs],
            min_rows=generation.spec.alerts.min_rows,
        )
        names = _EVERY_KIND + (_NUMBERS if kind == "number" else ())
        found |= {pair.key: _by_name(names, distances) for pair, distances in zip(pairs, compared, strict=True)}
    return found


def _by_name(names: tuple[str, ...], found: Distances | Insufficient) -> dict[str, float | None]:
    if isinstance(found, Insufficient):
        return dict.fromkeys(names)
    square = found.chi_square
    every = found.psi, found.jensen_shannon, square.statistic, square.p_value, found.ks, found.wasserstein
    return dict(zip(names, every, strict=False))


_EVERY_KIND = ("psi", "jensenshannon", "chisquare", "chisquare_p_value")
_NUMBERS = ("ks", "wasserstein")


def scores(held: Held, generation: Generation, window: int) -> Mapping[Key, Sketch]:
    """Sketches that can be added: numbers without bounds are counted in the bins of a generation's reference."""
    found = held.merged(window, "score")
    if generation.spec.task != "regression":
        return found
    return {key: sketch for key, sketch in found.items() if key.generation == generation.number}


def _score(generation: Generation, sketch: Sketch) -> dict[str, float | None]:
    values: dict[str, float | None] = {"mean": mean(sketch)}
    if generation.spec.task == "regression":
        values |= {"minimum": sketch.minimum, "maximum": sketch.maximum, "clipped": float(sketch.outside)}
    enough = sketch.n - sketch.nulls >= generation.spec.alerts.min_rows
    if generation.reference is not None and any(generation.reference.score_counts):
        values["psi"] = psi(generation.reference.score_counts, sketch.counts) if enough else None
    return values if enough else dict.fromkeys(values)


def _predicted(generation: Generation, sketch: Sketch) -> Iterator[tuple[str, str, float | None]]:
    """(class, metric, value): the share of each class among the predictions, and how far all are from the reference."""
    enough = sketch.n >= generation.spec.alerts.min_rows
    for name, count in zip(generation.spec.classes, sketch.counts, strict=False):  # the last bin is of no class
        yield name, "share", count / sketch.n if enough else None
    if generation.reference is not None and any(generation.reference.class_counts):
        counts = sketch.counts[: len(generation.spec.classes)]
        yield ALL, "prediction_psi", psi(generation.reference.class_counts, counts) if enough else None


def _latency(generation: Generation, sketch: Sketch) -> dict[str, float | None]:
    found = latency.summarise(sketch, generation.width / 1000)
    enough = found.n >= generation.spec.alerts.min_rows
    return {
        "p50": found.p50 if enough else None,
        "p95": found.p95 if enough else None,
        "p99": found.p99 if enough else None,
        "throughput": found.throughput,
    }
