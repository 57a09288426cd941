"""``python -m benchmarks``: every measurement, one after the other, each a process of its own."""

import subprocess
import sys
import time
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
    given = ["--root", str(root), "--cache", str(cache), "--out", str(RESULTS)]
    given += ["--events", str(events)] if events else []
    given += ["--rounds", str(rounds)] if rounds else []
    failed = []
    for place, name in enumerate(wanted, 1):
        print(f"[{place}/{len(wanted)}] {name}", flush=True)
        began = time.monotonic()
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *given], check=False).returncode:
            failed.append(name)
        print(f"[{place}/{len(wanted)}] {name}: {time.monotonic() - began:.0f} s", flush=True)
    show(load())
    docs.write()
    if failed:
        raise SystemExit(f"without a result: {', '.join(failed)}; what they said is above")


if __name__ == "__main__":
    typer.run(main)
