"""``driftline reference show``: what a file of normal rows may claim."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from app.cli import app

DAYS, HOURLY = 28, 300
START_MS = 1_704_067_200_000
"""2024-01-01, a Monday."""

MODEL = """
apiVersion: driftline/v1
kind: Model
metadata: {namespace: shop, name: churn}
spec:
  task: binary
  positive_class: "yes"
  features:
    - {name: steady, kind: number}
    - {name: daily, kind: number}
    - {name: weather, kind: number}
    - {name: plan, kind: string}
    - {name: constant, kind: number}
  windows: {width: PT1H}
  retraining: {enabled: false}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four weeks of 300 rows an hour: nothing is wrong, but not every feature is one for a fixed reference."""
    where = tmp_path_factory.mktemp("reference")
    rng = np.random.default_rng(8)
    hours = np.repeat(np.arange(DAYS * 24), HOURLY)
    n = len(hours)
    columns: dict[str, Any] = {
        "event_time": pa.array(START_MS + hours * 3_600_000 + rng.integers(0, 3_600_000, n), pa.timestamp("ms", "UTC")),
        "steady": rng.normal(size=n),
        "daily": rng.normal(size=n) + 0.4 * np.sin(2 * np.pi * (hours % 24) / 24),
        "weather": rng.normal(size=DAYS * 24)[hours],  # one value for all rows of an hour
        "plan": rng.choice(["basic", "plus", "pro"], n, p=[0.6, 0.3, 0.1]),
        "constant": np.ones(n),
        "score": rng.beta(2, 5, n),
    }
    columns["label"] = np.where(rng.random(n) < columns["score"], "yes", "no")
    pq.write_table(pa.table(columns), where / "reference.parquet")
    (where / "model.yaml").write_text(MODEL)
    return where


def run(folder: Path, *options: str, file: str = "reference.parquet") -> Result:
    command = ["reference", "show", str(folder / file), "--model", str(folder / "model.yaml"), *options]
    return CliRunner().invoke(app, command)


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, dict[str, Any]]:
    result = run(folder, "--json")
    assert result.exit_code == 0, result.output
    return {one["stream"]: one for one in json.loads(result.stdout)}


def test_rows_that_are_independent_keep_the_budget(found: dict[str, dict[str, Any]]) -> None:
    for name in ("loss", "estimate", "score", "feature.steady", "feature.plan", "feature.constant"):
        one = found[name]
        assert (one["claim"], one["reference"]) == ("within budget on held-out reference", "fixed"), one
        assert (one["windows"], one["blocks"], one["rows"]) == (DAYS * 24, DAYS, HOURLY)
        assert one["reached"] < one["threshold"]
        assert one["effective_rows"] > 200


def test_a_season_gets_slots_that_leave_weeks_out(found: dict[str, dict[str, Any]]) -> None:
    assert (found["feature.daily"]["reference"], found["feature.daily"]["blocks"]) == ("seasonal slots", 4)
    assert found["feature.daily"]["effective_rows"] > 100


def test_an_hour_of_one_value_is_worth_a_row_and_never_pages(found: dict[str, dict[str, Any]]) -> None:
    weather = found["feature.weather"]
    assert (weather["claim"], weather["threshold"]) == ("not enough data", None)
    assert weather["effective_rows"] == pytest.approx(1, abs=0.3)
    assert weather["reason"].startswith("structurally variable: a window of 300 rows is worth 1 independent ones")


def test_a_larger_budget_lowers_the_threshold(folder: Path, found: dict[str, dict[str, Any]]) -> None:
    more = json.loads(run(folder, "--json", "--pages", "10").stdout)[0]
    assert more["threshold"] == pytest.approx(found["loss"]["threshold"] / 10)


def test_two_days_are_not_enough(folder: Path) -> None:
    short = pq.read_table(folder / "reference.parquet").slice(0, 48 * HOURLY)
    pq.write_table(short, folder / "short.parquet")
    for one in json.loads(run(folder, "--json", file="short.parquet").stdout):
        assert one["claim"] == "not enough data"
        assert "2 days" in one["reason"]


def test_a_person_reads_a_table(folder: Path) -> None:
    result = run(folder)
    assert result.exit_code == 0
    said = " ".join(result.stdout.split())
    assert "feature.weather: structurally variable: a window of 300 rows is worth 1 independent ones" in said
    assert "feature.steady:" not in said


def test_no_budget_is_refused(folder: Path) -> None:
    result = run(folder, "--pages", "0")
    assert result.exit_code != 0
    assert "above 0" in result.output
