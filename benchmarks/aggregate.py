"""Stage 1 on a topic that is full, beside its peers: events per second of CPU, from the first counted to the last."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from app import wiring
from benchmarks.events import DAY_MS, Shape, truth
from benchmarks.load import fill
from benchmarks.measure import Result, result
from benchmarks.stage import Round, Stage, stages
from benchmarks.world import World, world

SPAN = DAY_MS
"""Event time of a full topic."""

CHECKPOINT_SECONDS = 2.0
"""More often than by default, which costs: the clock runs from the first checkpoint, so that it begins early."""

PEERS = Path(__file__).parent / "peers"
_OWN = {"decode": "benchmarks.peers.decode", "consume": "benchmarks.peers.consume"}
_OTHERS = {"quix-streams": ("quix", "quix_decode.py", 10), "faust": ("faust", "faust_count.py", 100)}
"""Peer -> (its virtual environment, its script, the share of the topic that it gets is one in so many)."""

Fill = Callable[[World, Sequence[Shape], int, int], None]


def measure(
    name: str,
    models: Sequence[Shape],
    events: int,
    rounds: int,
    root: Path,
    cache: Path,
    *,
    filled: Fill = fill,
    peers: bool = True,
) -> list[Result]:
    """Count the whole topic from nothing, again and again, and let the peers have it too.

    Raises:
        SystemExit: the counts are not the truth.
    """
    wiring.configure_logging(quiet=True)
    pythons = {folder: _environment(root, folder) for folder, _, _ in _OTHERS.values()} if peers else {}
    expected = truth(models, events)
    ours: list[Round] = []
    theirs: dict[str, list[float]] = {peer: [] for peer in (*_OWN, *_OTHERS)} if peers else {}
    holds = {"name": name, "events": events, "models": [repr(shape) for shape in models]}
    with world(root / name, cache, holds, lambda found: filled(found, models, events, SPAN)) as running:
        for round_ in range(1, rounds + 1):
            counted = count(running)
            running.check(models, expected)
            # A message may hold many events, and progress records hold none.
            ours.append(replace(counted, events=counted.events * events / running.ends()))
            if peers:
                for peer, module in _OWN.items():
                    theirs[peer].append(_run([sys.executable, "-m", module], running, events))
                for peer, (folder, script, share) in _OTHERS.items():
                    command = [str(pythons[folder]), str(PEERS / script)]
                    theirs[peer].append(_run(command, running, max(1_000, events // share)))
            found = {peer: f"{values[-1]:,.0f}" for peer, values in theirs.items()}
            print(f"{name}, round {round_} of {rounds}: {ours[-1].per_core:,.0f} events/s per core; {found or ''}")
    unit = "events/s per core"
    named = {peer: theirs[peer] for peer in ("quix-streams", "faust", "decode") if peers}
    return [
        result(name, [r.per_core for r in ours], unit, named, events),
        result(f"{name}_wall", [r.per_second for r in ours], "events/s", events=events),
        result(f"{name}_resident", [r.resident / 2**20 for r in ours], "MB", events=events),
        *(result(f"peer_{peer}", values, unit) for peer, values in theirs.items()),
    ]


def count(running: World, processes: int = 1, beside: Sequence[str] = (), every: float = CHECKPOINT_SECONDS) -> Round:
    """Count what the topics hold, from nothing.

    Args:
        running: where they are.
        processes: of stage 1.
        beside: roles that run too.
        every: seconds between two checkpoints.

    Returns:
        What happened from the first checkpoint to the last; ``events`` are Kafka's messages.
    """
    running.forget()
    end = running.ends()
    stage = Stage(running, processes=processes, options={"DRIFTLINE_CHECKPOINT_SECONDS": str(every)})
    with stages(stage, *(Stage(running, role) for role in beside)):
        return stage.count(end)


def _environment(root: Path, name: str) -> Path:
    """A virtual environment of a peer's own, with the releases that its file names."""
    folder = root.resolve() / "venvs" / name
    wanted = PEERS / f"{name}.txt"
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
