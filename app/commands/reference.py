"""``driftline reference``: what a reference can promise."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from app import wiring
from app.commands.common import JsonOption
from app.commands.history import ColumnOption, TableArgument, ZoneOption

app = typer.Typer(help="What rows that were normal can promise.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """What rows that were normal can promise."""


@app.command()
def show(
    table: TableArgument,
    *,
    model: Annotated[Path, typer.Option(help="The model's document; driftline init proposes one.")],
    pages: Annotated[float, typer.Option(help="False pages a month that its owner accepts.")] = 1.0,
    column: ColumnOption = None,
    tz: ZoneOption = None,
    as_json: JsonOption = False,
) -> None:
    """Diagnose a reference: driftline reference show reference.parquet --model model.yaml.

    For the labelled loss and every feature: how many independent rows a window is worth, whether a fixed reference or
    seasonal slots fit, how alike neighbouring windows are, and whether the reference, held out in quarters, would have
    paged itself. From that follows the one thing that may be claimed: "within budget on held-out reference",
    "estimated, dependence high" or "not enough data". Nothing is changed, and the monitor does not page by it yet.
    """
    wiring.configure_logging(quiet=True)
    from rich.console import Console

    from app import reference
    from app.documents import model_of
    from app.table import parse_columns

    if not pages > 0:
        raise SystemExit(f"--pages {pages:g}: a number of pages a month above 0, e.g. 1")
    spec = model_of(model).spec
    found = list(reference.shown(table, spec, parse_columns(column or []), timezone=tz, pages=pages))
    if as_json:
        json.dump(reference.as_json(found), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        console = Console(markup=False, emoji=False)
        console.print(reference.grid(found))
        for line in reference.reasons(found):
            console.print(line, highlight=False)
