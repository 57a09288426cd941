"""``python -m benchmarks``: everything side by side in one run; a table, and ``benchmarks/results.json``."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from app import wiring
from benchmarks import aggregate
from benchmarks.events import truth
from benchmarks.measure import Result, result, write
from benchmarks.world import World, world

HERE = Path(__file__).parent
PEERS = {"quix-streams": ("quix", "quix_decode.py", 10), "faust": ("faust", "faust_count.py", 100)}
"""Peer -> (its virtual environment, its script, the share of the topic that it gets is one in so many)."""


def main(
    events: Annotated[int, typer.Option(help="Events in the topic; published figures: 4,000,000.")] = 4_000_000,
    rounds: Annotated[int, typer.Option(help="Rounds of each measurement, of which the median counts.")] = 5,
    root: Annotated[Path, typer.Option(help="Folder of the topic, kept for the next run.")] = Path("var/bench"),
    cache: Annotated[Path, typer.Option(help="Folder of downloads.")] = Path("var/cache"),
    out: Annotated[Path, typer.Option(help="Where to write the results.")] = HERE / "results.json",
) -> None:
    """Measure stage 1 beside Quix Streams, Faust and a bare consumer with a typed decoder, on the same topic."""
    wiring.configure_logging(quiet=True)
    environments = {name: _environment(root, name) for name, _, _ in PEERS.values()}
    expected = truth(events)
    ours: list[aggregate.Round] = []
    peers: dict[str, list[float]] = {"decode": [], **{name: [] for name in PEERS}}
    with world(root, cache, events) as running:
        for number in range(1, rounds + 1):
            ours.append(aggregate.measure(running, expected))
            peers["decode"].append(_run([sys.executable, "-m", "benchmarks.peers.decode"], running, events))
            for name, (environment, script, share) in PEERS.items():
                command = [str(environments[environment]), str(HERE / "peers" / script)]
                peers[name].append(_run(command, running, max(1, events // share)))
            found = {name: f"{values[-1]:,.0f}" for name, values in peers.items()}
            print(f"round {number}: driftline {ours[-1].per_core:,.0f} events/s per core; {found}")
    write(_results(ours, peers), out, events=events, rounds=rounds)


def _results(ours: list[aggregate.Round], peers: dict[str, list[float]]) -> list[Result]:
    return [
        result("aggregate_json_raw", [r.per_core for r in ours], "events/s per core", peers),
        result("aggregate_json_raw_wall", [r.per_second for r in ours], "events/s", {}),
        result("aggregate_resident", [r.resident_mb for r in ours], "MB", {}),
        *(result(f"peer_{name}", values, "events/s per core", {}) for name, values in peers.items()),
    ]


def _environment(root: Path, name: str) -> Path:
    """A virtual environment of a peer's own, with the releases that its file names."""
    folder = root.resolve() / "venvs" / name
    wanted = HERE / "peers" / f"{name}.txt"
    python, mark = folder / "bin" / "python", folder / "installed"
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted.read_text(encoding="utf-8"):
        print(f"installing {name} into {folder}")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "-r", str(wanted)], check=True)
        mark.write_text(wanted.read_text(encoding="utf-8"), encoding="utf-8")
    return python


def _run(command: list[str], running: World, events: int) -> float:
    """Events per second of CPU that a peer says it did."""
    arguments = [running.settings.bootstrap_servers, running.settings.topic("predictions"), str(events)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return float(found["events"]) / float(found["cpu"])


if __name__ == "__main__":
    typer.run(main)
