"""The pictures of the report, drawn by matplotlib from a :class:`app.demo.story.Story`.

Each title says the finding, computed from the data; labels stand beside what they name; units are on the axes.
Colours are Okabe and Ito's, which colour-blind people tell apart, and nothing is told by colour alone.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from app.charts import FAINT, INK, SOFT
from app.demo.story import Drift, Mark, Span, Story
from app.demo.summary import ARMS

COLOUR = {"frozen": "#6e7781", "always_promote": "#d55e00", "loop": "#0072b2"}
NAME = {"frozen": "frozen version 1", "always_promote": "monthly, always promoted", "loop": "driftline"}
# sign -> (marker, colour, what it says)
SIGNS = {
    "schedule": ("o", "#56b4e9", "scheduled"),
    "performance": ("D", "#d55e00", "loss outside its band"),
    "bootstrap": ("P", "#6e7781", "first training"),
    "ready": ("s", "#0072b2", "ready"),
    "error": ("X", "#000000", "error"),
    "pass": ("^", "#009e73", "pass"),
    "fail": ("v", "#d55e00", "fail"),
    "inconclusive": ("d", "#e69f00", "inconclusive"),
    "promotion": (">", "#0072b2", "promoted"),
    "rollback": ("<", "#d55e00", "rolled back"),
}
FEW_WEEKS = 10
"""A run of at most so many weeks has its axes labelled by week."""

LANES = {
    "serves": "serving version",
    "shadows": "candidate in shadow",
    "guards": "former version on guard",
    "incident": "incident open",
    "request": "retraining asked",
    "candidate": "candidate built",
    "verdict": "verdict",
    "rollout": "champion changed",
}


def quality_title(story: Story) -> str:
    """What the lines say, counted in months."""
    pairs = [(m.auc["loop"], m.auc["frozen"]) for m in story.months]
    both = [(loop, frozen) for loop, frozen in pairs if loop is not None and frozen is not None]
    if not both:
        return "No month has labelled flights of both kinds yet"
    if not story.summary["promoted"]:
        return "Version 1 served throughout: driftline and the frozen model are one and the same"
    ahead = sum(loop > frozen for loop, frozen in both)
    return f"driftline ranks delays better than the frozen model in {ahead} of {len(both)} months"


def draw_quality(story: Story, figure: FigureBase, *, stacked: bool = False) -> None:
    """AUC and log-loss by month of the three arms on the same flights, labelled at the line's end."""
    rows, columns = (2, 1) if stacked else (1, 2)
    auc, loss = figure.add_subplot(rows, columns, 1), figure.add_subplot(rows, columns, 2)
    starts = [month.start for month in story.months]
    for axes, metric, unit in ((auc, "auc", "AUC · higher is better"), (loss, "logloss", "log-loss · lower is better")):
        ends: list[tuple[float, str]] = []
        for arm in ARMS:
            values = [np.nan if v is None else v for v in (getattr(month, metric)[arm] for month in story.months)]
            width = 2.6 if arm == "loop" else 1.6
            axes.plot(
                range(len(starts)),
                values,
                "-o",
                color=COLOUR[arm],
                lw=width,
                ms=width * 1.7,
                zorder=3 + (arm == "loop"),
            )
            if values and np.isfinite(values[-1]):
                ends.append((values[-1], arm))
        _no_magnifying(axes)
        _label_ends(axes, len(starts) - 1, ends, story, metric)
        axes.set_xticks(range(len(starts)), [start.strftime("%b") for start in starts])
        axes.set_xlim(-0.3, max(len(starts) - 1, 1) + 0.2)
        axes.set_ylabel(unit)
        axes.grid(axis="y", color=FAINT, lw=0.7)
        axes.tick_params(length=0)


def _no_magnifying(axes: Axes, span: float = 0.04) -> None:
    """Keep the axis from showing a difference of nothing as if it were large."""
    low, high = axes.get_ylim()
    if high - low < span:
        axes.set_ylim((low + high - span) / 2, (low + high + span) / 2)
    axes.yaxis.set_major_formatter("{x:.3f}")


def _label_ends(axes: Axes, x: float, ends: list[tuple[float, str]], story: Story, metric: str) -> None:
    """Name each line at its end, pushed apart so that names never overlap; with the value over all months."""
    low, high = axes.get_ylim()
    gap = (high - low) * 0.16
    ends.sort()
    places = [value for value, _ in ends]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    overshoot = places[-1] - high if places else 0.0
    places = [place - max(overshoot, 0.0) for place in places]
    for (value, arm), place in zip(ends, places, strict=True):
        total = story.summary.get(f"{metric}_{arm}")
        text = NAME[arm] + ("" if total is None else f"\n{total:.3f} over all months")
        axes.annotate(
            text, (x, value), (x + 0.35, place), color=COLOUR[arm], va="center", fontsize=8.5,
            fontweight="bold" if arm == "loop" else "normal", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": COLOUR[arm], "lw": 0.6, "shrinkA": 0, "shrinkB": 4},
        )  # fmt: skip


def drift_title(drift: Drift) -> str:
    """Which feature went furthest, and when."""
    if not drift.features:
        return "No drift was measured"
    peak = int(np.nanargmax(drift.values[0]))
    return f"{drift.features[0]} drifts furthest from the reference, most in the week of {_day(drift.weeks[peak])}"


