"""The place of an event is partition, offset and row: a database of before gets the column, and keeps what it has."""

from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from schemas.tables import DEAD_LETTER_REPLAYS, DEAD_LETTERS, RAW_OUTCOMES, RAW_PREDICTIONS, Table
from schemas.windows import from_ms
from warehouse.client import Warehouse
from warehouse.migrate import migrate, migrations, statements

AT = from_ms(1_357_000_000_000)
FILLED: dict[str, Any] = {"Nullable(Float64)": None, "Nullable(UInt8)": None, "Nullable(String)": None}


def stored(table: Table, **given: Any) -> list[Any]:
    """A row of a table: what is given, and something of each type for the rest."""

    def value(name: str, kind: str) -> Any:
        if name in given:
            return given[name]
        if kind.startswith("Date"):
            return AT
        if kind.startswith("Enum"):
            return "counted"
        return FILLED.get(kind, 0 if kind.startswith(("UInt", "Int")) else "x")

    return [value(name, kind) for name, kind in table.columns.items()]


def before(table: Table) -> Table:
    """The table as it was."""
    return Table(table.name, {name: kind for name, kind in table.columns.items() if name != "row"})


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    """A database that was made, and filled, before events had rows."""
    made = Warehouse(clickhouse, patience=30)
    made.command(
        "CREATE TABLE migrations (name String, applied_at DateTime DEFAULT now()) ENGINE = ReplacingMergeTree "
        "ORDER BY name"
    )
    for name, sql in migrations():
        if name < "0011":
            made.commands(statement.rstrip(";") for statement in statements(sql))
            made.client.insert("migrations", [[name]], column_names=["name"])
    for table in (RAW_PREDICTIONS, RAW_OUTCOMES, DEAD_LETTERS, DEAD_LETTER_REPLAYS):
        old = before(table)
        made.insert(old, [stored(old, offset=7, ttl_days=30_000)])
    return made


def test_rows_of_before_have_row_0_and_rows_of_a_batch_stay_apart(warehouse: Warehouse) -> None:
    assert migrate(warehouse)[0] == "0011_rows.sql"
    for table in (RAW_PREDICTIONS, RAW_OUTCOMES, DEAD_LETTERS, DEAD_LETTER_REPLAYS):
        for _ in range(2):
            warehouse.insert(table, [stored(table, offset=7, row=row, ttl_days=30_000) for row in (0, 1, 2)])
        warehouse.command(f"OPTIMIZE TABLE {table.name} FINAL")
        assert warehouse.rows(f"SELECT `offset`, `row` FROM {table.name} ORDER BY `row`") == [  # noqa: S608
            (7, 0),
            (7, 1),
            (7, 2),
        ], table.name
    assert warehouse.rows("SELECT `row`, replayed_at IS NULL FROM dead_letter_list ORDER BY `row`") == [
        (0, False),
        (1, False),
        (2, False),
    ]


def test_a_migration_that_was_cut_short_can_be_run_again(warehouse: Warehouse) -> None:
    rows = next(sql for name, sql in migrations() if name == "0011_rows.sql")
    first = statements(rows)[0]
    warehouse.command(first)
    assert migrate(warehouse)[0] == "0011_rows.sql"
    assert warehouse.rows("SELECT `offset`, `row` FROM predictions") == [(7, 0)]


def test_the_first_label_is_that_of_the_smaller_row(warehouse: Warehouse) -> None:
    migrate(warehouse)
    warehouse.insert(
        RAW_OUTCOMES,
        [
            stored(RAW_OUTCOMES, prediction_id="a", offset=9, row=row, label=label, verdict=verdict, ttl_days=30_000)
            for row, label, verdict in (
                (0, "first", "counted"),
                (1, "second", "correction"),
                (2, "third", "correction"),
            )
        ],
    )
    assert warehouse.rows("SELECT counted_label, later_label FROM label_corrections") == [("first", "third")]
