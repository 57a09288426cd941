"""What all commands share: the ``--json`` option, patience with ClickHouse, and plain words for what servers say."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from app import wiring
from app.names import NotOne, NotThere
from schemas.settings import Settings

if TYPE_CHECKING:
    from warehouse.client import Warehouse

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")]

PATIENCE = 5.0
"""Seconds that a command waits for ClickHouse; a person is waiting too."""

_WHERE = "Addresses come from DRIFTLINE_* in the environment, or from a local stack: driftline --stack FOLDER ..."


@contextmanager
def plainly(settings: Settings) -> Iterator[None]:
    """Turn what a server or the network says into one line, without a traceback."""
    from clickhouse_connect.driver.exceptions import Error
    from confluent_kafka import KafkaException

    try:
        yield
    except Error as error:
        raise SystemExit(f"ClickHouse at {settings.clickhouse_url}: {error}\n{_WHERE}") from None
    except KafkaException as error:
        raise SystemExit(f"Kafka at {settings.bootstrap_servers}: {error}\n{_WHERE}") from None


@contextmanager
def warehouse() -> "Iterator[Warehouse]":
    """Settings, and ClickHouse as they say; what it answers with is said :func:`plainly`."""
    wiring.configure_logging(quiet=True)
    settings = wiring.load_settings()
    with plainly(settings):
        yield wiring.open_warehouse(settings, patience=PATIENCE)


@contextmanager
def answering() -> Iterator[None]:
    """An answer of no is exit code 1; a question that cannot be answered is 2, by the entry point."""
    try:
        yield
    except NotThere as error:
        print(error, file=sys.stderr)
        raise typer.Exit(1) from None
    except NotOne as error:
        raise SystemExit(str(error)) from None
