"""``driftline status`` fits on one screen of 80 columns and says what is wrong first."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace

import monitor_world as world
import pytest
from clickhouse_connect.driver.client import Client
from rich.console import Console

from app import overview
from app.incidents import Entry
from app.overview import Line
from schemas.ids import canonical_json
from schemas.lifecycle import Rollout, Route
from schemas.tables import INCIDENTS, ROLLOUTS
from streams.incidents import row
from streams.monitor.core import ModelMonitor
from streams.monitor.generations import Generations
from streams.monitor.held import Held
from streams.monitor.records import Records
from streams.notify.deadman import DeadMan
from warehouse.client import Warehouse
from warehouse.migrate import migrate

AT = world.START + 11 * world.DAY
NOW = AT
LAG = {("driftline.predictions", 0): 1200, ("driftline.predictions", 1): 34, ("driftline.outcomes", 0): 0}


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    """Eleven days of a model with an open incident, whose decisions are one day behind."""
    found = Warehouse(clickhouse, patience=30)
    migrate(found)
    generations, records = Generations.of([world.record()]), Records(found, 2)
    monitor = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2))
    messages = world.in_turn(world.stream(11, faults=world.Faults(slow=[8], bad=[7, 8])))
    world.store(found, messages)
    for message in messages:
        monitor.apply(message)
        while (start := monitor.due(generations)) is not None:
            records.write([monitor.tick(start, generations)])
    rollout = Rollout("default", "flights", AT - world.DAY, "steady", Route("1", "x"), [], "")
    found.insert(ROLLOUTS, [["default", "flights", AT - world.DAY, canonical_json(rollout).decode(), "{}"]])
    return found


def screen(lines: list[Line], lag: overview.Lag, *, model: bool = False, beside: Sequence[Entry] = ()) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=80, highlight=False)
    if model:
        overview.show_model(lines[0], lag, console, NOW)
    else:
        overview.show(lines, lag, console, NOW, beside)
    return [row.rstrip() for row in out.getvalue().splitlines()]


def test_one_line_a_model_then_what_is_wrong_then_the_lag(warehouse: Warehouse) -> None:
    (line,) = overview.lines(warehouse)
    rows = screen([line], LAG)
    loss = f"{line.tested['loss']:.3f}"
    assert rows[0].split() == ["MODEL", "SERVES", "ENDED", "(UTC)", "ROWS", "LABELS", "LOSS", "OPEN"]
    assert rows[1].split() == ["default/flights", "1", "10-08", "00:00", "160", "88%", loss, "usual", "1", "crit"]
    assert rows[2] == "default/flights: decided through 1972-10-07 00:00Z, waiting for the trainer"
    assert "critical  default/flights, since 1972-10-06 00:00Z" in rows[4]
    assert rows[-1] == "1,234 records are not counted yet: 1,234 of driftline.predictions"
    assert max(len(row) for row in rows[:4]) <= 80
    assert len(rows) <= 24


def test_ten_models_with_long_names_still_fit(warehouse: Warehouse) -> None:
    (line,) = overview.lines(warehouse)
    warned = [replace(entry, severity="warning") for entry in line.open]
    status = replace(line.status, model="a-model-with-a-long-name", decided_through=line.status.reported_through)
    tested = line.tested | {"verdict": "outside", "loss": 12.3456}
    long = replace(line, status=status, tested=tested, counted=1_234_567_890, open=[*line.open, *warned])
    rows = screen([long] * 10, {})[:11]
    assert all(len(row) <= 80 for row in rows)
    assert all(row.endswith("1235M    88%  12.346 worse 1 crit 1 warn") for row in rows[1:]), rows[1]


def test_nothing_is_said_of_a_lag_that_is_not_there(warehouse: Warehouse) -> None:
    assert "not counted yet" not in "\n".join(screen(overview.lines(warehouse), dict.fromkeys(LAG, 0)))


def test_one_model_in_detail(warehouse: Warehouse) -> None:
    text = "\n".join(screen(overview.lines(warehouse), LAG, model=True))
    assert "1 (steady)" in text
    assert "140 of 160 (88%)" in text
    assert "0.4571 to 0.6394: inside" in text
    assert "predicts worse than usual" in text
    assert "not enough data; budget 1 a month" in text
    assert "lag of driftline.predictions  1,234 records" in text


def test_a_machine_reads_the_fields_that_it_always_had(warehouse: Warehouse) -> None:
    found = json.loads(json.dumps(overview.as_json(overview.lines(warehouse), LAG)))
    (model,) = found["models"]
    assert model["decided_through"] == AT - world.DAY
    assert model["incident"].startswith("incident-")
    assert model["counted"] == 160
    assert model["tested"]["verdict"] == "inside"
    assert [entry["severity"] for entry in model["open"]] == ["critical"]
    assert found["lag"][0] == {"topic": "driftline.predictions", "partition": 0, "records": 1200}


def test_an_empty_installation_says_so(clickhouse: Client) -> None:
    empty = Warehouse(clickhouse, patience=30)
    migrate(empty)
    assert "no model has been counted yet" in screen(overview.lines(empty), {})[0]


def test_what_concerns_the_whole_installation_is_shown_with_or_without_models(
    clickhouse: Client, warehouse: Warehouse
) -> None:
    stalled = DeadMan(1).tick(NOW, through=NOW, clickhouse_away_since=NOW - 600_000, lasting=[])
    assert [(incident.namespace, incident.model) for incident in stalled] == [("*", "*")]
    warehouse.insert(INCIDENTS, [row(incident, NOW) for incident in stalled])
    lines = overview.lines(warehouse)
    beside = overview.others(warehouse, lines)
    assert [entry.model for entry in beside] == ["*"]
    rows = screen(lines, {}, beside=beside)
    assert "ClickHouse has not answered for 10 min" in "\n".join(rows)
    assert "predicts worse than usual" in "\n".join(rows)
    assert "critical  the installation, since" in screen([], {}, beside=beside)[1]
    assert [entry["model"] for entry in overview.as_json(lines, {}, beside)["open_beside"]] == ["*"]


def test_a_producer_with_another_partitioner_is_noticed(warehouse: Warehouse) -> None:
    (line,) = overview.lines(warehouse)
    tallies = line.status.last_window | {"predictions.misrouted": 1_200, "outcomes.misrouted": 34}
    found = replace(line, status=replace(line.status, last_window=tallies))
    (row,) = [row for row in screen([found], {}) if "partition" in row]
    assert row.endswith(": 1,234 events of the last window came in the wrong partition (docs/quickstart.md, keys)")
    assert "predictions.misrouted" in " ".join(screen([found], {}, model=True))
