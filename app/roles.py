"""The roles of a running installation: each is one process that ``driftline run ROLE`` starts.

Imports happen inside the roles: a process pays for what it uses only.
"""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog

from app import wiring
from app.supervisor import end_with_supervisor
from schemas.settings import Settings

log = structlog.get_logger()

_PAGE_PATIENCE = 3.0
"""Seconds that a page waits for ClickHouse; a person is waiting too."""


def _until_told() -> threading.Event:
    """An event that SIGTERM and SIGINT set, so that a role can finish its batch and leave in order."""
    stop = threading.Event()

    def tell(_number: int, _frame: Any) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, tell)
    return stop


def aggregate(settings: Settings) -> None:
    """Stage 1: decode, validate, dedupe, join and sketch events, in numbered checkpoints."""
    import os
    import uuid

    from streams import aggregate as stage

    stop = _until_told()
    warehouse = wiring.prepare(settings)

    def owner_id() -> str:
        # Tells one assignment's checkpoints from another's; never part of a result.
        return f"{os.getpid()}-{uuid.uuid4().hex}"

    stage.run(settings, warehouse, now=time.monotonic, owner_id=owner_id, stop=stop)


def monitor(settings: Settings) -> None:
    """Stage 2: merge partials, close windows, test, decide, report."""
    from streams import monitor as stage

    stage.run(settings, wiring.prepare(settings))


def trainer(settings: Settings) -> None:
    """Stage 3: answer retraining requests with candidates."""
    from retrain import trainer as stage

    stop = _until_told()
    stage.run(settings, wiring.prepare(settings), wiring.open_store(settings), stop=stop)


def rollout(settings: Settings) -> None:
    """Stage 4: judge, shadow, promote, guard, roll back."""
    from retrain import rollout as stage

    stop = _until_told()
    stage.run(settings, wiring.prepare(settings), wiring.open_store(settings), stop=stop)


def web(settings: Settings) -> None:
    """The read-only page: models, who serves, last windows, open incidents."""
    from app.web import server

    server.run(settings, wiring.open_warehouse(settings, patience=_PAGE_PATIENCE))


def ingest(settings: Settings) -> None:
    """Translate customers' own topics into driftline's events, by the ``source:`` of the models."""
    import uuid

    from streams import ingest as stage

    stop = _until_told()
    # Names a producer's transactions; never part of a result.
    stage.run(settings, wiring.prepare(settings), producer_id=lambda: uuid.uuid4().hex, stop=stop)


def notify(settings: Settings) -> None:
    """Tell people of incidents, and of what has stopped without a word; works while ClickHouse is away."""
    from streams import notify as stage

    stop = _until_told()
    wiring.ensure_topics(settings)
    stage.run(settings, connect=lambda: wiring.prepare_warehouse(settings, patience=1.0), now=time.time, stop=stop)


ROLES: dict[str, Callable[[Settings], None]] = {
    role.__name__: role for role in (aggregate, monitor, trainer, rollout, ingest, web, notify)
}


def run(name: str) -> None:
    """Run one role until it is told to stop.

    Args:
        name: a key of :data:`ROLES`.
    """
    wiring.configure_logging(name)
    end_with_supervisor()
    settings = wiring.load_settings()
    log.info("role.starting", bootstrap_servers=settings.bootstrap_servers, clickhouse=settings.clickhouse_url)
    ROLES[name](settings)
    log.info("role.stopped")