def draw_drift(drift: Drift, figure: FigureBase) -> None:
    """Heat map of features by week; the furthest feature on top."""
    axes = figure.add_subplot()
    if not drift.features:
        axes.text(0.5, 0.5, "no feature metrics stored", ha="center", transform=axes.transAxes, color=SOFT)
        axes.set_axis_off()
        return
    top = float(np.nanmax(drift.values)) or 1.0
    image = axes.imshow(drift.values, aspect="auto", cmap="YlGnBu", vmin=0.0, vmax=top, interpolation="nearest")
    axes.set_yticks(range(len(drift.features)), drift.features)
    middles = [week + timedelta(days=3) for week in drift.weeks]
    if len(middles) <= FEW_WEEKS:
        axes.set_xticks(range(len(middles)), [f"week of {_day(week)}" for week in drift.weeks], fontsize=7)
    else:
        firsts = [i for i, day in enumerate(middles) if i == 0 or day.month != middles[i - 1].month]
        axes.set_xticks(firsts, [middles[i].strftime("%b") for i in firsts])
    axes.set_yticks(np.arange(-0.5, len(drift.features)), minor=True)
    axes.grid(which="minor", axis="y", color="white", lw=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, fraction=0.025, pad=0.015)
    bar.set_label("Jensen-Shannon distance, 0 to 1")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def timeline_title(story: Story) -> str:
    """The circle in numbers."""
    s = story.summary

    def count(n: int, one: str, many: str) -> str:
        return f"{n} {one if n == 1 else many}"

    return (
        f"{count(s['retrainings'], 'retraining', 'retrainings')}: {count(s['promoted'], 'promotion', 'promotions')}, "
        f"{s['rejected']} rejected, {s['rolled_back']} rolled back; {count(s['incidents'], 'incident', 'incidents')}"
    )


def draw_timeline(story: Story, figure: FigureBase) -> None:
    """One lane each for who serves, who shadows, incidents and every kind of decision."""
    axes = figure.add_subplot()
    place = {lane: len(LANES) - 1 - i for i, lane in enumerate(LANES)}
    versions = {label: i for i, label in enumerate(dict.fromkeys(span.label for span in story.serving))}
    shades = mpl.colormaps["Blues"](np.linspace(0.3, 0.9, max(len(versions), 2)))
    for span in story.serving:
        shade = shades[versions[span.label]]
        ink = "white" if float(np.mean(shade[:3])) < 0.62 else INK
        _bar(axes, span, place["serves"], shade, height=0.75, text=span.label, ink=ink)
    for span in story.shadowing:
        _bar(axes, span, place["shadows"], "#cc79a7", text=span.label)
    for span in story.guarding:
        _bar(axes, span, place["guards"], FAINT, text=span.label)
    for span in story.incidents:
        _bar(axes, span, place["incident"], "#e69f00")
    for mark in story.marks:
        _point(axes, mark, place[mark.kind])
    axes.set_yticks(list(place.values()), list(LANES.values()))
    axes.set_ylim(-0.7, len(LANES) - 0.4)
    ticks, labels = _calendar(story)
    axes.set_xticks(ticks, labels)
    axes.grid(axis="x", color=FAINT, lw=0.7)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0)
    _key(axes, {mark.sign for mark in story.marks})


def _calendar(story: Story) -> tuple[list[Any], list[str]]:
    """Ticks at months; at weeks when there are few."""
    first = min([mark.at for mark in story.marks] + [span.start for span in story.serving], default=story.until)
    days = [first + timedelta(days=i) for i in range((story.until - first).days + 1)]
    if len(days) <= 7 * FEW_WEEKS:
        weeks = [day.replace(hour=0) for day in days[::7]]
        return weeks, [f"{day.day} {day.strftime('%b')}" for day in weeks]
    months = [datetime(day.year, day.month, 1, tzinfo=UTC) for day in days if day.day == 1]
    return months, [month.strftime("%b") for month in months]


def _bar(axes: Axes, span: Span, y: float, colour: Any, *, height: float = 0.5, text: str = "", ink: str = INK) -> None:
    length: Any = span.end - span.start
    start: Any = span.start
    axes.barh(y, length, height, start, color=colour, edgecolor="white", lw=0.8)
    if text and length > timedelta(days=4):
        axes.text(start + length / 2, y, text, ha="center", va="center", fontsize=8, color=ink)


def _point(axes: Axes, mark: Mark, y: float) -> None:
    marker, colour, _ = SIGNS.get(mark.sign, ("o", SOFT, mark.sign))
    at: Any = mark.at
    axes.plot(at, y, marker, color=colour, ms=7.5, mec="white", mew=0.8, zorder=4)
    if mark.kind == "rollout":
        place = (0, -11 if mark.sign == "rollback" else 10)
        axes.annotate(mark.label, (at, y), place, textcoords="offset points", ha="center", va="center", fontsize=8)


def _key(axes: Axes, signs: set[str]) -> None:
    """Explain the signs in use, under the lanes, in the signs' own colours."""
    handles = [
        axes.plot([], [], marker, color=colour, ms=6.5, mec="white", label=text, ls="")[0]
        for sign, (marker, colour, text) in SIGNS.items()
        if sign in signs
    ]
    if handles:
        axes.legend(
            handles=handles, loc="upper center", bbox_to_anchor=(0.45, -0.08), ncols=len(handles), frameon=False,
            fontsize=8.5, handletextpad=0, columnspacing=1.0,
        )  # fmt: skip


def _day(day: date | datetime) -> str:
    return f"{day.day} {day.strftime('%B')}"
