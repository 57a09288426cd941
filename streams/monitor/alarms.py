"""The condition of each stream that has paged by its evidence, and whose newest window still says so."""

from collections.abc import Mapping, Sequence
from math import exp, isfinite
from typing import NamedTuple

from msgspec.structs import replace

from detectors import watch
from schemas.lifecycle import Claim, Condition, Kind, PerformanceWindow, StreamReport
from schemas.models import FEATURE_STREAM, Watch
from streams.monitor import alarm_words, context, observing, watching, words
from streams.monitor.alarm_words import Alarm, Furthest
from streams.monitor.conditions import Findings, loss_key
from streams.monitor.generations import Generation
from streams.monitor.held import Held
from streams.monitor.labelled import band
from streams.monitor.newcomers import away, seated
from streams.monitor.observing import Observed
from streams.monitor.promises import promised, worst
from streams.monitor.state import Newcomer, State, Watched


class Weighed(NamedTuple):
    """What the evidence says at a tick.

    Attributes:
        watched: stream -> what it has shown, after the tick.
        found: conditions of the streams that have paged.
        streams: where each stands, for the report.
        claim: the worst of those that may page, the band of the labelled loss among them where it does.
        of_loss: whether the labelled loss pages by evidence; else the reference is too small for it.
        leads: version that leads; empty before one has answered.
        newcomers: who has a place in the reserve, by place.
    """

    watched: dict[str, Watched]
    found: Findings
    streams: list[StreamReport]
    claim: Claim
    of_loss: bool
    leads: str
    newcomers: list[Newcomer]


class Windows(NamedTuple):
    """The two windows that a tick looks at.

    Attributes:
        generation: of the window that closes, which starts at ``closing``.
        tested: generation of the window whose labels are mature, which watches the labelled loss.
        labelled: what was tested of the version that leads in that window; None: nothing was.
        others: the same of other versions whose answers were used.
    """

    generation: Generation
    closing: int
    tested: Generation
    labelled: PerformanceWindow | None
    others: Sequence[PerformanceWindow]


def weigh(
    held: Held,
    before: State,
    windows: Windows,
    *,
    pages: float,
    estimate_error: float | None,
    rebaselined: int = 0,
) -> Weighed:
    """Take what a tick's windows show.

    Args:
        held: partials of the model.
        before: the state of the tick before.
        windows: that the tick looks at.
        pages: false pages in 30 days that the model may have.
        estimate_error: calibration error of the scores on matured labels; None: not known.
        rebaselined: how often the model was given another reference in the month before.
    """
    generation, tested = windows.generation, windows.tested
    answers = held.served(windows.closing)
    leads = observing.leading(answers, before.leading)
    beside = answers.keys() - {leads}
    seen = observing.closing(held, generation, windows.closing, leads, sorted(beside))
    seen |= observing.matured(held, tested, windows.labelled, windows.others)
    at = windows.closing + generation.width
    newcomers = seated(
        before.newcomers,
        before.watched,
        [watched for _, watched in generation.watches],
        seen,
        beside=sorted(beside | {window.version for window in windows.others}),
        at=at,
    )
    # Another reference lets what has paged page again, and may be wrong itself: those of a month share its budget.
    promises = promised(generation, pages / (1 + rebaselined), estimate_error, newcomers, tested=tested)
    by_stream = {promise.key: promise for promise in promises}
    stepped = watching.advance(before.watched, promises, seen)
    conditions = []
    for stream in stepped.active:
        promise = by_stream[stream]
        paged = stepped.watched[stream].paged
        key = _key(promise.watch, seen[stream].version)
        if paged is not None and not _said_of_all(promise.watch, key, stepped.watched, before):
            owner = tested if promise.watch.stream == "loss" else generation
            furthest = _furthest(promise.watch, seen[stream])
            conditions.append(_condition(held, Alarm(owner, promise.watch, paged, seen[stream], furthest, pages)))
    # An incident that waited for whom nobody sees any more would stay open for ever, and swallow what pages later.
    gone = away(newcomers, at, generation.width)
    of_loss = pages == 0 or any(p.key == "loss" and isfinite(p.threshold) for p in promises)
    by_band = not of_loss and tested.spec.alerts.labelled_loss and band(tested) is not None
    return Weighed(
        watched=stepped.watched,
        found=Findings(
            tuple(sorted(conditions, key=lambda condition: condition.key)),
            frozenset(
                _key(promise.watch, stepped.watched[stream].version)
                for stream in stepped.unknown
                if ((promise := by_stream[stream]).watch.segment, promise.beside) not in gone
            ),
        ),
        streams=stepped.streams,
        claim="not enough data" if by_band else worst(promises),
        of_loss=of_loss,
        leads=leads or before.leading,
        newcomers=newcomers,
    )


