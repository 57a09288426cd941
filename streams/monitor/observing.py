"""What a window gives each watched quantity: one number, or rows per bin; nothing when it has too few rows."""

from collections.abc import Iterator
from typing import NamedTuple

from detectors import held_out, quality
from detectors.sketch import Sketch
from detectors.watch import expected_error, log_p99
from schemas.lifecycle import PerformanceWindow
from schemas.models import FEATURE_STREAM, Watch
from schemas.partials import ALL
from streams.monitor.close import by_version, scores
from streams.monitor.generations import Generation
from streams.monitor.held import Held

LEAST_SHARE = 0.25
"""Of the rows of a reference window: sampling noise is then twice what the calibration knows; less is not judged."""


class Observed(NamedTuple):
    """One window's observation of one quantity.

    Attributes:
        window: start of the window.
        version: whose it is; empty of a feature.
        value: in the form that ``detectors.watch`` takes: a change's number, else rows with a value per bin.
        n: rows that it is of.
    """

    window: int
    version: str
    value: float | tuple[int, ...]
    n: int


def closing(held: Held, generation: Generation, window: int, serving: str | None) -> dict[str, Observed]:
    """What the window that closes says without labels: stream -> observation.

    Args:
        held: partials of the model.
        generation: of the window.
        window: its start.
        serving: version that gave most of its answers, None when unknown.
    """
    found = dict(_features(held, generation, window))
    if serving is not None:
        found |= _answers(held, generation, window, serving)
    watches = {watched.stream: watched for _, watched in generation.watches}
    return {
        stream: seen
        for stream, seen in found.items()
        if stream in watches and _tells(watches[stream], generation, seen)
    }


def matured(generation: Generation, window: PerformanceWindow | None) -> dict[str, Observed]:
    """What the window whose labels are mature says: the labelled loss of the version that served it."""
    if window is None or window.loss is None or window.verdict == "insufficient":
        return {}
    seen = Observed(window.window_start, window.version, window.loss, window.n)
    told = any(watched.stream == "loss" and _tells(watched, generation, seen) for _, watched in generation.watches)
    return {"loss": seen} if told else {}


def _features(held: Held, generation: Generation, window: int) -> Iterator[tuple[str, Observed]]:
    for key, sketch in held.merged(window, "feature").items():
        if key.segment == ALL and key.generation == generation.number:
            yield FEATURE_STREAM + key.name, Observed(window, "", sketch.counts, sketch.n - sketch.nulls)


def _answers(held: Held, generation: Generation, window: int, serving: str) -> Iterator[tuple[str, Observed]]:
    def of(sketches: dict[str, Sketch]) -> Sketch | None:
        return sketches.get(serving)

    classes = len(generation.spec.classes)
    calibrated = generation.reference.calibrated if generation.reference else None
    if (score := of(by_version(scores(held, generation, window)))) is not None:
        n = score.n - score.nulls
        yield "score", Observed(window, serving, score.counts, n)
        if calibrated is not None:
            expected = expected_error(calibrated, score.counts)
            if expected is not None:
                yield "estimate", Observed(window, serving, expected, n)
    if (predicted := of(by_version(held.merged(window, "prediction")))) is not None:
        yield "prediction", Observed(window, serving, predicted.counts[:classes], predicted.n)
    if (took := of(by_version(held.merged(window, "latency")))) is not None:
        slowest = log_p99(took)
        if slowest is not None:
            yield "latency", Observed(window, serving, slowest, took.n - took.nulls)


def _tells(watch: Watch, generation: Generation, seen: Observed) -> bool:
    """Whether a window has rows enough, independent ones too, and not so few that its noise is another than usual."""
    least = max(generation.spec.alerts.min_rows, LEAST_SHARE * watch.rows)
    # The loss is calibrated on windows of ``alerts.min_rows`` labels, all else on windows of so many rows.
    if seen.n < (least if watch.stream == "loss" else max(least, quality.MIN_ROWS)):
        return False
    if isinstance(seen.value, tuple):
        bins = len(watch.slots.shares[0]) if watch.slots else len(watch.shares)
        if len(seen.value) != bins or not any(seen.value):
            return False
    # What is one number per window is calibrated on such numbers, however few independent rows make them.
    return watch.kind == "change" or seen.n * watch.effective_rows >= held_out.MIN_EFFECTIVE * watch.rows
