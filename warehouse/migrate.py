"""Bring a database to the tables and views of ``schemas/migrations``; safe to run by anybody, any number of times."""

from importlib.resources import files

import structlog

from warehouse.client import Warehouse

log = structlog.get_logger()


def statements(sql: str) -> list[str]:
    """The statements of a migration: text between semicolons at line ends, comment lines removed."""
    code = "\n".join(line for line in sql.splitlines() if not line.lstrip().startswith("--"))
    return [part.strip() for part in code.split(";\n") if part.strip().rstrip(";")]


def migrations() -> list[tuple[str, str]]:
    """(name, SQL) of every migration, in the order to apply them."""
    folder = files("schemas").joinpath("migrations")
    found = sorted((item.name, item) for item in folder.iterdir() if item.name.endswith(".sql"))
    return [(name, item.read_text(encoding="utf-8")) for name, item in found]


def migrate(warehouse: Warehouse) -> list[str]:
    """Apply what is missing and return the names of what was applied.

    A migration that was applied is never edited: its statements are not run again.
    """
    warehouse.command(
        "CREATE TABLE IF NOT EXISTS migrations (name String, applied_at DateTime DEFAULT now()) "
        "ENGINE = ReplacingMergeTree ORDER BY name"
    )
    done = {str(name) for (name,) in warehouse.rows("SELECT name FROM migrations")}
    applied = []
    for name, sql in migrations():
        if name not in done:
            warehouse.commands(statement.rstrip(";") for statement in statements(sql))
            warehouse.rows("SELECT 1")
            warehouse.client.insert("migrations", [[name]], column_names=["name"])
            applied.append(name)
    if applied:
        log.info("clickhouse.migrated", applied=applied)
    return applied
