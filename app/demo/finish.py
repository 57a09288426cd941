"""The end of the demo: the counterfactuals, the summary, the injector's books, the decisions and the report."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from app import wiring
from app.demo import baselines, decisions, gate_check, model, report, summary
from app.demo import flights as data
from app.demo.injector import Injector, tally
from app.demo.service import FIRST_STEP, SEED, last_step
from app.demo.serving import RULE_OF_THUMB
from app.reconcile import read_models
from app.stack import Stack
from schemas.windows import from_ms, to_ms
from warehouse.client import Warehouse

_ROLLOUTS = """
SELECT at, body FROM rollouts FINAL WHERE namespace = {namespace:String} AND model = {model:String} ORDER BY at
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What the demo came to.

    Attributes:
        summary: ``summary.json``.
        differences: where the injector's books differ from it, or the gate errs too often, in words; empty is what must
            be.
        decisions: how many lines ``decisions.jsonl`` has.
        folder: where the files are.
    """

    summary: dict[str, Any]
    differences: list[str]
    decisions: int
    folder: Path


def finish(
    stack: Stack,
    counterfactual: "subprocess.Popen[bytes]",
    flights: data.Flights,
    until: date,
    *,
    wall_seconds: Callable[[], float],
) -> Result:
    """Write ``injected.json``, ``summary.json``, ``decisions.jsonl`` and the report into the stack's folder.

    Args:
        stack: still running; everything is decided.
        counterfactual: the process of :func:`app.demo.baselines.start_always_promote`.
        flights: the data.
        until: last day that flights departed on.
        wall_seconds: how long the demo has taken so far.
    """
    warehouse, folder = stack.warehouse, stack.root
    name = model.document().metadata
    baselines.finish(
        counterfactual,
        folder,
        warehouse=warehouse,
        store=wiring.open_store(stack.settings),
        flights=flights,
        namespace=name.namespace,
        model=name.name,
        until=until,
    )
    injected = books(warehouse, flights, until)
    (folder / "injected.json").write_text(json.dumps(injected, indent=2) + "\n", encoding="utf-8")
    since = from_ms(data.step_start(data.step_on(baselines.FIRST_DAY)))
    end = from_ms(data.step_start(data.step_on(until) + 1))
    found = summary.summarise(
        warehouse,
        since=since,
        until=end,
        wall_seconds=wall_seconds(),
        broker=f"Apache Kafka {stack.kafka.version}, one node",
    )
    spec = model.document().spec
    found |= gate_check.measured(warehouse, name.namespace, name.name, spec.gate, seed=SEED)
    summary.write_summary(found, folder / "summary.json")
    count = decisions.write_decisions(warehouse, name.namespace, name.name, folder / "decisions.jsonl")
    report.write_report(
        warehouse, name.namespace, name.name, found, folder, records=read_models(stack.settings), since=since, until=end
    )
    complaints = summary.compare(found, injected) + gate_check.complaints(found)
    return Result(found, complaints, count, folder)


def books(warehouse: Warehouse, flights: data.Flights, until: date) -> dict[str, Any]:
    """The injector's tally of the run, from the flights and the public record of who answered when."""
    name = model.document().metadata
    decided = [
        (to_ms(at), json.loads(body))
        for at, body in warehouse.rows(_ROLLOUTS, {"namespace": name.namespace, "model": name.name})
    ]

    def versions(step: int) -> list[str]:
        known = [record for at, record in decided if at <= data.step_start(step)]
        if not known or known[-1]["champion"] is None:
            return [RULE_OF_THUMB]
        return [route["version"] for route in (known[-1]["champion"], *known[-1]["shadows"])]

    return tally(flights, FIRST_STEP, last_step(until), versions, Injector(SEED))


def show(result: Result, console: Console) -> None:
    """Print the one table, and where the files are."""
    table = Table(title="A year of flights through the circle", show_header=False)
    for name, value in result.summary.items():
        if isinstance(value, dict):
            continue
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.4f}" if isinstance(value, float) else str(value)
        table.add_row(name, shown)
    table.add_row("agrees with the injector", "no, see below" if result.differences else "to the event")
    console.print(table)
    for name, what in (
        ("report.html", "the report"),
        ("report.png", "the same as one picture"),
        ("summary.json", "the table"),
        ("decisions.jsonl", f"{result.decisions} decisions, one a line"),
        ("injected.json", "the injector's books"),
    ):
        console.print(f"{result.folder / name}  {what}", highlight=False, soft_wrap=True)
