"""Plain words for a page by evidence: which quantity, how far from usual in its unit, and how much speaks for it."""

from math import exp
from typing import NamedTuple

import numpy as np

from detectors.sequences import confidence_sequence
from schemas.models import Watch
from streams.monitor.context import Moved, Parts
from streams.monitor.generations import Generation
from streams.monitor.observing import Observed
from streams.monitor.state import Paged
from streams.monitor.watching import MOST_CHANGES
from streams.monitor.words import Measure, count, took, when, where

CHOSEN = "descriptive: these windows were chosen by what they showed"


class Furthest(NamedTuple):
    """The distance of a window that is furthest beyond what is usual.

    Attributes:
        name: as in ``schemas.models.Scale``.
        value: the distance, in its unit.
        limit: up to which the reference's own windows and the minimum effect explain it.
    """

    name: str
    value: float
    limit: float


class Alarm(NamedTuple):
    """What the condition of a page is told from.

    Attributes:
        generation: whose reference watches.
        watch: the calibration of the stream.
        paged: the page.
        seen: its newest observation.
        furthest: what of that is furthest from usual.
        pages: false pages in 30 days that the model may have.
    """

    generation: Generation
    watch: Watch
    paged: Paged
    seen: Observed
    furthest: Furthest
    pages: float

    @property
    def number(self) -> float:
        """The newest value of a quantity that is one number.

        Raises:
            TypeError: it is a distribution.
        """
        if isinstance(self.seen.value, tuple):
            raise TypeError(f"{self.watch.stream} is a distribution, and no number")
        return self.seen.value


def worse(alarm: Alarm, measure: Measure) -> tuple[str, str]:
    """(summary, text) of a labelled loss that rose."""
    version, value, usual = alarm.seen.version, alarm.number, alarm.watch.usual
    where = _where(alarm)
    return (
        f"version {version} predicts worse than usual{where}: {measure.plain(value, usual)}",
        f"{measure.name} of version {version}{where} (lower is better) rose from {measure(usual)} (mean of the "
        f"reference) to {measure(value)} in the newest tested window of {alarm.seen.n:,} labelled rows"
        f"{_since(alarm, measure)}; {_evidence(alarm)}",
    )


def estimated(alarm: Alarm) -> tuple[str, str]:
    """(summary, text) of scores that let one expect fewer right answers."""
    version, value, usual = alarm.seen.version, alarm.number, alarm.watch.usual
    return (
        f"version {version} is expected to be wrong in {value:.1%} of its answers (usually {usual:.1%})",
        f"by its scores alone version {version} is expected to be wrong in {value:.2%} of {alarm.seen.n:,} answers, in "
        f"the reference in {usual:.2%} ({CHOSEN}); an estimate without labels, blind to what a score means "
        f"now; {_evidence(alarm)}",
    )


def slower(alarm: Alarm) -> tuple[str, str]:
    """(summary, text) of answers that take longer than they did in the reference."""
    version, value, usual = alarm.seen.version, took(exp(alarm.number)), took(exp(alarm.watch.usual))
    return (
        f"version {version} answers more slowly than usual: 1 answer in 100 takes over {value} (usually {usual})",
        f"1 answer in 100 of version {version} took longer than {value} (99th percentile of {alarm.seen.n:,} rows), in "
        f"the reference than {usual} ({CHOSEN}); {_evidence(alarm)}",
    )


def answers(alarm: Alarm) -> tuple[str, str]:
    """(summary, text) of predictions that are distributed otherwise than the reference's."""
    what = "scores" if alarm.watch.stream == "score" else "predicted classes"
    version = alarm.seen.version
    return (
        f"the {what} of version {version} are distributed unlike the reference",
        f"the {what} of version {version} in {alarm.seen.n:,} rows: {_distance(alarm.furthest)}; {_evidence(alarm)}",
    )


def drifted(name: str, moved: Moved | None, alarm: Alarm) -> tuple[str, str]:
    """(summary, text) of a feature that is distributed otherwise than in the reference."""
    what = f"{name}{_where(alarm)}"
    how = f"{what}: {moved_by(moved)}" if moved else f"{what} is distributed unlike the reference"
    return how, f"{how}; in {alarm.seen.n:,} rows with a value {_distance(alarm.furthest)}; {_evidence(alarm)}"


def moved_by(feature: Moved) -> str:
    """How a feature moved, in its unit."""
    if feature.category is None:
        by = "" if feature.deviations is None else f", {feature.deviations:+.1f} standard deviations"
        return f"on average {feature.now:.4g}, usually {feature.before:.4g}{by}"
    value = f'"{feature.category}"' if feature.category else "a value that was never seen before"
    return f"{value} in {feature.now:.1%} of rows, usually {feature.before:.1%}"


def where_apart(parts: Parts) -> str:
    """The segments in which a feature is furthest from its reference there; empty when there are none."""
    worst = [f"{part.segment} (Jensen-Shannon distance {part.value:.2f}, {part.n:,} rows)" for part in parts.worst]
    return where(parts, worst, "")


def _where(alarm: Alarm) -> str:
    """Of which rows it is, where not of all."""
    return f" in {alarm.watch.segment}" if alarm.watch.segment else ""


def _since(alarm: Alarm, measure: Measure) -> str:
    """The mean of the windows that led to the page, with a confidence sequence where the reference has a spread."""
    reference = alarm.generation.reference
    # A reference keeps no windows of segments, whose spread is another than that of all rows.
    losses = reference.window_losses if reference is not None and not alarm.watch.segment else []
    spread = float(np.std(losses, ddof=1)) if len(losses) > 1 else 0.0
    changes, usual = alarm.paged.changes, alarm.watch.usual
    if not changes or not spread > 0:
        return f" ({CHOSEN})"
    found = confidence_sequence(changes, spread, descriptive=True)
    low, mean, high = (measure(max(0.0, usual + change)) for change in (found.low, found.mean, found.high))
    which = f"{count(found.n, 'window')} from {when(alarm.paged.since)}"
    if found.n > MOST_CHANGES:  # older ones are forgotten
        which = f"last {found.n} windows"
    return (
        f"; {mean} on average over the {which} that led to the page (95% confidence sequence {low} to {high}, {CHOSEN})"
    )


def _distance(furthest: Furthest) -> str:
    return (
        f"the {_DISTANCES[furthest.name]} from the reference is {furthest.value:.3f}; its own windows and the minimum "
        f"effect explain up to {furthest.limit:.3f} ({CHOSEN})"
    )


def _evidence(alarm: Alarm) -> str:
    paged = alarm.paged
    return (
        f"evidence {paged.evidence:,.0f} reached the {paged.threshold:,.0f} at which it pages (by a budget of "
        f"{alarm.pages:.3g} a month for false pages of this model)"
    )


_DISTANCES = {
    "ks": "Kolmogorov-Smirnov distance",
    "wasserstein": "Wasserstein distance in standard deviations",
    "total_variation": "total variation distance",
    "largest_share": "largest change of a share",
}
