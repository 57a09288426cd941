"""A replay's answer as one HTML file with pictures: no scripts, no requests, nothing that needs eyes alone."""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from app import charts
from app.replay import figures, show
from app.replay.result import Result


def render(found: Result, table: str) -> str:
    """The page.

    Args:
        found: what the replay came to.
        table: name of the file that was replayed.
    """
    environment = Environment(
        loader=PackageLoader("app.replay"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"instant": show.instant, "number": number}
    height = 1.2 + 0.3 * max(1, len(figures.heat(found)[0]))
    pictures = [
        _picture(figures.course_title(found), figures.course_words(found), _COURSE)
        | {"svg": _svg(charts.svg(lambda figure: figures.draw_course(found, figure), (9.4, 5.2)))},
        _picture(figures.moved_title(found), figures.moved_words(found), _MOVED)
        | {"svg": _svg(charts.svg(lambda figure: figures.draw_moved(found, figure), (9.4, height)))},
    ]
    return environment.get_template("report.html.j2").render(
        style=Markup(files("app.web").joinpath("style.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        found=found,
        table=table,
        answer=show.answer(found),
        basis=show.basis(found),
        identity=show.identity(found.counts),
        pictures=pictures,
        metrics=show.metrics(found),
        change=show.change,
    )


def number(value: Any) -> str:
    """A number in a table; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


_COURSE = (
    "Event time, UTC. Grey: the reference's own windows. A loss is tested, and can page, when its window's labels are "
    "mature."
)
_MOVED = "Each judged window against the reference. Distances inform; none of them pages by itself."


def _picture(title: str, words: str, note: str) -> dict[str, Any]:
    return {"title": title, "words": words, "note": note}


def _svg(drawn: str) -> Markup:
    """A picture that this process drew, which the template must not escape; who looks at it hears its words instead."""
    return Markup(drawn.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1))  # noqa: S704
