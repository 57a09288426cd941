"""Evidence that accumulates window by window, per stream: what pages, and what is silent since it has paged.

A page *latches* its stream: it stays a condition of the open incident for as long as its windows go on saying so, and
does not page again until that incident is resolved, or its calibration is another (a new reference). While it is
latched its evidence rests, so that it costs the budget nothing.
"""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import NamedTuple

from msgspec.structs import replace

from detectors import evidence, watch
from detectors.evidence import Evidence
from detectors.sketch import Floats
from schemas.lifecycle import StreamReport
from streams.monitor.observing import Observed
from streams.monitor.promises import Promise
from streams.monitor.state import Paged, Watched

OF_ITS_VERSION = frozenset({"estimate", "score", "prediction"})
"""Streams whose reference is what one version answered; another version answers otherwise, and nothing is wrong."""

MOST_CHANGES = 60
"""Differences from usual that are remembered of a run, for the words of a page."""


class Stepped(NamedTuple):
    """What a tick's windows say.

    Attributes:
        watched: stream (``streams.monitor.state.named``) -> what it has shown so far.
        active: streams that are latched, and whose window still says so.
        unknown: streams that are latched, and whose window says nothing.
        streams: where each stands, for the report.
    """

    watched: dict[str, Watched]
    active: tuple[str, ...]
    unknown: tuple[str, ...]
    streams: list[StreamReport]


def advance(before: Mapping[str, Watched], promises: Iterable[Promise], seen: Mapping[str, Observed]) -> Stepped:
    """Take one window of each stream, at most; a window without enough rows is no observation.

    Args:
        before: what the streams have shown; those that are no longer promised are forgotten.
        promises: the streams, with what each may spend.
        seen: stream -> its observation.
    """
    watched: dict[str, Watched] = {}
    active, unknown, streams = [], [], []
    named = [(promise.key, promise) for promise in promises]
    factors = _factors(named, seen)
    for stream, promise in named:
        if not isfinite(promise.threshold):
            streams.append(_report(None, promise, promise.reason))
            continue
        observed, entry, rests = seen.get(stream), before.get(stream), ""
        if entry is None or entry.watch != promise.calibration:
            entry = _fresh(promise, observed.version if observed else "")
        if observed is not None and observed.version != entry.version:
            if promise.watch.stream in OF_ITS_VERSION and entry.version:
                entry = _fresh(promise, entry.version)
                rests = f"rests: version {observed.version} serves, and what is usual is of version {entry.version}"
                observed = None
            else:
                entry = _fresh(promise, observed.version)
        if observed is not None and entry.paged is None:
            entry = _step(entry, promise, observed, factors[stream])
            active += [stream] if entry.paged is not None else []
        elif observed is not None:
            # Its window speaks for a change if any component's evidence would grow.
            active += [stream] if factors[stream].max() > 1 else []
        elif entry.paged is not None:
            unknown.append(stream)
        watched[stream] = entry
        streams.append(_report(entry, promise, rests))
    return Stepped(watched, tuple(active), tuple(unknown), streams)


def released(watched: Mapping[str, Watched]) -> dict[str, Watched]:
    """After an incident was resolved: what paged in it may page again, and begins anew."""
    return {stream: entry if entry.paged is None else replace(entry, paged=None) for stream, entry in watched.items()}


def _fresh(promise: Promise, version: str) -> Watched:
    components = watch.components(promise.watch)
    return Watched(promise.calibration, version, evidence.start(components).to_dict(), [0] * components)


def _factors(named: Iterable[tuple[str, Promise]], seen: Mapping[str, Observed]) -> dict[str, Floats]:
    """Evidence of the windows of all streams that may page."""
    observed = {
        key: (promise.watch, seen[key]) for key, promise in named if key in seen and isfinite(promise.threshold)
    }
    found = watch.factors([watch.Seen(of, one.value, one.window) for of, one in observed.values()])
    return dict(zip(observed, found, strict=True))


def _step(entry: Watched, promise: Promise, observed: Observed, factors: Floats) -> Watched:
    before = Evidence.from_dict(entry.evidence)
    step = evidence.step(before, factors, promise.threshold)
    changes = []
    if not isinstance(observed.value, tuple):
        changes = [*entry.changes, observed.value - promise.watch.usual]
    if step.alarm:
        # All components of one length began with one window.
        since = entry.begun[before.lengths.index(step.since - 1)] if step.since > 1 else observed.window
        paged = Paged(observed.window, since, step.reached, promise.threshold, changes[-max(step.since, 1) :])
        return replace(_fresh(promise, entry.version), evidence=step.evidence.to_dict(), paged=paged)
    after = step.evidence
    begun = [
        0 if length == 0 else observed.window if length == 1 else start
        for length, start in zip(after.lengths, entry.begun, strict=True)
    ]
    kept = min(max(after.lengths), MOST_CHANGES)
    return replace(entry, evidence=after.to_dict(), begun=begun, changes=changes[-kept:] if kept else [])


def _report(entry: Watched | None, promise: Promise, rests: str) -> StreamReport:
    """Where a stream stands; None: it never pages."""
    paged = entry.paged if entry else None
    kept = promise.claim == "within budget on held-out reference"
    reached = paged.evidence if paged else evidence.reached(entry.evidence) if entry else 0.0
    return StreamReport(
        stream=promise.watch.stream,
        version=entry.version if entry else promise.beside,
        evidence=reached,
        threshold=promise.threshold if entry else None,
        claim=promise.claim,
        reason=rests or ("" if kept else promise.reason),
        latched=paged is not None,
        segment=promise.watch.segment,
        beside=bool(promise.beside),
    )
