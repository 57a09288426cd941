"""``schemas/tables.py`` and the SQL migrations declare the same columns, of the same types, in the same order."""

import gc
import weakref
from datetime import UTC, datetime

import msgspec
import pytest
from clickhouse_connect.driver.client import Client

from schemas.partials import PartialMessage, SketchRow, Watermarks
from schemas.tables import PARTIAL_MESSAGES, PARTIALS, REDO, TABLES, Table
from warehouse.client import Warehouse
from warehouse.migrate import migrate, migrations

# What the database fills in itself is no column of an insert.
COLUMNS = """
SELECT name, type FROM system.columns
WHERE database = currentDatabase() AND table = {table:String} AND default_kind = '' ORDER BY position
"""

KEPT = [table for table in TABLES if table != PARTIAL_MESSAGES]


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    made = Warehouse(clickhouse, patience=30)
    migrate(made)
    return made


def test_declared_columns_are_the_migrated_ones(warehouse: Warehouse) -> None:
    for table in TABLES:
        migrated = warehouse.rows(COLUMNS, {"table": table.name})
        assert migrated == list(table.columns.items()), table.name


def test_every_migrated_table_is_declared(warehouse: Warehouse) -> None:
    found = warehouse.rows(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine NOT LIKE '%View'"
    )
    assert {name for (name,) in found} == {table.name for table in TABLES} | {"migrations"}


def test_everything_that_concerns_a_model_has_its_namespace_first_in_the_key(warehouse: Warehouse) -> None:
    keys = dict(
        warehouse.rows(
            "SELECT name, sorting_key FROM system.tables WHERE database = currentDatabase() AND engine NOT LIKE '%View'"
        )
    )
    for table in KEPT:
        if "model" in table.columns:
            assert keys[table.name].startswith("namespace, model"), table.name


def test_every_table_replaces_rows_by_identity(warehouse: Warehouse) -> None:
    engines = dict(warehouse.rows("SELECT name, engine FROM system.tables WHERE database = currentDatabase()"))
    assert {engines[table.name] for table in KEPT} == {"ReplacingMergeTree"}
    assert engines[PARTIAL_MESSAGES.name] == "Null"


def test_views_can_be_read_when_empty(warehouse: Warehouse) -> None:
    views = warehouse.rows("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View'")
    assert {name for (name,) in views} >= {"predictions", "outcomes", "served", "tallies", "metric_values", "audit_log"}
    for (name,) in views:
        assert warehouse.rows(f"SELECT * FROM {name}") == []  # noqa: S608


def test_migrating_again_changes_nothing(warehouse: Warehouse) -> None:
    assert migrate(warehouse) == []
    assert [name for name, _ in migrations()] == sorted(name for name, _ in migrations())


def test_an_insert_may_be_repeated(warehouse: Warehouse) -> None:
    audit = next(table for table in TABLES if table.name == "audit")
    row = [["demo", "delays", "request", "request-1", "", "1", 0, "{}"]]
    for _ in range(3):
        warehouse.insert(audit, row)
    assert warehouse.rows("SELECT count() FROM audit_log") == [(1,)]


def test_a_table_that_is_not_there_is_our_own_fault_and_fails_at_once(warehouse: Warehouse) -> None:
    with pytest.raises(Exception, match="UNKNOWN_TABLE"):
        warehouse.insert(Table("nowhere", {"a": "String"}), [["x"]])


def test_a_message_becomes_rows_of_partials(warehouse: Warehouse) -> None:
    at = 1_700_000_000_000
    sketch = SketchRow(2, "feature", "7", "land=de", at, "sum", 3, 1, 0, [-(2**80), 5], None, -0.5, [2**63, 0])
    tally = SketchRow(2, "tally", "", "", at, "predictions.counted", 3, 0, 0, [], None, None, [])
    message = PartialMessage("demo", 'de"lays\n', 3, 17, "owner", Watermarks(at, at), (1, 2), [sketch, tally])
    other = PartialMessage("demo", "other", 3, 17, "owner", Watermarks(at, at), (1, 2), [])
    for _ in range(2):
        warehouse.insert_json(PARTIAL_MESSAGES, [msgspec.json.encode(message), msgspec.json.encode(other)])
    columns = ", ".join(f"`{name}`" for name in PARTIALS.columns)
    names = {"window_start": datetime.fromtimestamp(at / 1000, UTC).replace(tzinfo=None), "partition": 3, "seq": 17}
    expected = [
        tuple(
            ({"namespace": "demo", "model": 'de"lays\n'} | msgspec.structs.asdict(row) | names)[name]
            for name in PARTIALS.columns
        )
        for row in (sketch, tally)
    ]
    assert warehouse.rows(f"SELECT {columns} FROM partials FINAL ORDER BY view") == expected  # noqa: S608
    assert warehouse.rows("SELECT count() FROM partial_messages") == [(0,)]


class Text(str):
    """One that can be watched."""

    __slots__ = ("__weakref__",)


@pytest.mark.parametrize("by_column", [False, True])
def test_what_was_inserted_is_let_go_at_once(warehouse: Warehouse, by_column: bool) -> None:
    """The client's context is a cycle, and cycles are looked for seldom: rows must not wait for that."""
    collects = gc.isenabled()
    gc.disable()
    try:
        text = Text("a redo record, which may be megabytes")
        watched = weakref.ref(text)
        if by_column:
            warehouse.insert_columns(REDO, [[0], [1], ["owner"], [text]])
        else:
            warehouse.insert(REDO, [(0, 1, "owner", text)])
        assert warehouse.rows("SELECT body FROM redo") == [(text,)]
        del text
        assert watched() is None
    finally:
        if collects:
            gc.enable()
