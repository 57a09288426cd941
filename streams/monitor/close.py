"""Numbers of a window that closed: features against the reference, scores, latency, volume. They inform, none pages."""

from collections.abc import Iterator
from typing import NamedTuple

from detectors import latency, quality
from detectors.distances import Distances, bin_positions, compare, psi
from detectors.sketch import Sketch, mean, merge
from schemas.models import FeatureReference
from schemas.partials import ALL
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
    for key, sketch in held.merged(window, "feature").items():
        if key.generation == generation.number:
            for metric, value in _feature(generation, key, sketch).items():
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


def by_version(sketches: dict[Key, Sketch], segment: str = ALL) -> dict[str, Sketch]:
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


def _feature(generation: Generation, key: Key, sketch: Sketch) -> dict[str, float | None]:
    kind = next((feature.kind for feature in generation.spec.features if feature.name == key.name), "string")
    rates = quality.rates(sketch)
    values: dict[str, float | None] = {"null_rate": rates.null_rate}
    if kind == "number":
        values |= {
            "outside_share": rates.outside_rate,
            "mean": mean(sketch),
            "minimum": sketch.minimum,
            "maximum": sketch.maximum,
        }
    else:
        values["unseen_share"] = rates.outside_rate
    reference, whole = generation.feature(key.segment, key.name), generation.feature(ALL, key.name)
    if reference is not None and whole is not None:
        values |= _distances(reference, whole, sketch, generation.spec.alerts.min_rows)
    if sketch.n < generation.spec.alerts.min_rows:
        return dict.fromkeys(values)
    return values


def _distances(
    reference: FeatureReference, whole: FeatureReference, sketch: Sketch, min_rows: int
) -> dict[str, float | None]:
    number = reference.kind == "number"
    positions = None
    if number and whole.low is not None and whole.high is not None:
        # A segment's own range may end inside the bins of all rows: their places are those of all rows.
        positions = bin_positions(whole.edges, whole.low, whole.high)
    found = compare(reference.counts, sketch.counts, positions=positions, sd=reference.sd, min_rows=min_rows)
    values: dict[str, float | None] = dict.fromkeys(_EVERY_KIND + (_NUMBERS if number else ()))
    if isinstance(found, Distances):
        values |= {
            "psi": found.psi,
            "jensenshannon": found.jensen_shannon,
            "chisquare": found.chi_square.statistic,
            "chisquare_p_value": found.chi_square.p_value,
        }
        values |= {"ks": found.ks, "wasserstein": found.wasserstein} if number else {}
    return values


_EVERY_KIND = ("psi", "jensenshannon", "chisquare", "chisquare_p_value")
_NUMBERS = ("ks", "wasserstein")


def scores(held: Held, generation: Generation, window: int) -> dict[Key, Sketch]:
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
