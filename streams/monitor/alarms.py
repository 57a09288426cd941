"""The condition of each stream that has paged by its evidence, and whose newest window still says so."""

from collections.abc import Mapping
from math import exp, isfinite
from typing import NamedTuple

from msgspec.structs import replace

from detectors import watch
from schemas.lifecycle import Claim, Condition, Kind, StreamReport
from schemas.models import FEATURE_STREAM, Watch
from schemas.partials import ALL
from streams.monitor import alarm_words, context, watching, words
from streams.monitor.alarm_words import Alarm, Furthest
from streams.monitor.conditions import Findings, loss_key
from streams.monitor.generations import Generation
from streams.monitor.held import Held
from streams.monitor.labelled import band
from streams.monitor.observing import Observed
from streams.monitor.promises import promised, worst
from streams.monitor.state import Watched


class Weighed(NamedTuple):
    """What the evidence says at a tick.

    Attributes:
        watched: stream -> what it has shown, after the tick.
        found: conditions of the streams that have paged.
        streams: where each stands, for the report.
        claim: the worst of those that may page, the band of the labelled loss among them where it does.
        of_loss: whether the labelled loss pages by evidence; else the reference is too small for it.
    """

    watched: dict[str, Watched]
    found: Findings
    streams: list[StreamReport]
    claim: Claim
    of_loss: bool


def weigh(
    held: Held,
    before: Mapping[str, Watched],
    seen: Mapping[str, Observed],
    *,
    generation: Generation,
    tested: Generation,
    pages: float,
    estimate_error: float | None,
) -> Weighed:
    """Take what a tick's windows show.

    Args:
        held: partials of the model.
        before: stream -> what it had shown.
        seen: stream -> what it shows.
        generation: of the window that closes.
        tested: of the window whose labels are mature, which watches the labelled loss.
        pages: false pages in 30 days that the model may have.
        estimate_error: calibration error of the scores on matured labels; None: not known.
    """
    by_stream = {promise.watch.stream: (generation, promise) for promise in promised(generation, pages, estimate_error)}
    by_stream.pop("loss", None)
    by_stream |= {
        p.watch.stream: (tested, p) for p in promised(tested, pages, estimate_error) if p.watch.stream == "loss"
    }
    promises = [promise for _, promise in by_stream.values()]
    stepped = watching.advance(before, promises, seen)
    conditions = []
    for stream in stepped.active:
        owner, promise = by_stream[stream]
        paged = stepped.watched[stream].paged
        if paged is not None:
            furthest = _furthest(promise.watch, seen[stream])
            conditions.append(_condition(held, Alarm(owner, promise.watch, paged, seen[stream], furthest, pages)))
    of_loss = pages == 0 or any(p.watch.stream == "loss" and isfinite(p.threshold) for p in promises)
    by_band = not of_loss and tested.spec.alerts.labelled_loss and band(tested) is not None
    return Weighed(
        watched=stepped.watched,
        found=Findings(
            tuple(sorted(conditions, key=lambda condition: condition.key)),
            frozenset(_key(stream, stepped.watched[stream].version) for stream in stepped.unknown),
        ),
        streams=stepped.streams,
        claim="not enough data" if by_band else worst(promises),
        of_loss=of_loss,
    )


def _key(stream: str, version: str) -> str:
    if stream == "loss":
        return loss_key(version)
    if stream.startswith(FEATURE_STREAM):
        return f"drift/{stream.removeprefix(FEATURE_STREAM)}"
    return f"latency/usual/{version}" if stream == "latency" else f"{stream}/{version}"


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
            return _of_version(alarm, "estimate", numbers, told)
        case "latency":
            numbers, told = ("p99", exp(alarm.number), exp(limit)), alarm_words.slower(alarm)
            return _of_version(alarm, "latency", numbers, told)
    found = _of_version(alarm, "score", furthest, alarm_words.answers(alarm))
    return replace(found, severity="warning")


def _furthest(calibration: Watch, seen: Observed) -> Furthest:
    values = watch.distances(calibration, seen.value, seen.window)
    found = [
        Furthest(scale.distance, float(value), scale.effect + scale.lows[0])
        for scale, value in zip(calibration.scales, values, strict=True)
    ]
    return max(found, key=lambda distance: distance.value - distance.limit)


def _of_version(alarm: Alarm, kind: Kind, numbers: tuple[str, float, float], told: tuple[str, str]) -> Condition:
    """A condition of ``numbers`` (metric, value, limit) that is ``told`` (summary, text)."""
    metric, value, limit = numbers
    summary, text = told
    return Condition(
        key=_key(alarm.watch.stream, alarm.seen.version),
        kind=kind,
        version=alarm.seen.version,
        segment=ALL,
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
    parts = context.losses(held, generation, seen.window, version=seen.version, metric=generation.loss)
    numbers = generation.loss, alarm.number, limit
    found = _of_version(alarm, "labelled_loss", numbers, alarm_words.worse(alarm, measure))
    return replace(found, where=words.where_losses(parts, measure))


def _feature(held: Held, alarm: Alarm, name: str) -> Condition:
    generation, window = alarm.generation, alarm.seen.window
    told = alarm_words.drifted(name, context.moved_of(held, generation, window, name), alarm)
    found = _of_version(alarm, "drift", alarm.furthest, told)
    where = alarm_words.where_apart(context.apart(held, generation, window, name))
    return replace(found, name=name, severity="warning", where=where)
