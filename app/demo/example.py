"""A made-up table for ``init`` and ``replay``: ``python -m app.demo.example predictions.parquet``.

A subscription service predicts who will leave. Two things go wrong: from day 36 on the charges come in cents for three
days, and from day 46 on people leave for a reason that the model does not know.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray

START_MS = 1_709_251_200_000
"""2024-03-01T00:00:00Z."""

DAYS = 56
CENTS = range(36, 39)
"""Days on which ``monthly_charge`` is a hundred times too large."""

CHANGE = 46
"""Day from which on the probability of leaving is another than the model's."""

NOISE = ("visits", "messages", "downloads", "referrals", "discount", "distance_km", "household", "temperature")
_DAY_MS = 86_400_000


def table(rows: int, seed: int = 7) -> pa.Table:
    """Predictions of 16 features over :data:`DAYS` days, with labels that come one to three days later, or (7%) never.

    Args:
        rows: how many predictions, at least 1.
        seed: equal seeds give equal tables.
    """
    random = np.random.default_rng(seed)
    event_time = START_MS + np.sort(random.integers(0, DAYS * _DAY_MS, rows))
    day = (event_time - START_MS) // _DAY_MS
    tenure = random.gamma(2.0, 14.0, rows)
    charge = random.normal(62.0, 18.0, rows).clip(8.0, 160.0)
    calls = random.poisson(1.2, rows).astype(np.float64)
    age = random.normal(46.0, 15.0, rows).clip(18.0, 95.0)
    plan = random.choice(["basic", "family", "premium"], rows, p=[0.5, 0.3, 0.2])
    region = random.choice(["north", "south", "east", "west"], rows)
    device = random.choice(["android", "ios", "web", "tv"], rows, p=[0.4, 0.3, 0.2, 0.1])
    autopay = random.random(rows) < 0.6
    risk = -1.6 - 0.035 * tenure + 0.018 * (charge - 62) + 0.45 * calls - 0.5 * autopay + 0.3 * (plan == "basic")
    score = _sigmoid(risk)
    truth = np.where(day < CHANGE, score, _sigmoid(risk + 1.5 * (region == "south") + 0.9))
    left = random.random(rows) < truth
    delay = random.integers(_DAY_MS, 3 * _DAY_MS, rows)
    never = random.random(rows) < 0.07
    missing = random.random(rows) < 0.03
    columns = {
        "event_time": pa.array(event_time, pa.timestamp("ms", "UTC")),
        "prediction_id": pa.array([f"p{number:07d}" for number in range(rows)]),
        "version": pa.array(["2024-02"] * rows),
        "prediction": pa.array(np.where(score >= 0.5, "left", "stayed").tolist()),
        "score": pa.array(score),
        "latency_ms": pa.array(random.gamma(4.0, 3.0, rows)),
        "label": pa.array(np.where(left, "left", "stayed").tolist(), mask=never),
        "label_time": pa.array(event_time + delay, pa.timestamp("ms", "UTC"), mask=never),
        "tenure_months": pa.array(tenure),
        "monthly_charge": pa.array(np.where(np.isin(day, CENTS), charge * 100, charge)),
        "support_calls": pa.array(calls, mask=missing),
        "age": pa.array(age),
        "plan": pa.array(plan.tolist()),
        "region": pa.array(region.tolist()),
        "device": pa.array(device.tolist()),
        "autopay": pa.array(autopay),
    }
    for place, name in enumerate(NOISE):
        columns[name] = pa.array(random.normal(place + 1.0, 1.0 + place / 4, rows))
    return pa.table(columns)


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-values))


def main(
    path: Annotated[Path, typer.Argument(help="Parquet file to write.")],
    rows: Annotated[int, typer.Option(min=1, help="How many predictions.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal tables.")] = 7,
) -> None:
    """Write the example table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(rows, seed), path)


if __name__ == "__main__":
    typer.run(main)
