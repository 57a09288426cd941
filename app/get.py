"""``driftline get``: what is declared, as a table, or as documents that ``driftline apply`` takes."""

import json
import sys
from dataclasses import asdict
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from app.collecting import not_judged, progress, reference_state
from bus.generations import Declared
from schemas.models import ModelRecord, TeamRecord
from schemas.partials import model_key
from schemas.windows import iso
from warehouse.client import Warehouse


class NotFound(Exception):
    """Nothing of that name is declared."""


def newest(declared: Declared, name: str | None, namespace: str | None) -> list[ModelRecord]:
    """The newest generation of every model, or of those of a name.

    Raises:
        NotFound: there is none of that name.
    """
    records = [declared.generations(*key.split("/", 1))[-1] for key in declared.models()]
    found = [record for record in records if _is(record.namespace, record.model, name, namespace)]
    if name is not None and not found:
        raise NotFound(f"model {name} is not declared; declared: {', '.join(declared.models()) or 'none'}")
    return found


def teams(known: dict[str, TeamRecord], name: str | None, namespace: str | None) -> list[TeamRecord]:
    """Every team, or those of a name.

    Raises:
        NotFound: there is none of that name.
    """
    found = [record for _, record in sorted(known.items()) if _is(record.namespace, record.team, name, namespace)]
    if name is not None and not found:
        raise NotFound(f"team {name} is not declared; declared: {', '.join(sorted(known)) or 'none'}")
    return found


def _is(namespace: str, own: str, name: str | None, wanted: str | None) -> bool:
    return name in (None, own, f"{namespace}/{own}") and wanted in (None, namespace)


def document(record: ModelRecord | TeamRecord) -> dict[str, Any]:
    """The document that a record was made of, all defaults filled in."""
    kind, name = ("Model", record.model) if isinstance(record, ModelRecord) else ("Team", record.team)
    return {
        "apiVersion": "driftline/v1",
        "kind": kind,
        "metadata": {"namespace": record.namespace, "name": name},
        "spec": record.parsed().model_dump(mode="json"),
    }


def state(warehouse: Warehouse, record: ModelRecord) -> dict[str, Any]:
    """What a machine wants to know of a model beside its document."""
    collecting = progress(warehouse, record)
    return {
        "generation": record.generation,
        "effective_from": record.effective_from,
        "state": "collecting" if collecting else "active",
        "reference": reference_state(warehouse, record),
        "collecting": collecting and asdict(collecting),
        "not_judged": not_judged(warehouse, record),
    }


def write(documents: list[dict[str, Any]], form: str) -> None:
    """Print documents as ``yaml`` (one after the other) or ``json`` (a list)."""
    if form == "json":
        json.dump(documents, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        yaml.safe_dump_all(documents, sys.stdout, sort_keys=False, allow_unicode=True, explicit_start=True)


def show_models(records: list[ModelRecord], warehouse: Warehouse, console: Console) -> None:
    """Print a line per model, and below what of a model pages nobody for want of data."""
    table = Table(box=None, pad_edge=False)
    for column in ("model", "team", "task", "features", "generation", "in effect", "reference"):
        table.add_column(column, justify="right" if column in ("features", "generation") else "left")
    for record in records:
        spec = record.parsed()
        table.add_row(
            model_key(record.namespace, record.model),
            spec.team,
            spec.task,
            str(len(spec.features)),
            str(record.generation),
            f"from {iso(record.effective_from)}" if record.effective_from else "always",
            reference_state(warehouse, record),
        )
    console.print(table if records else "no model is declared; driftline apply -f model.yaml declares one")
    for record in records:
        for gap in not_judged(warehouse, record):
            console.print(f"{model_key(record.namespace, record.model)}: {gap}", soft_wrap=True)


def show_teams(records: list[TeamRecord], console: Console) -> None:
    """Print a line per team."""
    table = Table(box=None, pad_edge=False)
    for column in ("team", "false alarm budget", "channels", "warnings"):
        table.add_column(column)
    for record in records:
        spec = record.parsed()
        name = f"{record.namespace}/{record.team}"
        table.add_row(name, spec.falseAlarmBudget, ", ".join(spec.channels) or "-", ", ".join(spec.warnings) or "-")
    console.print(table if records else "no team is declared; driftline apply -f team.yaml declares one")
