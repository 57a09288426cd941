"""The two pictures of a model's page, and the words that say the same to who cannot see them."""

import threading
from typing import Any

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import FigureBase

from app import charts
from app.web.pages import HIGHER_IS_BETTER, MOVED_MUCH, WORDS, ModelPage

_DRAWING = threading.Lock()
"""matplotlib's style is global: one picture at a time."""


def performance_words(page: ModelPage) -> str:
    """What the performance picture shows, in a sentence."""
    known = [window for window in page.performance if window.value is not None]
    if not known:
        return "No window has enough labels yet."
    name = WORDS[known[-1].metric]
    values = [window.value for window in known if window.value is not None]
    coverage = known[-1].coverage
    labelled = f", with labels for {coverage:.0%} of the predictions" if coverage is not None else ""
    return (
        f"{name[0].upper()}{name[1:]} by window, {known[0].window:%-d %B %Y} to {known[-1].window:%-d %B %Y}: "
        f"from {min(values):.3f} to {max(values):.3f}, last {values[-1]:.3f}{labelled}."
    )


def features_words(page: ModelPage) -> str:
    """What the features picture shows, in a sentence."""
    moved = [feature.name for feature in page.features if (feature.now or 0) > MOVED_MUCH]
    if not page.features:
        return "Nothing to compare with yet: no reference, or too few rows."
    if not moved:
        return "No feature is far from the reference in the newest window."
    return f"Far from the reference in the newest window: {', '.join(moved)}."


def performance(page: ModelPage) -> str:
    """SVG: the headline metric by window, and below it the share of predictions that have a label."""
    with _DRAWING:
        return charts.svg(lambda figure: _performance(page, figure), (9, 4.2))


def features(page: ModelPage) -> str:
    """SVG: how far each feature is from the reference, by window."""
    with _DRAWING:
        return charts.svg(lambda figure: _features(page, figure), (9, 1.4 + 0.32 * len(page.features)))


def _performance(page: ModelPage, figure: FigureBase) -> None:
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    windows: Any = [window.window for window in page.performance]
    values = [np.nan if window.value is None else window.value for window in page.performance]
    metric = page.performance[-1].metric if page.performance else "auc"
    upper.plot(windows, values, "-o", color=charts.BLUE, lw=1.8, ms=3.5)
    upper.set_ylabel(f"{WORDS[metric]} · {'higher' if metric in HIGHER_IS_BETTER else 'lower'} is better")
    coverage = [np.nan if window.coverage is None else 100 * window.coverage for window in page.performance]
    lower.fill_between(windows, coverage, color=charts.GREY, alpha=0.35, lw=0)
    lower.set_ylim(0, 100)
    lower.set_ylabel("% labelled")
    for incident in (standing.record for standing in page.incidents):
        start: Any = np.datetime64(incident.opened, "ms")
        end: Any = np.datetime64(incident.updated, "ms") if incident.state == "resolved" else None
        if windows and start >= np.datetime64(windows[0].replace(tzinfo=None)):
            upper.axvspan(start, end or np.datetime64(windows[-1].replace(tzinfo=None)), color=charts.AMBER, alpha=0.2)
            upper.annotate("incident", (start, 1.0), xycoords=("data", "axes fraction"), fontsize=8, va="bottom")
    for axes in (upper, lower):
        axes.grid(axis="y", color=charts.FAINT, lw=0.7)
        axes.tick_params(length=0)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    lower.xaxis.set_major_locator(locator)
    lower.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _features(page: ModelPage, figure: FigureBase) -> None:
    axes = figure.subplots()
    windows = sorted({window for feature in page.features for window in feature.windows})
    table = np.full((len(page.features), len(windows)), np.nan)
    column = {window: i for i, window in enumerate(windows)}
    for row, feature in enumerate(page.features):
        for window, value in zip(feature.windows, feature.psi, strict=True):
            table[row, column[window]] = np.nan if value is None else value
    drawn = axes.imshow(table, aspect="auto", cmap="YlOrRd", vmin=0, vmax=2 * MOVED_MUCH, interpolation="nearest")
    axes.set_yticks(range(len(page.features)), [feature.name for feature in page.features])
    every = max(1, len(windows) // 8)
    axes.set_xticks(range(0, len(windows), every), [f"{window:%-d %b}" for window in windows[::every]])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(drawn, ax=axes, extend="max", pad=0.01)
    bar.set_label("PSI")
    bar.outline.set_visible(False)
