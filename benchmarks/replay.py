"""``python -m benchmarks.replay``: how long ``driftline replay`` takes, all included (the start of Kafka too)."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import pyarrow.parquet as pq
import typer

from app.demo import example
from app.propose import document
from benchmarks.measure import machine


def main(
    rows: Annotated[int, typer.Option(help="Predictions in the table, of 16 features.")] = 200_000,
    cache: Annotated[Path, typer.Option(help="Folder of downloads.")] = Path("var/cache"),
) -> None:
    """Make the example table from its seed, replay it by itself, and print what that cost."""
    with tempfile.TemporaryDirectory() as folder:
        table, model = Path(folder) / "predictions.parquet", Path(folder) / "model.yaml"
        pq.write_table(example.table(rows), table)
        model.write_text(document(table, {}, ["region"])[0], encoding="utf-8")
        command = [sys.executable, "-m", "app.cli", "replay", str(table), "--model", str(model), "--json"]
        started = time.monotonic()
        ran = subprocess.run([*command, "--cache", str(cache)], capture_output=True, text=True, check=False)
        seconds = time.monotonic() - started
    if ran.returncode:
        raise SystemExit(ran.stderr)
    found, used = json.loads(ran.stdout), resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = used.ru_utime + used.ru_stime
    print(f"{rows:,} rows, {found['events']['sent']:,} events, {found['windows']['decided']} windows")
    print(f"{seconds:.1f} s on the clock, {rows / seconds:,.0f} rows/s")
    print(f"{busy:.1f} s of CPU time in all processes, on {machine()['cores']} cores ({machine()['cpu']})")


if __name__ == "__main__":
    typer.run(main)
