"""``driftline incidents``: list, show, acknowledge, silence."""

import getpass
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from app.commands.common import JsonOption, answering, warehouse
from app.names import NotOne
from schemas.windows import to_ms

if TYPE_CHECKING:
    from app.incidents import Entry
    from warehouse.client import Warehouse

app = typer.Typer(help="What is wrong, and what people do about it.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(help="Id of an incident, or its first characters.", metavar="ID")]
OptionalId = Annotated[str, typer.Argument(help="Id of an incident, or its first characters.", metavar="ID")]
ModelOption = Annotated[str, typer.Option("--model", help="namespace/model, or the name alone.", metavar="MODEL")]
ByOption = Annotated[str, typer.Option("--by", help="Who does it; you, unless said.", metavar="NAME")]
NoteOption = Annotated[str, typer.Option("--note", help="Why; shown with the incident.")]


@contextmanager
def _asking() -> "Iterator[Warehouse]":
    with warehouse() as found, answering():
        yield found


def _now() -> datetime:
    return datetime.now(UTC)


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Those that are resolved, too.")] = False,
    model: ModelOption = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many, the newest.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show open incidents, the worst first; with --all those of the past too."""
    with _asking() as found:
        from app import incidents as work

        key = work.find_model(found, model) if model else None
        listed = work.entries(found, everything=everything, model=key, limit=limit)
    if as_json:
        json.dump([work.listed(entry) for entry in listed], sys.stdout)
        sys.stdout.write("\n")
    elif not listed:
        print("no incidents" if everything else "no open incidents")
    else:
        for entry in listed:
            print(work.line(entry, to_ms(_now())))


@app.command()
def show(name: IdArgument, as_json: JsonOption = False) -> None:
    """Tell all about an incident: what moved, how sure, where, what it means, what was done, where to look."""
    with _asking() as found:
        from app import incidents as work

        entry = work.find(found, name)
        if as_json:
            json.dump(work.as_json(found, entry), sys.stdout)
            sys.stdout.write("\n")
        else:
            print(work.show(found, entry, to_ms(_now())))


@app.command()
def ack(name: IdArgument, by: ByOption = "", note: NoteOption = "") -> None:
    """Say that somebody is on it; it counts until the incident is resolved."""
    with _asking() as found:
        from app import incidents as work

        entry = work.find(found, name)
        by = by or getpass.getuser()
        work.act(found, entry, "ack", by=by, note=note, at=_now())
    print(f"{entry.id} acknowledged by {by}")


@app.command()
def silence(
    span: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d; at most 30d.", metavar="SPAN")],
    name: OptionalId = "",
    model: ModelOption = "",
    by: ByOption = "",
    note: NoteOption = "",
) -> None:
    """Ring nobody for an incident, or for any of a model, for a while; everything is still recorded."""
    with _asking() as found:
        from app import incidents as work

        target, shown = _target(found, name, model)
        at = _now()
        until = at + work.duration(span)
        work.act(found, target, "silence", by=by or getpass.getuser(), note=note, at=at, until=until)
    print(f"{shown} is silent until {work.minute(to_ms(until))}")


@app.command()
def unsilence(name: OptionalId = "", model: ModelOption = "", by: ByOption = "", note: NoteOption = "") -> None:
    """End the silence of an incident or of a model."""
    with _asking() as found:
        from app import incidents as work

        target, shown = _target(found, name, model)
        work.act(found, target, "unsilence", by=by or getpass.getuser(), note=note, at=_now())
        left = work.find(found, name) if name else None
    if left is not None and left.silenced(to_ms(_now())):
        print(f"{shown} stays silent until {work.minute(left.silenced_until or 0)}: its whole model is")
    else:
        print(f"{shown} is not silent any more")


def _target(found: "Warehouse", name: str, model: str) -> "tuple[Entry | tuple[str, str], str]":
    from app import incidents as work

    if bool(name) == bool(model):
        raise NotOne("name either an incident (its ID) or a model (--model MODEL)")
    if name:
        entry = work.find(found, name)
        return entry, entry.id
    key = work.find_model(found, model)
    return key, f"{key[0]}/{key[1]}"
