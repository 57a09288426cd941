"""Runs the monitor of the environment's settings; ``DIE_BEFORE_TELLING=<at>`` kills it at that tick, row written."""

import logging
import os
import signal
import threading
from typing import Any

import structlog

from schemas.settings import Settings
from streams.monitor import run
from streams.monitor.stage import Stage
from warehouse.client import Warehouse

DIE = os.environ.pop("DIE_BEFORE_TELLING", "")


def main() -> None:
    """Run until SIGTERM, or die."""
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory())
    settings = Settings()
    tell = Stage._tell

    async def die(self: Stage, report: Any) -> None:
        if DIE and report.at == int(DIE):
            os.kill(os.getpid(), signal.SIGKILL)
        await tell(self, report)

    Stage._tell = die  # type: ignore[method-assign]
    warehouse = Warehouse.connect(
        settings.clickhouse_url, user="default", password="", database=settings.database, patience=30
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(settings, warehouse, stop=stop)


if __name__ == "__main__":
    main()
