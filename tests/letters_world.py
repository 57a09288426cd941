"""Stage 1 beside a test, and the commands for its dead letters."""

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from threads import running
from typer.testing import CliRunner

from app.cli import app
from schemas.settings import Settings
from streams import aggregate
from warehouse.client import Warehouse


def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    """Look until it is so."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {done.__qualname__}")
        time.sleep(0.02)


def counting(settings: Settings, warehouse: Warehouse) -> AbstractContextManager[object]:
    """Stage 1, until the block ends; what it raises is raised here."""
    return running(
        lambda stop: aggregate.run(
            settings,
            warehouse,
            now=time.monotonic,
            owner_id=lambda: f"{id(stop)}-{time.monotonic()}",
            stop=stop,
        )
    )


def driftline(*arguments: str) -> tuple[int, Any]:
    """Exit code and JSON of ``driftline dead-letters``."""
    found = CliRunner().invoke(app, ["dead-letters", *arguments, "--json"])
    return found.exit_code, json.loads(found.stdout)
