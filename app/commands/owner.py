"""``driftline validate | apply | get | delete | model register``: what an owner declares."""

import json
import sys
import time
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app import wiring
from app.commands.common import PATIENCE, JsonOption, plainly, warehouse
from app.commands.history import ColumnOption, ZoneOption

if TYPE_CHECKING:
    from app.documents import Document

FromOption = Annotated[
    datetime | None,
    typer.Option(
        "--from",
        help="Event time (UTC) from which a change takes effect; after everything counted. Default: the first window "
        "that starts after now + windows.future_skew, so that no window is cut in two.",
        formats=["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"],
    ),
]


class Kind(StrEnum):
    """What can be got and deleted, in the singular and plural, as kubectl takes both."""

    model = "model"
    models = "models"
    team = "team"
    teams = "teams"


class Form(StrEnum):
    """How ``get`` prints."""

    table = "table"
    yaml = "yaml"
    json = "json"


def validate(
    files: Annotated[list[Path], typer.Argument(help="YAML files, also of several documents; - is standard input.")],
    as_json: JsonOption = False,
) -> None:
    """Check documents without any server; exit 1 with every problem: file, line, path, value, what is valid."""
    from detectors.enough import foreseen
    from schemas.spec import Model

    documents = _read(files, as_json=as_json)
    if as_json:
        json.dump({"documents": [document.name for document in documents], "problems": []}, sys.stdout)
        sys.stdout.write("\n")
        return
    for document in documents:
        print(f"{document.file}:{document.line}: {document.name} is valid")
        if isinstance(document.resource, Model):
            spec = document.resource.spec
            for note in (*spec.notes(), *foreseen(spec)):
                print(f"  note: {note}")


