"""``driftline init`` and ``driftline replay``: from a table of predictions to a document, and to an answer."""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from app import wiring
from app.commands.common import JsonOption

TableArgument = Annotated[Path, typer.Argument(help="Parquet or CSV file of predictions, with labels where known.")]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(help="What the table calls a column of ours, e.g. label=y_true; repeatable.", metavar="OURS=THEIRS"),
]
ZoneOption = Annotated[
    str | None, typer.Option("--tz", help="Zone of times that have none, e.g. Europe/Berlin.", metavar="ZONE")
]


def init(
    table: TableArgument,
    *,
    column: ColumnOption = None,
    segment: Annotated[
        list[str] | None, typer.Option(help="Watch each value of this column by itself; repeatable.", metavar="COLUMN")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model; default: the file's.")] = None,
    tz: ZoneOption = None,
) -> None:
    """Propose a model's document from a table of its predictions: driftline init predictions.parquet > model.yaml.

    event_time, prediction, score (or score_<class>), label, label_time, prediction_id, version and latency_ms mean what
    they say; all other columns are features. What was chosen, and why, is in the comments.
    """
    wiring.configure_logging(quiet=True)
    from app import propose
    from app.table import parse_columns

    text, notes = propose.document(table, parse_columns(column or []), segment or [], name=name, timezone=tz)
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(text, end="")


def replay(
    context: typer.Context,
    table: TableArgument,
    *,
    model: Annotated[Path, typer.Option(help="The model's document; driftline init proposes one.")],
    reference: Annotated[
        Path | None,
        typer.Option(help="Rows that were normal; without it the table's first (spec.reference) are the reference."),
    ] = None,
    column: ColumnOption = None,
    tz: ZoneOption = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with pictures to this HTML file.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Keep data and logs in this folder (emptied first); else they are temporary.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder for downloads; kept.")] = Path("var/cache"),
    as_json: JsonOption = False,
) -> None:
    """Send a table through Kafka and the same processors: what would driftline have paged you for?

    Starts what it needs and stops it again; with --stack it uses a running driftline up, in the namespace "replay", in
    which nobody is called. Exit 0 whether or not something would have paged, 2 when there is no answer.
    """
    wiring.configure_logging(quiet=True)
    from app.replay.run import Job, run_replay
    from app.table import parse_columns

    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    job = Job(
        table=table,
        model=model,
        reference=reference,
        columns=parse_columns(column or []),
        timezone=tz,
        report=report,
        root=root,
        cache=cache,
        shared=context.obj is not None,
    )
    run_replay(job, as_json=as_json)
