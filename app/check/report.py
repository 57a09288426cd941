"""A check's answer as one HTML file with pictures: no scripts, no requests, nothing that needs eyes alone."""

from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from app import charts
from app.check import figures, show
from app.check.result import Result


def render(found: Result) -> str:
    """The page."""
    environment = Environment(
        loader=PackageLoader("app.check"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": show.number}
    bars, drawn = len(figures.furthest(found)), len(figures.columns(found))
    pictures = []
    if bars:
        svg = charts.svg(lambda figure: figures.draw_furthest(found, figure), (9.4, 1.0 + 0.27 * bars))
        pictures.append(
            {
                "title": "How far, beside what it had to exceed",
                "words": figures.furthest_words(found),
                "svg": _hidden(svg),
            }
        )
    if drawn:
        svg = charts.svg(lambda figure: figures.draw_columns(found, figure), (9.4, 2.1 * -(-drawn // 3)))
        pictures.append({"title": "Before and now", "words": figures.columns_words(found), "svg": _hidden(svg)})
    return environment.get_template("report.html.j2").render(
        style=Markup(files("app.web").joinpath("style.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        found=found,
        answer=show.answer(found),
        basis=show.basis(found),
        where=show.where,
        metrics=show.metrics(found),
        pictures=pictures,
    )


def _hidden(drawn: str) -> Markup:
    """A picture that this process drew, which the template must not escape; who looks at it hears its words instead."""
    return Markup(drawn.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1))  # noqa: S704
