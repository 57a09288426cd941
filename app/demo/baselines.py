"""What would have happened otherwise, on the same flights: version 1 for ever, and promoting every month blindly.

*Frozen* is version 1 itself: the artifact that the circle served first scores every later flight. *Always promote* is
fitted on the first of each month, by the same code with the same parameters, on every label known by then, with no row
held out, no judge and no waiting; it needs the flights only, so it runs in a process of its own at low priority while
the demo streams. Both end in the table ``demo_baselines``, so that one SQL query compares them with what was served.
"""

import argparse
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.demo.flights import FEATURES, Flights, load, step_on, step_start
from retrain import fit
from retrain.store import Store
from schemas.spec import FeatureSpec
from schemas.tables import Table
from warehouse.client import Warehouse

FIRST_DAY = date(2013, 2, 1)
"""First day (New York) of the comparison; January trains version 1."""

PATIENCE_SECONDS = 300.0
"""How long :func:`finish` waits for the process that :func:`start_always_promote` started."""

BASELINES = Table(
    "demo_baselines",
    {
        "prediction_id": "String",
        "event_time": "DateTime64(3, 'UTC')",
        "frozen": "Float64",
        "always_promote": "Float64",
        "label": "Nullable(UInt8)",
    },
)

_OUT = "baselines.parquet"

_VERSION_1 = """
SELECT body FROM audit_log
WHERE namespace = {namespace:String} AND model = {model:String} AND kind = 'candidate' AND version = '1'
"""


class BaselineError(Exception):
    """The counterfactuals cannot be had; the message says why."""


def compared(flights: Flights, until: date) -> pa.Table:
    """The flights that are compared: departing from 1 February to ``until`` (inclusive, New York days)."""
    return _between(flights.table, step_start(step_on(FIRST_DAY)), step_start(step_on(until) + 1))


def always_promote(flights: Flights, until: date, *, seed: int = 7, threads: int = 1) -> pa.Table:
    """Scores of the model that is retrained on the first of each month and promoted whatever it is.

    Args:
        flights: all of them.
        until: last day (New York) to score.
        seed: of the fits, the spec's.
        threads: OpenMP threads.

    Returns:
        ``prediction_id`` and ``always_promote``, probability in [0, 1], in the order of :func:`compared`.
    """
    plan = fit.FeaturePlan.of(FeatureSpec(name=name, kind=kind) for name, kind in FEATURES.items())
    known = flights.table.rename_columns(["label" if c == "late" else c for c in flights.table.column_names])
    starts = [date(2013, month, 1) for month in range(FIRST_DAY.month, until.month + 1)]
    ends = [*starts[1:], date.fromordinal(until.toordinal() + 1)]
    parts = []
    for start, end in zip(starts, ends, strict=True):
        now = step_start(step_on(start))
        arrived = pc.less(known["arrival"].cast(pa.int64()), now)
        model = fit.fit(known.filter(arrived), plan, seed=seed, threads=threads)
        month = _between(flights.table, now, step_start(step_on(end)))
        parts.append(pa.table({"prediction_id": month["prediction_id"], "always_promote": fit.score(model, month)}))
    return pa.concat_tables(parts).combine_chunks()


def start_always_promote(root: Path, cache: Path, until: date) -> subprocess.Popen[bytes]:
    """Start :func:`always_promote` in a process of low priority; it writes ``baselines.parquet`` into ``root``."""
    root.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "app.demo.baselines", "--cache", str(cache), "--until", until.isoformat()]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with (root / "baselines.log").open("wb") as log:
        return subprocess.Popen(
            [*command, "--out", str(root / _OUT)], stdout=log, stderr=subprocess.STDOUT, env=os.environ | threads
        )


def finish(
    process: subprocess.Popen[bytes],
    root: Path,
    *,
    warehouse: Warehouse,
    store: Store,
    flights: Flights,
    namespace: str,
    model: str,
    until: date,
) -> int:
    """Wait for the process, score the frozen version, and fill the table ``demo_baselines``.

    Returns:
        How many flights were inserted.

    Raises:
        BaselineError: the process failed or never ended, or there is no version 1.
    """
    try:
        code = process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.wait()
        raise BaselineError(
            f"no counterfactual after {PATIENCE_SECONDS:g} s more; see {root / 'baselines.log'}"
        ) from error
    if code:
        raise BaselineError(f"the process of the counterfactual ended with code {code}; see {root / 'baselines.log'}")
    rows = compared(flights, until)
    scores = frozen(warehouse, store, namespace, model, rows)
    return insert(warehouse, rows, scores, pq.read_table(root / _OUT))


def frozen(warehouse: Warehouse, store: Store, namespace: str, model: str, rows: pa.Table) -> NDArray[np.float64]:
    """Scores of version 1's own artifact on the flights in ``rows``.

    Raises:
        BaselineError: when the audit log has no version 1.
    """
    found = warehouse.rows(_VERSION_1, {"namespace": namespace, "model": model})
    if not found:
        raise BaselineError(f"the audit log has no candidate 1 of {namespace}/{model}: it never got a first version")
    artifact = json.loads(found[0][0])["artifact"]
    return fit.score(fit.load_model(store.get(artifact)), rows)


def insert(warehouse: Warehouse, rows: pa.Table, frozen_scores: NDArray[np.float64], always: pa.Table) -> int:
    """Make the table ``demo_baselines`` anew and fill it.

    Args:
        warehouse: the demo's database.
        rows: of :func:`compared`.
        frozen_scores: one per row.
        always: of :func:`always_promote`, the same flights in the same order.

    Raises:
        BaselineError: the two are not about the same flights.
    """
    if not rows["prediction_id"].equals(always["prediction_id"]):
        raise BaselineError(f"{len(rows):,} flights are compared, the counterfactual scored {len(always):,} others")
    columns = ", ".join(f"{name} {kind}" for name, kind in BASELINES.columns.items())
    warehouse.command(f"DROP TABLE IF EXISTS {BASELINES.name}")
    warehouse.command(f"CREATE TABLE {BASELINES.name} ({columns}) ENGINE = MergeTree ORDER BY prediction_id")
    labels = [None if late is None else int(late) for late in rows["late"].to_pylist()]
    warehouse.insert_columns(
        BASELINES,
        [
            rows["prediction_id"].to_pylist(),
            rows["departure"].to_pylist(),
            frozen_scores.tolist(),
            always["always_promote"].to_pylist(),
            labels,
        ],
    )
    return len(rows)


def _between(table: pa.Table, start: int, end: int) -> pa.Table:
    departure = table["departure"].cast(pa.int64())
    return table.filter(pc.and_(pc.greater_equal(departure, start), pc.less(departure, end)))


def main() -> None:
    """``python -m app.demo.baselines``: write the counterfactual of "always promote" as Parquet."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--cache", type=Path, required=True, help="folder of the parsed flights")
    parser.add_argument("--until", type=date.fromisoformat, required=True, help="last day to score, YYYY-MM-DD")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    given = parser.parse_args()
    os.nice(15)
    partial = given.out.with_suffix(".partial")
    pq.write_table(always_promote(load(given.cache), given.until), partial)
    partial.replace(given.out)


if __name__ == "__main__":
    main()
