"""The pictures of a check, and the words that say the same to who cannot see them."""

from math import ceil
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from app import charts
from app.check.result import Result
from app.check.show import where
from detectors.sketch import Floats, Sketch
from schemas.models import FeatureReference

SHOWN_QUANTITIES = 25
SHOWN_COLUMNS = 12
SHOWN_CATEGORIES = 10
_WIDEST = 3.0
"""Bars end at so many limits; what is further away says so."""


def furthest(found: Result) -> list[tuple[str, float, bool]]:
    """(what, effect as a share of its limit, whether it drifted), the furthest first."""
    ranked = sorted(found.compared.findings, key=lambda finding: -finding.excess)[:SHOWN_QUANTITIES]
    return [
        (f"{where(finding)} · {finding.quantity}", finding.excess, finding.verdict == "drift")
        for finding in ranked
        if finding.effect is not None
    ]


def draw_furthest(found: Result, figure: FigureBase) -> None:
    """A bar a quantity, in units of its own limit; the line at 1 is where drift begins."""
    axes = figure.add_subplot()
    bars = furthest(found)[::-1]
    places = np.arange(len(bars))
    for place, (_, excess, drifted) in zip(places, bars, strict=True):
        colour = charts.ORANGE if drifted else charts.GREY
        axes.barh(
            place,
            min(excess, _WIDEST),
            0.65,
            color=colour,
            alpha=1.0 if drifted else 0.45,
            hatch="" if drifted else "///",
            lw=0,
        )
        text = f"{excess:.1f} ×" if excess >= 1 else f"{excess:.0%}"
        axes.annotate(
            text,
            (min(excess, _WIDEST), place),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=charts.SOFT,
        )
    axes.axvline(1.0, color=charts.INK, lw=1)
    axes.set_yticks(places, [name for name, _, _ in bars])
    axes.set_xlim(0, _WIDEST + 0.8)
    axes.set_xlabel("effect, as a multiple of what it had to exceed")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def furthest_words(found: Result) -> str:
    """What the first picture shows, in sentences."""
    bars = furthest(found)
    over = [name for name, _, drifted in bars if drifted]
    return f"Bars of the {len(bars)} quantities nearest to or beyond their limits. Beyond: {', '.join(over) or 'none'}."


def columns(found: Result) -> list[str]:
    """The columns whose distributions are drawn: those that drifted first, then the nearest to their limit."""
    best: dict[str, tuple[bool, float]] = {}
    for finding in found.compared.findings:
        if not finding.segment and finding.column in found.compared.sketched:
            known = best.get(finding.column, (False, 0.0))
            best[finding.column] = max(known, (finding.verdict == "drift", finding.excess))
    return sorted(best, key=lambda name: (not best[name][0], -best[name][1], name))[:SHOWN_COLUMNS]


def draw_columns(found: Result, figure: FigureBase) -> None:
    """Each column before (outline) and now (filled), as shares of the rows with a value."""
    names = columns(found)
    rows = ceil(len(names) / 3)
    grid: Any = figure.subplots(rows, 3, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= len(names):
            axes.set_axis_off()
            continue
        profile, sketch = found.compared.sketched[names[place]]
        axes.set_title(names[place] if len(names[place]) <= 28 else names[place][:27] + "…", fontsize=9.5)
        (_numbers if profile.kind == "number" else _categories)(axes, profile, sketch)
        axes.tick_params(length=0, labelsize=7.5)
        axes.grid(axis="y", color=charts.FAINT, lw=0.6)
        axes.set_axisbelow(True)
    grid.flat[0].legend(frameon=False, fontsize=7.5)


def columns_words(found: Result) -> str:
    """What the second picture shows, in a sentence."""
    return f"Distributions in the reference and now, as shares of rows per bin: {', '.join(columns(found)) or 'none'}."


def _numbers(axes: Axes, profile: FeatureReference, sketch: Sketch) -> None:
    """Bins of the reference have about equal shares, so that what moved stands out; they are drawn equally wide."""
    was, now = _shares(profile.counts), _shares(sketch.counts)
    places = np.arange(len(was) + 1)
    axes.stairs(now, places, fill=True, color=charts.ORANGE, alpha=0.45, label="current")
    axes.stairs(was, places, color=charts.BLUE, lw=1.6, label="reference")
    edges = profile.edges
    ticks = [0, len(edges) // 2, len(edges) - 1] if len(edges) > 2 else list(range(len(edges)))
    axes.set_xticks([tick + 1 for tick in ticks], [f"{edges[tick]:.3g}" for tick in ticks])


def _categories(axes: Axes, profile: FeatureReference, sketch: Sketch) -> None:
    was, now = _shares(profile.counts), _shares(sketch.counts)
    names = [*profile.categories, "other"]
    order = np.argsort(-np.maximum(was, now), kind="stable")[:SHOWN_CATEGORIES]
    places = np.arange(len(order))
    axes.bar(places + 0.2, now[order], 0.4, color=charts.ORANGE, alpha=0.6, label="current")
    axes.bar(places - 0.2, was[order], 0.4, facecolor="none", edgecolor=charts.BLUE, lw=1.4, label="reference")
    axes.set_xticks(places, [names[place][:12] for place in order], rotation=30 if len(order) > 3 else 0)


def _shares(counts: Any) -> Floats:
    found = np.array(counts, np.float64)
    shares: Floats = found / max(found.sum(), 1.0)
    return shares
