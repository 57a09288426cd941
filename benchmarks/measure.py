"""Repeated measurements, and the table and JSON that they become."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Result:
    """A median of several rounds.

    Attributes:
        value: the median.
        spread: (largest - smallest) / median.
        versus: peer -> ours divided by the peer's, of the same run.
    """

    name: str
    value: float
    unit: str
    spread: float
    versus: dict[str, float] = field(default_factory=dict)


def result(name: str, rounds: Sequence[float], unit: str, peers: Mapping[str, Sequence[float]]) -> Result:
    """Medians of our rounds against those of the peers."""
    value = statistics.median(rounds)
    return Result(
        name,
        value,
        unit,
        (max(rounds) - min(rounds)) / value,
        {peer: value / statistics.median(theirs) for peer, theirs in peers.items()},
    )


def machine() -> dict[str, str | int]:
    """What it was measured on."""
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cores": os.cpu_count() or 0,
        "cpu": cpu,
        "python": platform.python_version(),
        **{name: version(name) for name in ("confluent-kafka", "msgspec", "numpy", "chdb")},
    }


def write(results: Sequence[Result], path: Path, **about: object) -> None:
    """Print a table, and write the results with the machine that they are of."""
    table = Table(title=f"on {machine()['cores']} cores", title_justify="left")
    for heading in ("measurement", "median", "unit", "spread", "ours / peer"):
        table.add_column(heading, justify="left" if heading in ("measurement", "unit") else "right", no_wrap=True)
    for found in results:
        versus = ", ".join(f"{peer} x{ratio:.2f}" for peer, ratio in found.versus.items())
        table.add_row(found.name, f"{found.value:,.0f}", found.unit, f"{found.spread:.0%}", versus)
    Console(width=120).print(table)
    body = {"machine": machine(), **about, "results": [asdict(found) for found in results]}
    path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
