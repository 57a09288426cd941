"""Repeated measurements, and the table and JSON that they become."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results.json"

# What every measurement can be told.
Events = Annotated[int, typer.Option(min=1_000, help="Events in the topic, or as the text above says.")]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds, of which the median counts; published figures: at least 5.")]
Root = Annotated[Path, typer.Option(help="Folder of the data; topics are kept there for the next run.")]
Cache = Annotated[Path, typer.Option(help="Folder of downloads.")]
Out = Annotated[Path | None, typer.Option(help="Also put the results into this JSON, in place of older ones.")]
ROOT, CACHE = Path("var/bench"), Path("var/cache")


@dataclass(frozen=True, slots=True)
class Result:
    """A median of several rounds.

    Attributes:
        value: the median.
        spread: (largest - smallest) / median, of the rounds.
        versus: peer -> ours divided by the peer's, of the same run.
        rounds: how many.
        events: how many events each round counted; 0 where that says nothing.
    """

    name: str
    value: float
    unit: str
    spread: float
    versus: dict[str, float] = field(default_factory=dict)
    rounds: int = 1
    events: int = 0


def result(
    name: str,
    rounds: Sequence[float],
    unit: str,
    peers: Mapping[str, Sequence[float]] | None = None,
    events: int = 0,
) -> Result:
    """Medians of our rounds against those of the peers."""
    value = statistics.median(rounds)
    return Result(
        name,
        value,
        unit,
        (max(rounds) - min(rounds)) / abs(value) if value else 0.0,
        {peer: value / statistics.median(theirs) for peer, theirs in (peers or {}).items()},
        len(rounds),
        events,
    )


@cache
def machine() -> dict[str, Any]:
    """What it was measured on: cores, processor, and versions of what counts."""
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cores": os.cpu_count() or 0,
        "cpu": cpu,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("confluent-kafka", "msgspec", "numpy", "pyarrow", "chdb")},
        },
    }


def load(path: Path = RESULTS) -> list[dict[str, Any]]:
    """Results as they were written; none where there is no file."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return found


def report(results: Sequence[Result], out: Path | None) -> None:
    """Print a table, and put the results, each with the machine that it is of, into a file, in order of name."""
    show([asdict(found) for found in results])
    if out is None:
        return
    of = {**machine(), "at": datetime.now(UTC).strftime("%Y-%m-%d")}
    found = {result["name"]: result for result in load(out)} | {r.name: {**asdict(r), **of} for r in results}
    out.write_text(json.dumps([found[name] for name in sorted(found)], indent=2) + "\n", encoding="utf-8")


def show(results: Sequence[Mapping[str, Any]]) -> None:
    """Print results as a table."""
    table = Table(title=f"on {machine()['cores']} cores", title_justify="left")
    for heading in ("measurement", "median", "unit", "spread", "ours / peer"):
        table.add_column(heading, justify="left" if heading in ("measurement", "unit") else "right", no_wrap=True)
    for found in results:
        versus = ", ".join(f"{peer} x{ratio:.2f}" for peer, ratio in found["versus"].items())
        table.add_row(found["name"], number(found["value"]), found["unit"], f"{found['spread']:.0%}", versus)
    Console(width=120).print(table)


def number(value: float) -> str:
    """A figure as people read it: three digits below a thousand, else whole."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
