"""``driftline sql``: one query, as a table for people or as JSON lines for machines."""

import json
import sys
from typing import Any

from clickhouse_connect.driver.exceptions import DatabaseError
from rich.console import Console
from rich.table import Table

from warehouse.client import Warehouse


def _plain(value: Any) -> Any:
    """A value that JSON can hold: dates and decimals become text."""
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)


def run(warehouse: Warehouse, query: str, *, as_json: bool, write: bool) -> None:
    """Print the rows of a query.

    Args:
        warehouse: where.
        query: any statement of ClickHouse.
        as_json: one JSON object per row instead of a table.
        write: it may change data and settings.

    Raises:
        SystemExit: it would change something and may not.
    """
    try:
        result = warehouse.client.query(query, settings=None if write else {"readonly": 1})
    except DatabaseError as error:
        if write or "READONLY" not in str(error):
            raise
        raise SystemExit(
            f"{error}\nThis statement does more than read; if it shall: driftline sql --write ..."
        ) from None
    if as_json:
        for row in result.result_rows:
            json.dump(dict(zip(result.column_names, map(_plain, row), strict=True)), sys.stdout, default=str)
            sys.stdout.write("\n")
        return
    if not result.result_rows:
        print("0 rows")
        return
    table = Table(
        caption=f"{len(result.result_rows):,} row{'s' if len(result.result_rows) != 1 else ''}", caption_justify="left"
    )
    for name in result.column_names:
        table.add_column(name)
    for row in result.result_rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    # What is in the tables is data, and never markup.
    Console(markup=False, emoji=False).print(table)
