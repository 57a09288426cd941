"""Runs the trainer or the rollout of the environment's settings; ``DIE`` names the place where it kills itself."""

import logging
import os
import signal
import sys
import threading
from typing import Any

import structlog

from retrain import rollout, trainer, training
from retrain.decider import Decider
from retrain.store import Store
from schemas.settings import Settings
from warehouse.client import Warehouse

DIE = os.environ.pop("DIE", "")


def die(*_: Any, **__: Any) -> Any:
    """No chance to clean up."""
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run until SIGTERM, or die."""
    logging.basicConfig(level=logging.WARNING)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory())
    settings = Settings()
    if DIE == "mid-fit":
        training._converse = die
    elif DIE == "committed":
        trainer._Member._tell = die  # type: ignore[method-assign]
    elif DIE == "recorded":
        record = Decider._record

        def record_and_die(self: Decider, *given: Any) -> None:
            record(self, *given)
            if given[3].audit or given[3].baseline:
                die()

        Decider._record = record_and_die  # type: ignore[assignment, method-assign]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    warehouse = Warehouse.connect(
        settings.clickhouse_url, user="default", password="", database=settings.database, patience=30
    )
    stage = {"trainer": trainer.run, "rollout": rollout.run}[sys.argv[1]]
    stage(settings, warehouse, Store(settings.store), stop=stop)


if __name__ == "__main__":
    main()
