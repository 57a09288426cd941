"""Labelled performance of a window of prediction time: tested once at label maturity, revised as labels land."""

from collections.abc import Iterator

from detectors import tasks
from detectors.bands import Band, leave_one_out_band
from detectors.sketch import Sketch
from schemas.lifecycle import PerformanceWindow
from schemas.partials import ALL, View
from schemas.tasks import IN_SEGMENTS, METRICS, REPORTED
from streams.monitor.close import Metric, answers, by_version
from streams.monitor.generations import Generation
from streams.monitor.held import Held


def tested(held: Held, generation: Generation, window: int) -> tuple[list[PerformanceWindow], list[Metric]]:
    """The one test of a window: what its matured pairs say of every version that answered in it."""
    return (
        [_judge(held, generation, window, version) for version in _versions(held, window)],
        list(_metrics(held, generation, window, "tested", 0, "matured")),
    )


def revised(held: Held, generation: Generation, window: int) -> Iterator[Metric]:
    """Performance with every pair that has landed so far; the larger revision wins."""
    revision = held.revision(window, "matured", "overdue")
    return _metrics(held, generation, window, "performance", revision, "matured", "overdue")


def band(generation: Generation) -> Band | None:
    """Where the labelled loss of the reference's own windows lies; None without enough of them."""
    if generation.reference is None:
        return None
    found = leave_one_out_band(generation.reference.window_losses)
    return found if isinstance(found, Band) else None


def _versions(held: Held, window: int) -> list[str]:
    return sorted({key.version for key in held.merged(window, "score", "matured")})


def _judge(held: Held, generation: Generation, window: int, version: str) -> PerformanceWindow:
    pairs = by_version(held.merged(window, "matured")).get(version)
    predictions = answers(held, window).get(version, 0)
    n = pairs.n if pairs else 0
    coverage = _coverage(n, predictions) or 0.0
    spec = generation.spec
    metrics = tasks.metrics(spec, pairs) if pairs else dict.fromkeys(METRICS[spec.task])
    metric = generation.loss
    loss, normal = metrics[metric], band(generation)
    if n < spec.alerts.min_rows or coverage < spec.alerts.min_coverage or loss is None:
        verdict = "insufficient"
    elif normal is None:
        verdict = "no reference"
    else:
        verdict = "inside" if loss in normal else "outside"
    return PerformanceWindow(
        version=version,
        window_start=window,
        n=n,
        predictions=predictions,
        coverage=coverage,
        metric=metric,
        loss=loss,
        metrics={name: metrics[name] for name in REPORTED[spec.task]},
        low=normal.low if normal else None,
        high=normal.high if normal else None,
        verdict=verdict,  # type: ignore[arg-type]  # mypy does not narrow a string that is assigned in branches
    )


def _metrics(
    held: Held, generation: Generation, window: int, view: str, revision: int, *pairs: View
) -> Iterator[Metric]:
    found = held.merged(window, *pairs)
    predictions = answers(held, window)
    for segment in sorted({key.segment for key in found} | {ALL}):
        by = by_version(found, segment)
        for version in sorted(set(by) | (set(predictions) if segment == ALL else set())):
            sketch = by.get(version)
            n = sketch.n if sketch else 0
            coverage = _coverage(n, predictions.get(version, 0)) if segment == ALL else None
            for metric, value in _values(sketch, generation).items():
                if segment == ALL or metric in IN_SEGMENTS[generation.spec.task]:
                    yield Metric(
                        generation.number, window, view, version, segment, "", metric, value, n, coverage, revision
                    )


def _coverage(pairs: int, predictions: int) -> float | None:
    """Pairs of late predictions are not among the counted predictions, hence the limit."""
    return min(1.0, pairs / predictions) if predictions else None


def _values(sketch: Sketch | None, generation: Generation) -> dict[str, float | None]:
    spec = generation.spec
    if sketch is None or sketch.n < spec.alerts.min_rows:
        return dict.fromkeys(METRICS[spec.task])
    return tasks.metrics(spec, sketch)
