"""``report.html`` and ``report.png``: what a year of flights showed, on one page that works without scripts."""

import textwrap
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, select_autoescape
from markupsafe import Markup
from matplotlib.figure import FigureBase

from app import charts
from app.demo import figures
from app.demo.story import Story, tell
from app.demo.summary import ARMS
from schemas.models import ModelRecord
from warehouse.client import Warehouse

HTML = "report.html"
PNG = "report.png"


def write_report(
    warehouse: Warehouse,
    namespace: str,
    model: str,
    summary: Mapping[str, Any],
    folder: Path,
    *,
    records: Iterable[ModelRecord],
    since: datetime,
    until: datetime,
) -> Story:
    """Write ``report.html`` and ``report.png`` into ``folder``.

    Args:
        warehouse: the demo's database, ``demo_baselines`` included.
        namespace: the model's.
        model: its name.
        summary: of :func:`app.demo.summary.summarise`.
        folder: where to write; made when missing.
        records: the model's generations (:func:`app.reconcile.read_models`), for their references.
        since: first event time of the comparison.
        until: first event time after it.
    """
    story = tell(warehouse, namespace, model, summary, records=records, since=since, until=until)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HTML).write_text(render(story), encoding="utf-8")
    charts.png(lambda figure: poster(story, figure), (11, 15.5), folder / PNG)
    return story


def headline(summary: Mapping[str, Any]) -> str:
    """The finding in one sentence, whichever way it went."""
    loop, frozen, always = (summary[f"auc_{arm}"] for arm in ("loop", "frozen", "always_promote"))
    if loop is None or frozen is None or always is None:
        return "Too few labelled flights to compare the three ways of running a model"
    gain, cost = round(loop - frozen, 3), round(always - loop, 3)
    if gain > 0:
        first = f"driftline adds {gain:.3f} AUC to a model that would otherwise have stayed as it was"
    elif gain < 0:
        first = f"driftline did not beat the frozen model: its AUC is {-gain:.3f} lower"
    else:
        first = "driftline and the frozen model rank delays equally well"
    if cost > 0:
        return f"{first}; promoting every month without a judge would have been {cost:.3f} better still"
    if cost < 0:
        return f"{first}; promoting every month without a judge would have been {-cost:.3f} worse"
    return f"{first}; promoting every month without a judge would have been no better"


def title(story: Story) -> str:
    """What the run covered."""
    last = story.until - timedelta(days=1)
    covered = "A year of flights" if (last.month, last.day) == (12, 31) else f"Flights until {last.day} {last:%B} 2013"
    return f"{covered}, one closed loop"


def identity(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The two sides of in = counted + late + duplicate + correction + dead-lettered."""
    parts = {name: summary[name] for name in ("counted", "late", "duplicate", "correction", "dead_lettered")}
    return {"events_in": summary["events_in"], "parts": parts, "holds": summary["events_in"] == sum(parts.values())}


def render(story: Story) -> str:
    """The page, with its pictures inline as SVG."""
    environment = Environment(
        autoescape=select_autoescape(default=True), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        files("app.demo").joinpath("templates/report.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        story=story,
        summary=story.summary,
        title=title(story),
        headline=headline(story.summary),
        identity=identity(story.summary),
        arms=ARMS,
        names=figures.NAME,
        colours=figures.COLOUR,
        figures=[
            {
                "title": figures.quality_title(story),
                "alt": _quality_alt(story),
                "svg": _svg(charts.svg(lambda figure: figures.draw_quality(story, figure, stacked=True), (9, 6))),
                "note": "Each month: all labelled flights by scheduled departure, New York time, scored by all three. "
                "Version 1 is trained on January. Monthly: trained on the first of each month on all labels known by "
                "then, and promoted without a test.",
            },
            {
                "title": figures.drift_title(story.drift),
                "alt": "Heat map of each feature's distance from the reference by week, the furthest feature on top.",
                "svg": _svg(charts.svg(lambda figure: figures.draw_drift(story.drift, figure), (9, 4.4))),
                "note": "Each week's rows, pooled, against January's. Distances are shown, they do not page: where "
                "days differ by nature, even January's own days are far from January.",
            },
            {
                "title": figures.timeline_title(story),
                "alt": "Time line of serving versions, shadows, incidents, requests, candidates, verdicts and changes.",
                "svg": _svg(charts.svg(lambda figure: figures.draw_timeline(story, figure), (9, 4.4))),
                "note": "Event time. Every sign is a row of the audit log: `driftline trace` walks there from a "
                "prediction, and the list of decisions is below.",
            },
        ],
    )


def _svg(drawn: str) -> Markup:
    """A picture that this process drew, which the template must not escape."""
    return Markup(drawn)  # noqa: S704


def poster(story: Story, figure: FigureBase) -> None:
    """The whole report as one picture."""
    parts: Any = figure.subfigures(5, 1, height_ratios=[1.5, 4.2, 4.6, 4.7, 1.1])
    head, quality, drift, line, foot = parts
    head.text(0.02, 0.72, title(story), fontsize=21, fontweight="bold", va="center")
    head.text(
        0.02, 0.30, textwrap.fill(headline(story.summary) + ".", 100), fontsize=11.5, color=charts.SOFT, va="center"
    )
    figures.draw_quality(story, quality)
    quality.suptitle(figures.quality_title(story), **_TITLE)
    figures.draw_drift(story.drift, drift)
    drift.suptitle(figures.drift_title(story.drift), **_TITLE)
    figures.draw_timeline(story, line)
    line.suptitle(figures.timeline_title(story), **_TITLE)
    foot.text(0.02, 0.62, identity_line(story.summary), fontsize=10.5, fontweight="bold", va="center")
    foot.text(0.02, 0.2, _run_line(story.summary), fontsize=9, color=charts.SOFT, va="center")


_TITLE: dict[str, Any] = {"x": 0.02, "ha": "left", "fontsize": 12.5, "fontweight": "bold"}


def identity_line(summary: Mapping[str, Any]) -> str:
    """The identity of the counts in one line, with the numbers and whether it holds."""
    found = identity(summary)
    right = " + ".join(f"{value:,} {name.replace('_', '-')}" for name, value in found["parts"].items())
    sign = "=" if found["holds"] else "≠"
    return f"{found['events_in']:,} events in {sign} {right}"


def _run_line(summary: Mapping[str, Any]) -> str:
    engines = f"{summary['broker']} and ClickHouse {summary['clickhouse_version']}"
    return (
        f"{summary['windows_closed']:,} windows closed, {summary['pairs_joined']:,} predictions joined with "
        f"their outcome, in {summary['wall_seconds']:,.0f} s on {engines}"
    )


def _quality_alt(story: Story) -> str:
    totals = ", ".join(
        f"{figures.NAME[arm]} {value:.3f}" for arm in ARMS if (value := story.summary[f"auc_{arm}"]) is not None
    )
    return f"Two line charts by month: AUC and log-loss of three ways to run the model. AUC over all months: {totals}."
