"""``driftline advice``: river's word on the windows that ClickHouse has, of the version that served; it repeats."""

import json

import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner, Result
from web_world import DAYS, NAMESPACE, PER_DAY, PROMOTED, SICK, WELL, build, day

from app.cli import app
from detectors.advisory import DETECTORS, advise
from schemas import tables
from schemas.windows import to_ms
from warehouse.client import Warehouse
from warehouse.migrate import migrate

LOSSES = np.random.default_rng(3).normal(0.4, 0.01, DAYS)
LOSSES[30:] += 0.2


@pytest.fixture
def warehouse(clickhouse: Client, clickhouse_url: str, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """Eight weeks of two models; the labelled loss of one rises, while a shadow's stays low; one window has none."""
    found = Warehouse(clickhouse, patience=30)
    migrate(found)
    monkeypatch.setenv("DRIFTLINE_CLICKHOUSE_URL", clickhouse_url)
    monkeypatch.setenv("DRIFTLINE_DATABASE", str(clickhouse.database))
    monkeypatch.setenv("COLUMNS", "200")
    build(found)
    rows = []
    for number, loss in enumerate(LOSSES.tolist()):
        served, other = ("2", "1") if number >= PROMOTED else ("1", "2")
        for version, value in ((served, loss), (other, -5.0)):
            head = [NAMESPACE, SICK, 1, day(number), "tested", version, "", "", "log_loss"]
            rows.append([*head, None if number == 10 else value, PER_DAY, 1.0, 0])
    found.insert(tables.METRICS, rows)
    return found


def driftline(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["advice", *arguments])


def test_advice_is_rivers_on_the_windows_of_whoever_served(warehouse: Warehouse) -> None:
    assert warehouse is not None
    told = json.loads(driftline(SICK, "--json").stdout)
    assert (told["namespace"], told["model"]) == (NAMESPACE, SICK)
    quantities = {one["quantity"]: one for one in told["quantities"]}
    assert set(quantities) == {"labelled.log_loss", *(f"feature.{n}.mean" for n in ("temp", "humidity", "wind_speed"))}
    starts = [to_ms(day(number)) for number in range(DAYS) if number != 10]
    expected = {one.detector: [starts[place] for place in one.drifts] for one in advise(np.delete(LOSSES, 10))}
    assert quantities["labelled.log_loss"] == {
        "quantity": "labelled.log_loss", "windows": DAYS - 1, "drifts": expected
    }  # fmt: skip
    assert expected["pagehinkley"]
    assert quantities["feature.temp.mean"]["drifts"] == {name: [] for name in DETECTORS}
    assert json.loads(driftline(f"{NAMESPACE}/{SICK}", "--json").stdout) == told


def test_a_person_reads_a_line_per_quantity_and_that_nobody_is_paged(warehouse: Warehouse) -> None:
    assert warehouse is not None
    told = driftline(SICK)
    assert told.exit_code == 0, told.output
    (loss,) = (line for line in told.stdout.splitlines() if line.startswith("labelled.log_loss"))
    assert "2013-04-" in loss
    assert "pages nobody" in told.stdout
    # The other model has no labelled loss, and its features stand still.
    assert "labelled" not in driftline(WELL).stdout


def test_nobody_knows_the_model(warehouse: Warehouse) -> None:
    assert warehouse is not None
    told = driftline("nobody")
    assert told.exit_code == 1
    assert "known: demo/baggage-time, demo/flight-delay" in told.stderr
