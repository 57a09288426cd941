"""``python -m benchmarks.check``: what a verdict costs, of a window and of a million rows, beside other tools."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer

from app.check.compare import codes, sketch_of
from benchmarks.measure import ROOT, Out, Root, Rounds, report, result
from benchmarks.window import window_seconds
from detectors import two_samples
from detectors.column import sketch_codes
from detectors.quality import RuleResult
from detectors.sketch import Floats, Ints, Sketch
from detectors.two_samples import CHANCE, Baseline, Judgement

HERE = Path(__file__).parent
PEERS = {"evidently": 3, "whylogs": 3, "nannyml": 5}
"""Peer -> rounds of it: some take half a minute."""

QUIET = {"NML_DISABLE_USAGE_LOGGING": "1", "WHYLOGS_NO_ANALYTICS": "True", "DO_NOT_TRACK": "1"}
"""Environment in which the peers tell nobody that they are used."""

NAMES = [f"x{place}" for place in range(7)]
CATEGORIES = {"c0": 5, "c1": 20, "c2": 200}
"""Column -> how many values it has."""

Columns = dict[str, Floats | Ints]


def main(
    rows: Annotated[
        int, typer.Option(min=1_000, help="Rows of each sample, of 7 numbers and 3 categories.")
    ] = 1_000_000,
    rounds: Rounds = 7,
    root: Root = ROOT,
    peers: Annotated[bool, typer.Option(help="Install and run the other tools, on the same rows.")] = True,
    out: Out = None,
) -> None:
    """Measure both, check that what moved is found, and print a table.

    Ours goes from numpy arrays (categories as codes, then as Python strings) to verdicts, on all cores. The reference's
    profile is made once, as in production; its time is a figure of its own. Peers get data frames and run as their
    documents say; what they prepare of the reference alone is left out where they can be asked so (whylogs, NannyML).
    Peers take two to five minutes, and as long again to install; all else half a minute.
    """
    before, after = samples(rows, seed=1), samples(rows, seed=2, moved=True)
    texts = {name: strings(after[name]) for name in CATEGORIES}
    found: dict[str, list[float]] = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        baselines = baselines_of(before, pool)
        for _ in range(rounds):
            _timed(found, "reference", lambda: baselines_of(before, pool))
            _moved(_timed(found, "codes", lambda: verdicts(baselines, after, pool)))
            _moved(_timed(found, "strings", lambda: verdicts(baselines, {**after, **texts}, pool)))
    rates = {name: [rows / seconds for seconds in values] for name, values in found.items()}
    theirs = _peers(root, before, after, rows) if peers else {}
    unit = "rows/s of 10 columns"
    windows = [1000 * seconds for seconds in window_seconds(rounds)]
    report(
        [
            result("check_codes", rates["codes"], unit, theirs, rows),
            result("check_strings", rates["strings"], unit, theirs, rows),
            result("check_reference", rates["reference"], unit, events=rows),
            result("check_window", windows, "ms of CPU"),
            *(result(f"check_peer_{name}", values, unit, events=rows) for name, values in theirs.items()),
        ],
        out,
    )


def samples(rows: int, seed: int, *, moved: bool = False) -> Columns:
    """Seven columns of numbers and three of codes; ``moved``: the first of each kind is another."""
    random = np.random.default_rng(seed)
    numbers = [random.lognormal(0, 0.5 + place / 7, rows) for place in range(len(NAMES))]
    if moved:
        numbers[0] = numbers[0] * 1.5
    found: Columns = dict(zip(NAMES, numbers, strict=True))
    for name, n in CATEGORIES.items():
        found[name] = np.minimum(random.geometric(3 / n, rows) - 1, n - 1)
    if moved:
        found["c0"] = (found["c0"] + random.integers(0, 2, rows)) % CATEGORIES["c0"]
    return found


def baselines_of(columns: Columns, pool: ThreadPoolExecutor) -> dict[str, Baseline]:
    """What each column was, with ten blocks."""
    blocks = np.arange(len(columns["x0"])) * 10 // len(columns["x0"])

    def one(name: str) -> Baseline:
        if name in NAMES:
            return two_samples.number(name, columns[name], blocks)
        return two_samples.categories(name, columns[name], blocks, [f"v{code}" for code in range(CATEGORIES[name])])

    return dict(zip(columns, pool.map(one, columns), strict=True))


def verdicts(baselines: dict[str, Baseline], columns: dict[str, Any], pool: ThreadPoolExecutor) -> set[str]:
    """Names of the columns that drifted, or broke a hard rule."""

    def one(name: str) -> bool:
        baseline, sketch = baselines[name], _sketch(baselines[name], columns[name])
        shifted = two_samples.shift(baseline, sketch, alpha=CHANCE / len(columns))
        rules = two_samples.rates(baseline, sketch).values()
        broken = any(isinstance(rule, RuleResult) and rule.violated for rule in rules)
        return broken or (isinstance(shifted, Judgement) and shifted.word == "drift")

    return {name for name, drifted in zip(columns, pool.map(one, columns), strict=True) if drifted}


def _sketch(baseline: Baseline, values: Any) -> Sketch:
    profile = baseline.profile
    if profile.kind == "number":
        return sketch_of(profile, pa.array(values))
    if values.dtype == object:
        return sketch_codes(codes(pa.array(values, pa.string()), profile.categories), len(profile.categories))
    return sketch_codes(values, len(profile.categories))


def _moved(found: set[str]) -> None:
    if found != {"x0", "c0"}:
        raise SystemExit(f"x0 and c0 have moved, and {', '.join(sorted(found)) or 'nothing'} was found")


def _timed(found: dict[str, list[float]], name: str, work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    done = work()
    found.setdefault(name, []).append(time.perf_counter() - began)
    return done


def strings(values: Floats | Ints) -> "np.ndarray[Any, np.dtype[np.object_]]":
    """Codes as Python strings."""
    names = np.array([f"v{code}" for code in range(int(values.max()) + 1)], dtype=object)
    return np.asarray(names[values.astype(np.int64)], dtype=object)


def _peers(root: Path, before: Columns, after: Columns, rows: int) -> dict[str, list[float]]:
    """Rows per second on the clock, of every peer that installs."""
    folder = root / "check"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, columns in (("reference", before), ("current", after)):
        files.append(folder / f"{name}.parquet")
        shown = {column: strings(values) if column in CATEGORIES else values for column, values in columns.items()}
        pq.write_table(pa.table(shown), files[-1])
    found = {}
    for name, rounds in PEERS.items():
        python = _environment(root, name)
        if python is None:
            continue
        command = [str(python), str(HERE / "peers" / f"{name}_check.py"), *map(str, files), str(rounds)]
        quiet = {**os.environ, **QUIET}
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800, env=quiet)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        found[name] = [rows / seconds for seconds in json.loads(done.stdout.splitlines()[-1])["seconds"]]
        print(f"{name}: {found[name][-1]:,.0f} rows/s")
    return found


def _environment(root: Path, name: str) -> Path | None:
    """A virtual environment of a peer's own, with the releases that its file names; None: it does not install here."""
    folder = root.resolve() / "venvs" / name
    wanted = HERE / "peers" / f"{name}.txt"
    python, mark = folder / "bin" / "python", folder / "installed"
    if not mark.exists() or mark.read_text(encoding="utf-8") != wanted.read_text(encoding="utf-8"):
        print(f"installing {name} into {folder}")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        installed = [str(python), "-m", "pip", "install", "--quiet", "-r", str(wanted)]
        if subprocess.run(installed, check=False).returncode:
            print(f"{name} does not install here: left out")
            return None
        mark.write_text(wanted.read_text(encoding="utf-8"), encoding="utf-8")
    return python


if __name__ == "__main__":
    typer.run(main)
