"""What a window gives each watched quantity: one number, or rows per bin; nothing when it has too few rows."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from detectors import held_out, quality, tasks
from detectors.sketch import Sketch
from detectors.watch import expected_error, log_p99
from schemas.lifecycle import PerformanceWindow
from schemas.models import FEATURE_STREAM, Watch
from schemas.partials import ALL
from streams.monitor.close import by_version, scores
from streams.monitor.generations import Generation
from streams.monitor.held import Held
from streams.monitor.state import named

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


def leading(answers: Mapping[str, int], before: str) -> str | None:
    """The version whose streams are the model's; None when none has answered.

    The one that gave most of the answers (the first by name of equals), or ``before``, who led, for as long as it gives
    a quarter of them: a canary that takes half of the traffic does not make what the champion has shown undone.

    Args:
        answers: version -> answers in a window that were used.
        before: version that led in the window before; empty: none did.
    """
    if answers.get(before, 0) > 0 and answers[before] >= LEAST_SHARE * sum(answers.values()):
        return before
    return min(answers, key=lambda version: (-answers[version], version), default=None)


def closing(
    held: Held, generation: Generation, window: int, leads: str | None, beside: Collection[str] = ()
) -> dict[str, Observed]:
    """What the window that closes says without labels: stream (``streams.monitor.state.named``) -> observation.

    Args:
        held: partials of the model.
        generation: of the window.
        window: its start.
        leads: version that leads in it, None when unknown.
        beside: other versions whose answers were used.
    """
    watches = {(watched.stream, watched.segment): watched for _, watched in generation.watches}
    found = {}
    for key, sketch in held.merged(window, "feature").items():
        watched = watches.get((FEATURE_STREAM + key.name, key.segment))
        if watched is not None and key.generation == generation.number:
            seen = Observed(window, "", sketch.counts, sketch.n - sketch.nulls)
            if _tells(watched, generation, seen):
                found[named(watched.stream, watched.segment)] = seen
    for stream, seen in _answers(held, generation, window, leads) if leads is not None else ():
        watched = watches.get((stream, ALL))
        if watched is not None and _tells(watched, generation, seen):
            found[stream] = seen
    slow = watches.get(("latency", ALL))
    for version in beside if slow is not None else ():
        seen_of = _latency(held, window, version)
        if slow is not None and seen_of is not None and _tells(slow, generation, seen_of):
            found[named("latency", version=version)] = seen_of
    return found


def matured(
    held: Held, generation: Generation, window: PerformanceWindow | None, beside: Iterable[PerformanceWindow] = ()
) -> dict[str, Observed]:
    """What the window whose labels are mature says: the labelled losses.

    Args:
        held: partials of the model.
        generation: of the window.
        window: what was tested of the version that leads in it, also in its segments; None: nothing was.
        beside: of other versions whose answers were used.
    """
    watches = {watched.segment: watched for _, watched in generation.watches if watched.stream == "loss"}
    found = {}
    for one in (window, *beside):
        if one is None or one.loss is None or one.verdict == "insufficient" or ALL not in watches:
            continue
        seen = Observed(one.window_start, one.version, one.loss, one.n)
        if _tells(watches[ALL], generation, seen):
            found[named("loss", version="" if one is window else one.version)] = seen
    if window is None or window.verdict == "insufficient":
        return found
    for segment in sorted(watches.keys() - {ALL}):
        pairs = by_version(held.merged(window.window_start, "matured"), segment).get(window.version)
        loss = tasks.metrics(generation.spec, pairs)[generation.loss] if pairs is not None else None
        if pairs is not None and loss is not None and _as_quick(generation, watches, segment, pairs.n, window.n):
            seen = Observed(window.window_start, window.version, loss, pairs.n)
            if _tells(watches[segment], generation, seen):
                found[named("loss", segment)] = seen
    return found


def _as_quick(generation: Generation, watches: Mapping[str, Watch], segment: str, n: int, of_all: int) -> bool:
    """Whether the labels of a segment have come as those of all rows have.

    Stage 1 counts no rows by segment for as long as labels take to be mature, so it is held against the segment's usual
    share of the labelled rows. Below ``alerts.min_coverage`` of that, what has come would be judged by its quick part.
    """
    usual = watches[segment].rows / watches[ALL].rows if ALL in watches and watches[ALL].rows else 0.0
    return n >= generation.spec.alerts.min_coverage * usual * of_all


def _answers(held: Held, generation: Generation, window: int, version: str) -> Iterator[tuple[str, Observed]]:
    def of(sketches: dict[str, Sketch]) -> Sketch | None:
        return sketches.get(version)

    classes = len(generation.spec.classes)
    calibrated = generation.reference.calibrated if generation.reference else None
    if (score := of(by_version(scores(held, generation, window)))) is not None:
        n = score.n - score.nulls
        yield "score", Observed(window, version, score.counts, n)
        if calibrated is not None:
            expected = expected_error(calibrated, score.counts)
            if expected is not None:
                yield "estimate", Observed(window, version, expected, n)
    if (predicted := of(by_version(held.merged(window, "prediction")))) is not None:
        yield "prediction", Observed(window, version, predicted.counts[:classes], predicted.n)
    if (took := _latency(held, window, version)) is not None:
        yield "latency", took


def _latency(held: Held, window: int, version: str) -> Observed | None:
    took = by_version(held.merged(window, "latency")).get(version)
    slowest = log_p99(took) if took is not None else None
    return None if took is None or slowest is None else Observed(window, version, slowest, took.n - took.nulls)


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
