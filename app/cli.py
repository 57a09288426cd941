"""The ``driftline`` command: only names, help and options are here; each command's work is in its own module."""

import os
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from app import wiring
from app.commands import breaker, check, dead_letters, history, incidents, offsets, owner, reference
from app.commands.common import PATIENCE, JsonOption, plainly

app = typer.Typer(
    help="Watch machine-learning models over Kafka; retrain, judge, shadow, promote or roll back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(incidents.app, name="incidents")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(breaker.app, name="breaker")
app.add_typer(offsets.app, name="offsets")
app.add_typer(reference.app, name="reference")
app.command()(history.init)
app.command()(history.replay)
app.command()(check.check)


class Source(StrEnum):
    """What ``driftline reconcile`` counts."""

    topics = "topics"
    rows = "rows"


class Role(StrEnum):
    """What ``driftline run`` can run; the keys of ``app.roles.ROLES``."""

    aggregate = "aggregate"
    monitor = "monitor"
    trainer = "trainer"
    rollout = "rollout"
    web = "web"
    ingest = "ingest"
    notify = "notify"


@app.callback()
def _main(
    context: typer.Context,
    stack: Annotated[
        Path | None,
        typer.Option(help="Folder of a local stack (driftline up, driftline demo --keep): use its addresses."),
    ] = None,
) -> None:
    """Settings come from DRIFTLINE_* in the environment (schemas/settings.py lists them), or from --stack."""
    if stack is not None:
        os.environ.update(wiring.read_stack(stack))
    context.obj = stack


@app.command()
def demo(
    until: Annotated[
        str, typer.Option(help="Last day of 2013 to simulate, e.g. 2013-02-15.", metavar="YYYY-MM-DD")
    ] = "2013-12-31",
    root: Annotated[Path, typer.Option(help="Folder for data, logs and results; emptied first.")] = Path("var/demo"),
    cache: Annotated[Path, typer.Option(help="Folder for downloads; kept.")] = Path("var/cache"),
    keep: Annotated[bool, typer.Option(help="Leave the stack running at the end, until Ctrl-C, to query it.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Stream a year of real flights through a live model and the whole circle; report what happened."""
    wiring.configure_logging(quiet=True)
    from app.demo.run import run_demo

    # SIGTERM leaves as Ctrl-C does: everything that was started is stopped.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    run_demo(until=until, root=root, cache=cache, keep=keep, as_json=as_json)


@app.command()
def up(
    root: Annotated[Path, typer.Option(help="Folder for data and logs; kept.")] = Path("var/up"),
    cache: Annotated[Path, typer.Option(help="Folder for downloads; kept.")] = Path("var/cache"),
    kafka_port: Annotated[int, typer.Option(help="Port of the broker.")] = 9092,
    clickhouse_port: Annotated[int, typer.Option(help="Port of ClickHouse's HTTP interface.")] = 8123,
    web_port: Annotated[int, typer.Option(help="Port of the web page.")] = 8080,
) -> None:
    """Run Kafka, ClickHouse, all roles and the web page on this machine, until Ctrl-C."""
    wiring.configure_logging(quiet=True)
    from app.up import run_up

    run_up(root=root, cache=cache, kafka_port=kafka_port, clickhouse_port=clickhouse_port, web_port=web_port)


@app.command()
def status(
    model: Annotated[str, typer.Argument(help="One model in detail: namespace/model, or the name alone.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Show a line per model (who serves, last window, labelled loss), what is wrong, and the lag if there is any."""
    wiring.configure_logging(quiet=True)
    from app.commands.status import run

    run(model, as_json=as_json)


@app.command()
def advice(
    model: Annotated[str, typer.Argument(help="namespace/model, or the name alone.")], as_json: JsonOption = False
) -> None:
    """Tell what river's drift detectors say of a model's last 500 windows: advice, by which nobody is paged.

    ADWIN, KSWIN and PageHinkley, with their defaults, on the labelled loss, the mean score, latency and every feature.
    Computed now from the windows in ClickHouse, the same whoever asks; exit 1 when nobody knows the model.
    """
    wiring.configure_logging(quiet=True)
    from app.commands.advice import run

    run(model, as_json=as_json)


@app.command()
def sources(as_json: JsonOption = False) -> None:
    """Show what was read from customers' own topics (spec.source), and what became of it."""
    wiring.configure_logging(quiet=True)
    from app import sources as command

    settings = wiring.load_settings()
    with plainly(settings):
        command.command(settings, as_json=as_json)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="A ClickHouse statement.")],
    as_json: JsonOption = False,
    write: Annotated[bool, typer.Option("--write", help="Let the statement change data or settings.")] = False,
) -> None:
    """Ask the database; e.g. driftline sql "SELECT * FROM windows LIMIT 5". docs/analysts.md has the views."""
    wiring.configure_logging(quiet=True)
    from app import sql as command

    settings = wiring.load_settings()
    with plainly(settings):
        command.run(wiring.open_warehouse(settings, patience=PATIENCE), query, as_json=as_json, write=write)


@app.command()
def reconcile(
    source: Annotated[
        Source, typer.Option(help="What to count again: the topics, or the raw rows when the topics have expired.")
    ] = Source.topics,
    as_json: JsonOption = False,
) -> None:
    """Count everything again, independently; exit 1 with the place where the tables differ, 2 when it cannot."""
    wiring.configure_logging(quiet=True)
    from app import reconcile as command

    settings = wiring.load_settings()
    with plainly(settings):
        warehouse = wiring.open_warehouse(settings, patience=PATIENCE)
        code = command.command(settings, warehouse, source=source.value, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def trace(
    prediction_id: Annotated[str, typer.Argument(help="As the service sent it.")], as_json: JsonOption = False
) -> None:
    """Walk from a prediction to its version, data, request and incident; exit 1 when nobody knows it."""
    wiring.configure_logging(quiet=True)
    from app import trace as command

    settings = wiring.load_settings()
    with plainly(settings):
        warehouse = wiring.open_warehouse(settings, patience=PATIENCE)
        code = command.command(warehouse, prediction_id, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def run(role: Annotated[Role, typer.Argument(help="Which stage of the flow.")]) -> None:
    """Run one role until SIGTERM; start as many of each as you like, Kafka shares the work out."""
    from app import roles

    roles.run(role.value)


owner.add_to(app)


def main() -> None:
    """Entry point of the ``driftline`` script: 1 is an answer (numbers differ, nobody knows it), 2 is no answer."""
    try:
        app()
    except SystemExit as error:
        if not isinstance(error.code, str):
            raise
        print(error.code, file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
