"""Runs the monitor of the environment's settings; ``DIE_BEFORE_TELLING=<at>`` kills it at that tick, row written.

``SLOW`` is how many seconds it spends on each message besides, and takes two at once. When it has left in order it says
how many messages it has worked off.
"""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Sequence
from typing import Any

import structlog

import bus.apps
from schemas.partials import PartialMessage
from schemas.settings import Settings
from streams.monitor import run
from streams.monitor.stage import Stage
from warehouse.client import Warehouse

DIE = os.environ.pop("DIE_BEFORE_TELLING", "")
SLOW = float(os.environ.pop("SLOW", "0"))


def main() -> None:
    """Run until SIGTERM, or die."""
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory())
    settings = Settings()
    tell, handle, handled = Stage._tell, Stage.handle, [0]

    async def count(self: Stage, messages: Sequence[PartialMessage]) -> None:
        await asyncio.sleep(SLOW * len(messages))
        await handle(self, messages)
        handled[0] += len(messages)

    async def die(self: Stage, report: Any) -> None:
        if DIE and report.at == int(DIE):
            os.kill(os.getpid(), signal.SIGKILL)
        await tell(self, report)

    if SLOW:
        bus.apps._MOST_TOGETHER = 2
    Stage._tell = die  # type: ignore[method-assign]
    Stage.handle = count  # type: ignore[method-assign]
    warehouse = Warehouse.connect(
        settings.clickhouse_url, user="default", password="", database=settings.database, patience=30
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(settings, warehouse, stop=stop)
    print(f"handled={handled[0]}", flush=True)  # noqa: T201  for the test


if __name__ == "__main__":
    main()
