"""``python -m benchmarks``: every measurement, one after the other, each a process of its own."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import docs
from benchmarks.measure import CACHE, RESULTS, ROOT, Cache, Root, load, show

ALL = (
    "aggregate_json",
    "aggregate_json_raw",
    "aggregate_columnar",
    "join_cached",
    "join_clickhouse",
    "close_latency",
    "memory",
    "cost_per_model",
    "cost_per_window",
    "scaling",
    "recovery",
    "check",
)


def main(
    only: Annotated[str, typer.Option(help=f"Some of them, with commas between: {', '.join(ALL)}.")] = "",
    events: Annotated[int | None, typer.Option(help="Events of each, where it is not time that counts.")] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds of each; published figures: at least 5.")] = None,
    root: Root = ROOT,
    cache: Cache = CACHE,
) -> None:
    """Measure, write benchmarks/results.json after each measurement, and renew the tables of the documents.

    All of it takes about an hour on two cores, and wants a quiet machine and 25 GB of disk. What is not measured now
    keeps its last result. Each can be run alone, with more options: python -m benchmarks.NAME --help.
    """
    wanted = [name.strip() for name in only.split(",") if name.strip()] or list(ALL)
    if unknown := [name for name in wanted if name not in ALL]:
        raise SystemExit(f"no measurement named {', '.join(unknown)}; there are {', '.join(ALL)}")
    failed = []
    for place, name in enumerate(wanted, 1):
        print(f"[{place}/{len(wanted)}] {name}", flush=True)
        began = time.monotonic()
        if subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *_given(name, events, rounds, root, cache)], check=False
        ).returncode:
            failed.append(name)
        print(f"[{place}/{len(wanted)}] {name}: {time.monotonic() - began:.0f} s", flush=True)
    show(load())
    docs.write()
    if failed:
        raise SystemExit(f"without a result: {', '.join(failed)}; what they said is above")


def _given(name: str, events: int | None, rounds: int | None, root: Path, cache: Path) -> list[str]:
    """Options of one measurement; ``check`` counts rows and starts no broker."""
    given = ["--root", str(root), "--out", str(RESULTS)]
    given += [] if name == "check" else ["--cache", str(cache)]
    given += ["--rows" if name == "check" else "--events", str(events)] if events else []
    return given + (["--rounds", str(rounds)] if rounds else [])


if __name__ == "__main__":
    typer.run(main)