def apply(
    files: Annotated[list[Path] | None, typer.Argument(help="YAML files; - is standard input.")] = None,
    file: Annotated[list[Path] | None, typer.Option("-f", "--file", help="The same, as kubectl says it.")] = None,
    start: FromOption = None,
    dry_run: Annotated[bool, typer.Option(help="Say what would change, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make models and teams what the documents say: created, configured or unchanged, and from when on.

    All documents are checked before the first is applied; exit 1 when one is wrong or cannot be applied.
    """
    wiring.configure_logging(quiet=True)
    documents = _read([*(files or []), *(file or [])], as_json=as_json)
    from dataclasses import asdict

    from app.declare import Owner, Refused
    from schemas.spec import Team
    from schemas.windows import to_ms

    settings = wiring.load_settings()
    with plainly(settings):
        house = wiring.prepare(settings, patience=PATIENCE)
        owner = Owner(settings, house, int(time.time() * 1000), dry_run=dry_run)
        # Teams first, so that a model beside its team is not told that it is unknown.
        for document in sorted(documents, key=lambda document: not isinstance(document.resource, Team)):
            resource = document.resource
            try:
                if isinstance(resource, Team):
                    applied = owner.team(resource)
                else:
                    applied = owner.model(resource, start=None if start is None else to_ms(utc(start)))
            except Refused as refused:
                print(f"{document.file}:{document.line}: {document.name}: {refused}", file=sys.stderr)
                raise typer.Exit(1) from None
            if as_json:
                print(json.dumps(asdict(applied) | {"dry_run": dry_run}))
            else:
                print(f"{applied}{'  (dry run)' if dry_run else ''}")


def get(
    kind: Annotated[Kind, typer.Argument(help="models or teams.")] = Kind.models,
    name: Annotated[str | None, typer.Argument(help="One of them; also as namespace/name.")] = None,
    namespace: Annotated[str | None, typer.Option("-n", "--namespace", help="Only of this namespace.")] = None,
    form: Annotated[
        Form, typer.Option("-o", "--output", help="yaml is what apply takes; json also says the state.")
    ] = Form.table,
) -> None:
    """Show what is declared, and what a model compares with: a reference, or how far it is with collecting one."""
    from rich.console import Console

    from app import get as command
    from bus.generations import read_declared
    from bus.teams import read_teams

    console = Console(markup=False, emoji=False)
    with warehouse() as house:
        settings = wiring.load_settings()
        try:
            if kind in (Kind.team, Kind.teams):
                teams = command.teams(read_teams(settings), name, namespace)
                if form is Form.table:
                    command.show_teams(teams, console)
                else:
                    command.write([command.document(team) for team in teams], form.value)
                return
            records = command.newest(read_declared(settings), name, namespace)
        except command.NotFound as missing:
            print(missing, file=sys.stderr)
            raise typer.Exit(1) from None
        if form is Form.table:
            command.show_models(records, house, console)
        elif form is Form.yaml:
            command.write([command.document(record) for record in records], form.value)
        else:
            states = [command.document(record) | {"status": command.state(house, record)} for record in records]
            command.write(states, form.value)


def delete(
    kind: Annotated[Kind, typer.Argument(help="model or team.")],
    name: Annotated[str, typer.Argument(help="Which; also as namespace/name.")],
    namespace: Annotated[str, typer.Option("-n", "--namespace", help="Where it is.")] = "default",
) -> None:
    """Delete what is declared.

    Of a model that is every generation: its later events are dead letters (unknown_model), its windows in flight are
    not closed, and an open incident is not resolved by events any more. What is counted stays in ClickHouse until its
    time to live; a model that is declared again under the name goes on with its clock and gets new generations.
    """
    wiring.configure_logging(quiet=True)
    from app.declare import Refused, delete_model, delete_team

    settings = wiring.load_settings()
    first, slash, second = name.partition("/")
    place = (first, second) if slash else (namespace, name)
    with plainly(settings):
        try:
            if kind in (Kind.team, Kind.teams):
                delete_team(settings, *place)
                print(f"team {'/'.join(place)} deleted")
                return
            generations = len(delete_model(settings, *place))
        except Refused as refused:
            print(refused, file=sys.stderr)
            raise typer.Exit(1) from None
    print(
        f"model {'/'.join(place)} deleted ({generations} generation{'s' if generations > 1 else ''}): its later events "
        "are dead letters (unknown_model); what is counted stays until its time to live"
    )


model_app = typer.Typer(help="Models that are trained elsewhere.", no_args_is_help=True)


@model_app.command()
def register(
    *,
    version: Annotated[str, typer.Option(help="Version that answered the rows, as the services send it.")],
    reference: Annotated[
        Path, typer.Option(help="Parquet or CSV: event_time, scores or predictions, features, label.")
    ],
    model: Annotated[str | None, typer.Option(help="A declared model, as name or namespace/name.")] = None,
    file: Annotated[Path | None, typer.Option("-f", "--file", help="Or its document, which is applied too.")] = None,
    column: ColumnOption = None,
    tz: ZoneOption = None,
    start: FromOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register a champion: the rows of a file become what its windows are compared with, as a new generation.

    Take rows that the model has not learned from: losses on its training data would make every later window look bad.
    """
    wiring.configure_logging(quiet=True)
    from dataclasses import asdict

    from app import register as command
    from app.declare import Owner, Refused
    from app.table import parse_columns
    from schemas.spec import Model
    from schemas.windows import to_ms

    if (model is None) == (file is None):
        raise SystemExit("name the model one way: --model NAME of a declared one, or -f model.yaml")
    documents = _read([file], as_json=as_json) if file is not None else []
    columns = parse_columns(column or [])
    settings = wiring.load_settings()
    with plainly(settings):
        house = wiring.prepare(settings, patience=PATIENCE)
        try:
            if model is not None:
                document = command.declared(settings, *command.place(model))
            else:
                found = [document.resource for document in documents if isinstance(document.resource, Model)]
                if len(found) != 1:
                    raise SystemExit(f"{file}: {len(found)} documents of kind Model; give a file with exactly one")
                (document,) = found
            owner = Owner(settings, house, int(time.time() * 1000))
            at = None if start is None else to_ms(utc(start))
            applied = command.register(
                owner, document, version=version, path=reference, columns=columns, timezone=tz, start=at
            )
        except Refused as refused:
            print(refused, file=sys.stderr)
            raise typer.Exit(1) from None
    print(json.dumps(asdict(applied)) if as_json else applied)


def add_to(app: typer.Typer) -> None:
    """Hang the commands into the ``driftline`` command."""
    app.add_typer(model_app, name="model")
    app.command()(validate)
    app.command()(apply)
    app.command()(get)
    app.command()(delete)


def _read(files: list[Path], *, as_json: bool) -> "list[Document]":
    """The documents of the files; ends the command with what is wrong with them."""
    from dataclasses import asdict

    from app.documents import Unreadable, read

    if not files:
        raise SystemExit("no file is named: driftline apply -f model.yaml, or - for standard input")
    try:
        documents, problems = read(files)
    except Unreadable as error:
        raise SystemExit(str(error)) from None
    if problems:
        if as_json:
            print(json.dumps({"documents": [], "problems": [asdict(problem) for problem in problems]}))
        else:
            print("\n".join(map(str, problems)), file=sys.stderr)
        raise typer.Exit(1)
    return documents


def utc(instant: datetime) -> datetime:
    """An instant of the command line, which is told in UTC."""
    from datetime import UTC

    return instant.replace(tzinfo=UTC)
