"""The two pictures of a replay, and the words that say the same to who cannot see them."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import FigureBase

from app import charts
from app.replay.result import Result
from app.replay.show import count, day, instant

SHOWN_FEATURES = 20
"""The heat map shows so many features: those that were furthest from the reference in any window."""

_VERSIONS = (charts.BLUE, charts.GREEN, charts.ORANGE, charts.GREY)


def course_title(found: Result) -> str:
    """The finding of the first picture."""
    first = outside(found)[:1]
    unit = found.loss_name
    if not first:
        return f"The {unit} of the judged windows stays inside its usual band" if found.losses else "No labels to test"
    return f"The {unit} leaves its usual band in the window from {instant(first[0])}"


def course_words(found: Result) -> str:
    """What the first picture shows, in sentences."""
    losses = [value for values in found.losses.values() for _, value in values]
    parts = [f"{count(len(found.incidents), 'incident')}."]
    if losses:
        parts.append(f"{found.loss_name} by window between {min(losses):.4g} and {max(losses):.4g};")
        parts.append(f"{len(outside(found))} of {len(losses)} tested windows outside the band.")
    return " ".join(parts)


def outside(found: Result) -> list[int]:
    """Starts of tested windows whose loss left the band upwards or downwards, in order."""
    return [t["window_start"] for report in found.windows for t in report["tested"] if t["verdict"] == "outside"]


def draw_course(found: Result, figure: FigureBase) -> None:
    """Incidents, the labelled loss with its band, and rows with the share that has a label; on one time axis."""
    lanes, loss, rows = figure.subplots(3, 1, sharex=True, height_ratios=[1.1, 3, 1.3])
    _lanes(found, lanes)
    _loss(found, loss)
    _rows(found, rows)
    for axes in (lanes, loss, rows):
        axes.tick_params(length=0)
        if found.plan.judged_from > found.windows[0]["window_start"]:
            axes.axvspan(
                _at(found.plan.reference.start), _at(found.plan.judged_from), color=charts.FAINT, alpha=0.35, lw=0
            )
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    rows.xaxis.set_major_locator(locator)
    rows.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def moved_title(found: Result) -> str:
    """The finding of the second picture."""
    if not found.moved:
        return "No feature moved further than chance explains"
    first = found.moved[0]
    return f"{first.feature} moved furthest, most in the window from {instant(first.window_start)}"


def moved_words(found: Result) -> str:
    """What the second picture shows, in a sentence."""
    names = ", ".join(moved.feature for moved in found.moved)
    return f"Heat map of each feature's distance from the reference by window. Beyond chance: {names or 'none'}."


def heat(found: Result) -> tuple[list[str], list[int], "np.ndarray[tuple[int, int], np.dtype[np.float64]]"]:
    """Names of features (the furthest first), window starts, and their distances in [0, 1]; NaN: not known."""
    peaks = {name: max(values.values()) for name, values in found.distances.items() if values}
    names = sorted(peaks, key=lambda name: (-peaks[name], name))[:SHOWN_FEATURES]
    windows = sorted({start for name in names for start in found.distances[name]})
    table = np.array([[found.distances[name].get(start, np.nan) for start in windows] for name in names], np.float64)
    return names, windows, table.reshape(len(names), len(windows))


def draw_moved(found: Result, figure: FigureBase) -> None:
    """Heat map of features by window; the furthest feature on top."""
    axes = figure.add_subplot()
    names, windows, table = heat(found)
    if not names:
        axes.text(0.5, 0.5, "nothing to compare", ha="center", transform=axes.transAxes, color=charts.SOFT)
        axes.set_axis_off()
        return
    top = float(np.nanmax(table)) or 1.0
    drawn = axes.imshow(table, aspect="auto", cmap="YlGnBu", vmin=0.0, vmax=top, interpolation="nearest")
    axes.set_yticks(range(len(names)), names)
    every = max(1, -(-len(windows) // 8))
    axes.set_xticks(range(0, len(windows), every), [day(start) for start in windows[::every]])
    axes.set_yticks(np.arange(-0.5, len(names)), minor=True)
    axes.grid(which="minor", axis="y", color="white", lw=1.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(drawn, ax=axes, fraction=0.025, pad=0.015)
    bar.set_label("Jensen-Shannon distance, 0 to 1")
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)


def _lanes(found: Result, axes: Axes) -> None:
    axes.set_yticks([0], ["incidents"])
    axes.set_ylim(-0.6, 0.6)
    axes.spines[:].set_visible(False)
    if not found.incidents:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", color=charts.SOFT)
    last = found.windows[-1]["at"] if found.windows else 0
    for number, incident in enumerate(found.incidents, start=1):
        end = incident["updated"] if incident["state"] == "resolved" else last
        critical = incident["severity"] == "critical"
        start, length = _at(incident["opened"]), _at(end) - _at(incident["opened"])
        axes.barh(
            0, length, 0.7, start, color=charts.ORANGE if critical else "white", edgecolor=charts.ORANGE,
            hatch="" if critical else "///", lw=1,
        )  # fmt: skip
        axes.annotate(
            str(number), (start, 0), (3, 0), textcoords="offset points", va="center", fontsize=9, fontweight="bold",
            color="white" if critical else charts.INK,
        )  # fmt: skip


def _loss(found: Result, axes: Axes) -> None:
    tested = [t for report in found.windows for t in report["tested"] if t["low"] is not None]
    if tested:
        places: Any = [_at(t["window_start"]) for t in tested]
        lows, highs = [t["low"] for t in tested], [t["high"] for t in tested]
        axes.fill_between(places, lows, highs, color=charts.GREEN, alpha=0.13, lw=0)
        axes.annotate(
            "usual band", (places[-1], (lows[-1] + highs[-1]) / 2), (6, 0), textcoords="offset points", va="center",
            fontsize=8.5, color=charts.GREEN, annotation_clip=False,
        )  # fmt: skip
    for place, (version, values) in enumerate(sorted(found.losses.items())):
        colour = _VERSIONS[place % len(_VERSIONS)]
        times: Any = [_at(start) for start, _ in values]
        axes.plot(times, [value for _, value in values], "-o", color=colour, lw=1.8, ms=3.5)
        if len(found.losses) > 1:
            axes.annotate(
                version, (times[-1], values[-1][1]), (6, 0), textcoords="offset points", fontsize=8.5, color=colour
            )
    axes.set_ylabel(f"{found.loss_name} · lower is better")
    axes.grid(axis="y", color=charts.FAINT, lw=0.7)


def _rows(found: Result, axes: Axes) -> None:
    labelled: dict[int, float] = {}
    for (start, _), numbers in found.performance.items():
        labelled[start] = labelled.get(start, 0.0) + numbers["n"]
    starts = [report["window_start"] for report in found.windows if report["counted"]]
    places: Any = [_at(start) for start in starts]
    counted = [report["counted"] for report in found.windows if report["counted"]]
    axes.fill_between(places, counted, step="mid", color=charts.GREY, alpha=0.25, lw=0, label="predictions")
    axes.fill_between(
        places, [labelled.get(start, 0.0) for start in starts], step="mid", color=charts.BLUE, alpha=0.45, lw=0,
        label="of them with a label",
    )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_ylabel("rows a window")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, -0.75))


def _at(ms: int) -> Any:
    return np.datetime64(ms, "ms")
