"""What expires and what never may: raw rows by the spec's raw.ttl, checkpoints all but the newest of each partition."""

from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from monitor_world import MODEL, NAMESPACE, record, stream
from monitor_world import store as store_messages

from schemas import tables
from schemas.partials import model_key
from streams.aggregate.assign import recorded_watermarks
from streams.monitor.generations import Generations
from streams.monitor.records import Records
from warehouse.client import Warehouse
from warehouse.migrate import migrate

START = 1_700_000_000_000


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    made = Warehouse(clickhouse, patience=30)
    migrate(made)
    return made


def age(warehouse: Warehouse, table: str, days: int) -> None:
    """Make all rows look as if they had come so many days ago, and let ClickHouse delete what has expired."""
    warehouse.command(
        f"ALTER TABLE {table} UPDATE written_at = now() - INTERVAL {days} DAY WHERE 1 SETTINGS mutations_sync = 2"
    )
    warehouse.command(f"OPTIMIZE TABLE {table} FINAL")


def ids(warehouse: Warehouse, table: str) -> list[str]:
    return [str(name) for (name,) in warehouse.rows(f"SELECT prediction_id FROM {table} ORDER BY prediction_id")]  # noqa: S608


def test_raw_rows_are_kept_as_long_as_their_spec_says(warehouse: Warehouse) -> None:
    def prediction(name: str, days: int) -> list[Any]:
        head = ["demo", "delays", name, "1", 0, 1, 0, START, START, "champion", "late", 0.5]
        return [*head, "{}", "{}", "{}", None, "counted", 1, 1, days]

    warehouse.insert(tables.RAW_PREDICTIONS, [prediction("short", 45), prediction("long", 400)])
    outcome = [0, 1, 0, START, START, "late", 1, None, "counted", 1]
    warehouse.insert(
        tables.RAW_OUTCOMES, [["demo", "delays", n, *outcome, d] for n, d in (("short", 45), ("long", 400))]
    )
    for table in ("raw_predictions", "raw_outcomes"):
        age(warehouse, table, 44)
        assert ids(warehouse, table) == ["long", "short"], "not yet"
        age(warehouse, table, 46)
        assert ids(warehouse, table) == ["long"], "the event time (2023) does not matter, only when a row came"
        age(warehouse, table, 401)
        assert ids(warehouse, table) == []


def test_dead_letters_expire(warehouse: Warehouse) -> None:
    values = {"topic": "predictions", "partition": 0, "offset": 1, "row": 0, "log_ts": START}
    warehouse.insert(tables.DEAD_LETTERS, [[values.get(name, "") for name in tables.DEAD_LETTERS.columns]])
    age(warehouse, "dead_letters", 89)
    assert warehouse.rows("SELECT count() FROM dead_letters") == [(1,)]
    age(warehouse, "dead_letters", 91)
    assert warehouse.rows("SELECT count() FROM dead_letters") == [(0,)]


def test_the_newest_checkpoint_of_a_quiet_partition_never_expires(warehouse: Warehouse) -> None:
    messages = [message for partition in stream(4) for message in partition]
    store_messages(warehouse, messages)
    watermarks = recorded_watermarks(warehouse)
    before = Records(warehouse, 2).rebuild(NAMESPACE, MODEL, Generations.of([record()]))
    # A partition's rows in another order, and told twice: the largest number stays.
    store_messages(warehouse, reversed(messages))
    age(warehouse, "checkpoints", 91)
    assert warehouse.rows("SELECT count() FROM checkpoints") == [(0,)]

    assert recorded_watermarks(warehouse) == watermarks
    assert {mark[model_key(NAMESPACE, MODEL)].predictions for mark in watermarks} == {
        messages[-1].watermarks.predictions
    }
    assert warehouse.rows("SELECT `partition`, seq FROM heads FINAL ORDER BY 1") == [(0, 8), (1, 8)]
    after = Records(warehouse, 2).rebuild(NAMESPACE, MODEL, Generations.of([record()]))
    assert after.monitor.held.watermark() == before.monitor.held.watermark(), "the clock goes on where it stopped"