def _said_of_all(watched: Watch, key: str, streams: Mapping[str, Watched], before: State) -> bool:
    """Whether the page of all rows says it of a segment, too: one fault would ring once for each segment that follows.

    A segment that was first is a condition already; and once nothing else is left of the incident, it is news.
    """
    whole = streams.get(watched.stream) if watched.segment else None
    told = before.incident is not None and any(condition.key == key for condition in before.incident.conditions)
    return whole is not None and whole.paged is not None and before.quiet == 0 and not told


def _key(watched: Watch, version: str) -> str:
    """Names the condition of a stream; that of a segment beside that of all rows."""
    stream = watched.stream
    if stream == "loss":
        key = loss_key(version)
    elif stream.startswith(FEATURE_STREAM):
        key = f"drift/{stream.removeprefix(FEATURE_STREAM)}"
    else:
        key = f"latency/usual/{version}" if stream == "latency" else f"{stream}/{version}"
    return f"{key} [{watched.segment}]" if watched.segment else key


def _condition(held: Held, alarm: Alarm) -> Condition:
    """The condition, by what the stream is of; what harms nobody until labels say so can wait for the morning."""
    stream, furthest = alarm.watch.stream, alarm.furthest
    if stream.startswith(FEATURE_STREAM):
        return _feature(held, alarm, stream.removeprefix(FEATURE_STREAM))
    limit = alarm.watch.usual + furthest.limit
    match stream:
        case "loss":
            return _loss(held, alarm, limit)
        case "estimate":
            # Error rates are watched, of which more is worse; what is stored of windows is the accuracy.
            numbers, told = ("accuracy", 1 - alarm.number, 1 - limit), alarm_words.estimated(alarm)
            return _told(alarm, "estimate", numbers, told)
        case "latency":
            numbers, told = ("p99", exp(alarm.number), exp(limit)), alarm_words.slower(alarm)
            return _told(alarm, "latency", numbers, told)
    found = _told(alarm, "score", furthest, alarm_words.answers(alarm))
    return replace(found, severity="warning")


def _furthest(calibration: Watch, seen: Observed) -> Furthest:
    values = watch.distances(calibration, seen.value, seen.window)
    found = [
        Furthest(scale.distance, float(value), scale.effect + scale.lows[0])
        for scale, value in zip(calibration.scales, values, strict=True)
    ]
    # Each in its own unit (a share of rows, standard deviations), so they compare by how many times their limits.
    return max(found, key=lambda distance: distance.value / distance.limit)


def _told(alarm: Alarm, kind: Kind, numbers: tuple[str, float, float], told: tuple[str, str]) -> Condition:
    """A condition of ``numbers`` (metric, value, limit) that is ``told`` (summary, text)."""
    metric, value, limit = numbers
    summary, text = told
    return Condition(
        key=_key(alarm.watch, alarm.seen.version),
        kind=kind,
        version=alarm.seen.version,
        segment=alarm.watch.segment,
        name="",
        metric=metric,
        value=value,
        limit=limit,
        since=alarm.paged.since,
        last=alarm.seen.window,
        text=text,
        summary=summary,
    )


def _loss(held: Held, alarm: Alarm, limit: float) -> Condition:
    generation, seen = alarm.generation, alarm.seen
    measure = words.Measure.of(generation.spec, generation.loss)
    numbers = generation.loss, alarm.number, limit
    found = _told(alarm, "labelled_loss", numbers, alarm_words.worse(alarm, measure))
    if alarm.watch.segment:
        return found
    parts = context.losses(held, generation, seen.window, version=seen.version, metric=generation.loss)
    return replace(found, where=words.where_losses(parts, measure))


def _feature(held: Held, alarm: Alarm, name: str) -> Condition:
    generation, window, segment = alarm.generation, alarm.seen.window, alarm.watch.segment
    told = alarm_words.drifted(name, context.moved_of(held, generation, window, name, segment), alarm)
    found = replace(_told(alarm, "drift", alarm.furthest, told), name=name, severity="warning")
    if segment:
        return found
    return replace(found, where=alarm_words.where_apart(context.apart(held, generation, window, name)))
