"""``driftline reference``: what a model's reference can promise, and a new one from rows that were normal."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app import wiring
from app.commands.common import PATIENCE, JsonOption, plainly
from app.commands.history import ColumnOption, ZoneOption
from app.commands.owner import FromOption, utc

if TYPE_CHECKING:
    from app.reference import Shown
    from schemas.settings import Settings
    from schemas.spec import Model

app = typer.Typer(help="What a reference can promise, and a new one from rows that were normal.", no_args_is_help=True)

ModelOption = Annotated[
    str, typer.Option(help="A model's document (a file), or a declared model, as name or namespace/name.")
]
PagesOption = Annotated[
    float | None,
    typer.Option(
        help="False pages in 30 days that its owner accepts; without it the model's part of its team's budget (1 of "
        "what is not declared)."
    ),
]
_FORMATS = ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"]


@app.callback()
def _group() -> None:
    """What a reference can promise, and a new one from rows that were normal."""


@app.command()
def show(
    table: Annotated[
        Path | None,
        typer.Argument(help="Parquet or CSV of rows that were normal; without it the model's own reference is shown."),
    ] = None,
    *,
    model: ModelOption,
    pages: PagesOption = None,
    column: ColumnOption = None,
    tz: ZoneOption = None,
    as_json: JsonOption = False,
) -> None:
    """Diagnose a reference: the one that a model has (--model churn), or the one that a file would make.

    For every quantity that may page: how many independent rows a window is worth, whether a fixed reference or seasonal
    slots fit, how alike neighbouring windows are (lag-1), the evidence that the reference's own windows reached, each
    quarter judged by the others, and the evidence that pages. From that follows the one thing that may be claimed:
    "within budget on held-out reference", "estimated, dependence high" or "not enough data". Nothing is changed.
    """
    wiring.configure_logging(quiet=True)
    from app import reference
    from app.register import place
    from app.table import parse_columns

    _positive(pages)
    settings = wiring.load_settings()
    with plainly(settings), _refusing():
        if table is not None:
            document = _model(model, settings)
            spec, who = document.spec, (document.metadata.namespace, document.metadata.name)
            made = reference.of_file(table, spec, parse_columns(column or []), tz)
        else:
            who = place(model)
            record, made = reference.stored(settings, *who)
            spec = record.parsed()
        # A file for a document that is a file asks no broker.
        alone = table is not None and _is_file(model)
        accepted = pages or (1.0 if alone else reference.accepted(settings, *who))
    _print(reference.shown(spec, made, accepted), as_json=as_json)


@app.command()
def build(
    table: Annotated[
        Path | None, typer.Argument(help="Parquet or CSV of rows that were normal; or give --since and --until.")
    ] = None,
    *,
    model: ModelOption,
    since: Annotated[
        datetime | None,
        typer.Option(help="Take the rows that were counted from this event time (UTC) on.", formats=_FORMATS),
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="... and before this one.", formats=_FORMATS)] = None,
    version: Annotated[str, typer.Option(help="Of a file: version that answered its rows.")] = "",
    pages: PagesOption = None,
    column: ColumnOption = None,
    tz: ZoneOption = None,
    start: FromOption = None,
    dry_run: Annotated[bool, typer.Option(help="Say what would change, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Re-baseline a model: rows of a file, or of a time that was normal, become its next reference.

    driftline reference build normal.parquet --model churn

    driftline reference build --model churn --since 2026-10-01 --until 2026-10-29

    It is a new generation, like a changed document: windows from --from on are compared with it, and evidence begins
    anew. That costs: for 30 days evidence pages at twice the thresholds (after two re-baselines at three times, and so
    on). So do it because the world has changed, not because a page is a nuisance. Take four weeks or more, and rows
    that the model has not learned from. What the reference can promise is printed, and kept in the audit log.
    """
    wiring.configure_logging(quiet=True)
    from dataclasses import asdict

    from app import rebaseline, reference
    from app.declare import Owner
    from app.table import parse_columns
    from schemas.windows import to_ms

    _positive(pages)
    between = (to_ms(utc(since)), to_ms(utc(until))) if since is not None and until is not None else None
    rows = table or between
    if rows is None or (table is not None and (since or until)):
        raise SystemExit("name the rows one way: a file, or both --since and --until")
    settings = wiring.load_settings()
    with plainly(settings), _refusing():
        house = wiring.prepare(settings, patience=PATIENCE)
        document = _model(model, settings)
        owner = Owner(settings, house, int(time.time() * 1000), dry_run=dry_run)
        if isinstance(rows, Path):
            built = rebaseline.of_file(document, version, rows, parse_columns(column or []), tz)
        else:
            report = owner.counted(document.metadata.namespace, document.metadata.name).report
            built = rebaseline.of_counted(house, document, *rows, None if report is None else report.at)
        at = None if start is None else to_ms(utc(start))
        accepted = pages or reference.accepted(settings, document.metadata.namespace, document.metadata.name)
        applied, found = rebaseline.make(owner, document, built, start=at, pages=accepted)
    if as_json:
        print(json.dumps(asdict(applied) | {"dry_run": dry_run, "streams": reference.as_json(found)}, indent=2))
    else:
        print(f"{applied}{'  (dry run)' if dry_run else ''}")
        _print(found, as_json=False)


def _positive(pages: float | None) -> None:
    if pages is not None and not pages > 0:
        raise SystemExit(f"--pages {pages:g}: a number of pages in 30 days above 0, e.g. 1")


@contextmanager
def _refusing() -> Iterator[None]:
    """An answer of no is exit code 1."""
    from app.declare import Refused
    from app.names import NotThere

    try:
        yield
    except (Refused, NotThere) as refused:
        print(refused, file=sys.stderr)
        raise typer.Exit(1) from None


def _model(given: str, settings: "Settings") -> "Model":
    """The document in a file, else that of a declared model.

    Raises:
        app.declare.Refused: there is no such file, and no such model.
    """
    from app.documents import model_of
    from app.register import declared, place

    if _is_file(given):
        return model_of(Path(given))
    return declared(settings, *place(given))


def _is_file(given: str) -> bool:
    return Path(given).is_file() or given.endswith((".yaml", ".yml"))


def _print(found: "list[Shown]", *, as_json: bool) -> None:
    from rich.console import Console

    from app import reference

    if as_json:
        json.dump(reference.as_json(found), sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    console = Console(markup=False, emoji=False)
    console.print(reference.grid(found))
    for line in reference.reasons(found):
        console.print(line, highlight=False)
