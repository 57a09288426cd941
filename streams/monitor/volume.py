"""How many predictions a window has, by hard rule: far fewer than the reference's own windows had, or far more.

A reference may be made of a sample of rows, or of those with a label, and then does not know how many there are. So the
rule pages only after a week in which every window had as many rows as the reference's own: that is far narrower than
the limits that page, within which also twice the rows of a sample are.
"""

from typing import NamedTuple

from detectors import quality
from detectors.verdict import Insufficient
from schemas.ids import content_id
from schemas.lifecycle import Condition
from schemas.models import Reference
from schemas.partials import ALL
from streams.monitor import words
from streams.monitor.conditions import Findings, chance
from streams.monitor.generations import Generation
from streams.monitor.state import Volume

WEEK = 7 * 86_400_000
"""Milliseconds in which traffic has been through all that it does by the clock; shorter references judge nothing."""

NONE = Findings((), frozenset())


class Judged(NamedTuple):
    """What the volume of a window says: ``found``, and ``seen`` for the next tick."""

    seen: Volume | None
    found: Findings


def judge(before: Volume | None, generation: Generation, window: int, counted: int, *, pages: float) -> Judged:
    """Hold the rows of a window against those of the reference's windows.

    Args:
        before: windows in a row that were as usual; another reference begins anew.
        generation: of the window.
        window: its start.
        counted: its predictions that are not a shadow's.
        pages: false pages in 30 days that the model may have; the rule has the part of one of quality's.
    """
    reference = generation.reference
    if reference is None or reference.end - reference.start < WEEK:
        return Judged(None, NONE)
    rows = _rows(reference, generation.width)
    found = quality.check_volume(counted, rows, chance=chance(generation, pages))
    if isinstance(found, Insufficient):
        return Judged(None, NONE)
    name = content_id("volume", rows)
    usual = before.windows if before is not None and before.reference == name else 0
    if usual * generation.width < WEEK:
        return Judged(Volume(name, usual + 1 if quality.usual_volume(counted, rows) else 0), NONE)
    active = (_condition(window, counted, found, rows),) if found.violated else ()
    return Judged(before, Findings(active, frozenset()))


def _rows(reference: Reference, width: int) -> list[int]:
    """Of each whole window, in no order: the first and the last may be cut, and those without a row are not listed."""
    profiles = reference.features.get(ALL, [])
    counted = profiles[0].window_n if profiles else []  # the same for all features: nulls are rows
    empty = (reference.end - reference.start) // width - len(counted)
    return [*counted[1:-1], *[0] * max(empty, 0)]


def _condition(window: int, counted: int, found: quality.RuleResult, rows: list[int]) -> Condition:
    summary, text = words.volume(counted, least=min(rows), most=max(rows), limit=found.limit)
    return Condition(
        key="quality/volume",
        kind="quality",
        version=ALL,
        segment=ALL,
        name="",
        metric="volume",
        value=found.value,
        limit=found.limit,
        since=window,
        last=window,
        text=text,
        severity="critical" if found.value < found.limit else "warning",
        summary=summary,
    )
