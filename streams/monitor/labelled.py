"""Labelled performance of a window of prediction time: tested once at label maturity, revised as labels land."""

from collections.abc import Iterator

from detectors.bands import Band, leave_one_out_band
from detectors.performance import summarise
from detectors.sketch import Sketch
from schemas.lifecycle import PerformanceWindow
from schemas.partials import ALL, View
from streams.monitor.close import Metric, by_version
from streams.monitor.generations import Generation
from streams.monitor.held import Held

IN_SEGMENTS = ("log_loss", "brier", "auc")
"""Metrics that are shown per segment too."""


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
    """Where the log-loss of the reference's own windows lies; None without enough of them."""
    if generation.reference is None:
        return None
    found = leave_one_out_band(generation.reference.window_losses)
    return found if isinstance(found, Band) else None


def _versions(held: Held, window: int) -> list[str]:
    return sorted({key.version for key in held.merged(window, "score", "matured")})


def _judge(held: Held, generation: Generation, window: int, version: str) -> PerformanceWindow:
    pairs = by_version(held.merged(window, "matured")).get(version)
    score = by_version(held.merged(window, "score")).get(version)
    predictions = score.n if score else 0
    n = pairs.n if pairs else 0
    coverage = _coverage(n, predictions) or 0.0
    found = summarise(pairs) if pairs else None
    log_loss = found.log_loss if found else None
    normal = band(generation)
    alerts = generation.spec.alerts
    if n < alerts.min_rows or coverage < alerts.min_coverage or log_loss is None:
        verdict = "insufficient"
    elif normal is None:
        verdict = "no reference"
    else:
        verdict = "inside" if log_loss in normal else "outside"
    return PerformanceWindow(
        version=version,
        window_start=window,
        n=n,
        predictions=predictions,
        coverage=coverage,
        log_loss=log_loss,
        brier=found.brier if found else None,
        auc=found.auc if found else None,
        low=normal.low if normal else None,
        high=normal.high if normal else None,
        verdict=verdict,  # type: ignore[arg-type]  # mypy does not narrow a string that is assigned in branches
    )


def _metrics(
    held: Held, generation: Generation, window: int, view: str, revision: int, *pairs: View
) -> Iterator[Metric]:
    found = held.merged(window, *pairs)
    predictions = {version: sketch.n for version, sketch in by_version(held.merged(window, "score")).items()}
    for segment in sorted({key.segment for key in found} | {ALL}):
        by = by_version(found, segment)
        for version in sorted(set(by) | (set(predictions) if segment == ALL else set())):
            sketch = by.get(version)
            n = sketch.n if sketch else 0
            coverage = _coverage(n, predictions.get(version, 0)) if segment == ALL else None
            for metric, value in _values(sketch, generation.spec.alerts.min_rows).items():
                if segment == ALL or metric in IN_SEGMENTS:
                    yield Metric(
                        generation.number, window, view, version, segment, "", metric, value, n, coverage, revision
                    )


def _coverage(pairs: int, predictions: int) -> float | None:
    """Pairs of late predictions are not among the counted predictions, hence the limit."""
    return min(1.0, pairs / predictions) if predictions else None


def _values(sketch: Sketch | None, min_rows: int) -> dict[str, float | None]:
    if sketch is None or sketch.n < min_rows:
        return dict.fromkeys(_COUNTS | _RATES)
    found = summarise(sketch)
    return {metric: float(getattr(found.confusion, metric)) for metric in _COUNTS} | {
        metric: getattr(found, metric) for metric in _RATES
    }


_COUNTS = dict.fromkeys(("tp", "fp", "fn", "tn"))
_RATES = dict.fromkeys(("auc", "log_loss", "brier", "ece", "base_rate", "accuracy", "precision", "recall"))
