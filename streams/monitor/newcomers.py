"""What appears at run time and may page: segments, and versions that are live beside the one that leads.

Nobody knows beforehand how many there will be, so the k-th has 1 / (k (k + 1)) of a reserve (``detectors.budget``).
*k* is its place: the first that is free when it is first observed, the largest first of those that come together. Who
was not observed for a month leaves its place to others, so that at any time what the places are worth sums to the
reserve at most, and a model that is trained anew every week does not run out of weight.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import count

from msgspec.structs import replace

from schemas.models import Watch
from schemas.partials import ALL
from streams.monitor.observing import Observed
from streams.monitor.state import Newcomer, Watched, named

GONE = 30 * 86_400_000
"""Milliseconds of event time without an observation after which a place is free."""

AWAY = 7 * 86_400_000
"""Milliseconds of event time without an observation after which somebody's latched streams hold no incident open any
more: a canary that was rolled back, a shop that closed. What is closed at night or at weekends comes again before."""

AWAY_WINDOWS = 3
"""And so many windows, where they are long."""

OF_A_VERSION = ("loss", "latency")
"""Streams of a version that is live beside another. What its scores usually are, nobody knows: a reference says it of
the version that answered when it was made."""

Who = tuple[str, str]
"""(segment, version) of a newcomer; one of them is empty."""


def seated(
    before: Iterable[Newcomer],
    watched: Mapping[str, Watched],
    watches: Iterable[Watch],
    seen: Mapping[str, Observed],
    *,
    beside: Iterable[str],
    at: int,
) -> list[Newcomer]:
    """Who has a place after a tick, by place.

    Args:
        before: who had one.
        watched: stream -> what it has shown: who is latched keeps its place.
        watches: calibrations in force; what none is of has no place.
        seen: stream -> what it shows.
        beside: versions that are live beside the one that leads.
        at: end of the window that closes.
    """
    streams: dict[str, list[str]] = {}
    for watch in watches:
        if watch.scales and not watch.variable and (watch.segment != ALL or watch.stream in OF_A_VERSION):
            streams.setdefault(watch.segment, []).append(watch.stream)
    might = {(segment, ALL) for segment in streams if segment != ALL}
    might |= {(ALL, version) for version in beside if ALL in streams}
    rows = {who: n for who in might if (n := _most(seen, who, streams[who[0]]))}
    kept = []
    for one in before:
        who = one.segment, one.version
        latched = any(_latched(watched, named(stream, *who)) for stream in streams.get(one.segment, ()))
        if one.segment in streams and (who in rows or latched or at - one.last < GONE):
            kept.append(replace(one, last=at if who in rows else one.last))
    have, taken = {(one.segment, one.version) for one in kept}, {one.place for one in kept}
    free = (place for place in count(1) if place not in taken)
    come = sorted(rows.keys() - have, key=lambda who: (-rows[who], who))
    return sorted([*kept, *(Newcomer(*who, next(free), at) for who in come)], key=lambda one: one.place)


def away(newcomers: Iterable[Newcomer], at: int, width: int) -> set[Who]:
    """Who of those with a place was not observed for so long that nobody waits for a word of it.

    Args:
        newcomers: who has a place, after the tick.
        at: end of the window that closes.
        width: of a window, in milliseconds.
    """
    longest = max(AWAY, AWAY_WINDOWS * width)
    return {(one.segment, one.version) for one in newcomers if at - one.last >= longest}


def _most(seen: Mapping[str, Observed], who: Who, streams: Collection[str]) -> int:
    """Rows of what is observed of somebody; 0: nothing is."""
    return max((seen[key].n for stream in streams if (key := named(stream, *who)) in seen), default=0)


def _latched(watched: Mapping[str, Watched], key: str) -> bool:
    return key in watched and watched[key].paged is not None
