"""``driftline check``: two files, one question."""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from app import wiring
from app.commands.common import JsonOption
from app.commands.history import ColumnOption, ZoneOption


def check(
    *,
    reference: Annotated[Path, typer.Option(help="Parquet or CSV file of rows that were normal.")],
    current: Annotated[Path, typer.Option(help="File of the rows in question.")],
    model: Annotated[
        Path | None, typer.Option(help="The model's document, for kinds of features, segments and windows.")
    ] = None,
    segment: Annotated[
        list[str] | None,
        typer.Option(help="Compare each value of this column by itself; repeatable.", metavar="COLUMN"),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Leave this column out; repeatable.", metavar="COLUMN")
    ] = None,
    column: ColumnOption = None,
    tz: ZoneOption = None,
    block: Annotated[
        str | None,
        typer.Option(
            help="Length of the parts of the reference that say what differs by nature, e.g. P7D; default: hours, days "
            "or weeks, about as long as the current rows last.",
            metavar="DURATION",
        ),
    ] = None,
    min_shift: Annotated[
        float, typer.Option(help="Smallest change of a distribution that matters: the share of rows that moved.")
    ] = 0.05,
    together: Annotated[
        bool, typer.Option("--together", help="Ask too whether numbers and booleans go together as they did.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write a page with pictures to this HTML file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Are the rows of one file like those of another? Without Kafka and ClickHouse.

    Bins, distances, hard rules and the band of the loss are the monitor's. Limits are not: this is one look, at 5% of
    the rows, and the monitor gathers evidence over windows. Latency and the error expected without labels are the
    monitor's alone.

    Compares every feature, the model's answers, and labelled performance where both files have it. Drift is what
    exceeds a minimum that matters, what chance adds, and what the reference's own days or weeks differ by; never
    significance alone. Exit 0: no drift, 1: drift, 2: no answer (a file cannot be used, or nothing could be judged).
    """
    wiring.configure_logging(quiet=True)
    from app.check import show
    from app.check.inputs import Reading
    from app.check.result import as_json as plain
    from app.check.result import check as run
    from app.documents import model_of
    from app.table import TableError, parse_columns

    if not 0 < min_shift < 1:
        raise TableError(f"--min-shift {min_shift:g}: a share of rows, above 0 and below 1, e.g. 0.05")
    spec = None if model is None else model_of(model).spec
    how = Reading(parse_columns(column or []), tz, segment or [], ignore or [])
    found = run(
        reference,
        current,
        spec,
        how,
        width=None if block is None else _milliseconds(block),
        min_shift=min_shift,
        together=together,
    )
    if report is not None:
        from app.check.report import render  # matplotlib takes a second to import

        try:
            report.write_text(render(found), encoding="utf-8")
        except OSError as error:
            raise SystemExit(f"--report {report}: {error.strerror}; name a file in a folder that exists") from None
    if as_json:
        json.dump(plain(found), sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        from rich.console import Console

        show.show(found, Console(markup=False, emoji=False))
    if not found.judged:
        raise SystemExit("nothing could be judged: give both files at least 100 rows, the reference 200")
    raise typer.Exit(1 if found.drift else 0)


def _milliseconds(duration: str) -> int:
    from pydantic import TypeAdapter, ValidationError

    from schemas.spec import milliseconds

    try:
        width = TypeAdapter(timedelta).validate_python(duration)
    except ValidationError:
        width = timedelta(0)
    if width < timedelta(minutes=1):
        raise SystemExit(f"--block {duration}: no duration of a minute or more; write it like P7D, P1D or PT6H")
    return milliseconds(width)
