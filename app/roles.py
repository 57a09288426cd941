"""The roles of a running installation: each is one process that ``driftline run ROLE`` starts.

Imports happen inside the roles: a process pays for what it uses only.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import structlog

from app import leaving, probes, wiring
from app.supervisor import end_with_supervisor
from observe import Observer, serve
from schemas.settings import Settings
from warehouse.client import Waiting

log = structlog.get_logger()

_PAGE_PATIENCE = 3.0
"""Seconds that a page waits for ClickHouse; a person is waiting too."""


@dataclass(frozen=True)
class Process:
    """What every role is given.

    Attributes:
        stop: set when the role is to finish its batch and leave.
        observer: told how it is doing.
    """

    settings: Settings
    stop: threading.Event
    observer: Observer

    @property
    def waiting(self) -> Waiting:
        """An outage of ClickHouse is waited out until the role is told to leave."""
        return Waiting(stop=self.stop, told=self.observer.waited)


def _now_ms() -> int:
    return int(time.time() * 1000)


_COLLECT_AFTER = 100_000
"""Objects, so many more than were given up, after which cycles are looked for among the young ones."""

_HEAPS = 2
"""Of stage 1's threads together."""


def _collect_rarely() -> None:
    """Let the collector of cycles look after many more objects than by default.

    A batch is tens of thousands of messages, a checkpoint as many sketches, none of them part of a cycle: at Python's
    threshold of 700 it walks through all of them and all modules again and again. That took a tenth of stage 1's time
    and more, and two thirds of what it takes stage 2 to read a message.
    """
    import gc

    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


def aggregate(process: Process) -> None:
    """Stage 1: decode, validate, dedupe, join and sketch events, in numbered checkpoints."""
    import os
    import uuid

    from app import breakers
    from app.offsets.restore import refuse
    from app.offsets.words import refusal
    from streams import aggregate as stage
    from streams.aggregate.breaker import BreakerOpen
    from streams.aggregate.memory import bound_arenas

    bound_arenas(_HEAPS)
    settings, stop = process.settings, process.stop
    warehouse = wiring.prepare(settings, waiting=process.waiting)
    if problems := refuse(settings, warehouse, now=_now_ms):
        raise SystemExit(refusal(problems))

    def owner_id() -> str:
        # Tells one assignment's checkpoints from another's; never part of a result.
        return f"{os.getpid()}-{uuid.uuid4().hex}"

    breakers.wait(warehouse, stop, process.observer)
    _collect_rarely()
    while not stop.is_set():
        try:
            stage.run(
                settings,
                warehouse,
                now=time.monotonic,
                owner_id=owner_id,
                stop=stop,
                observer=process.observer,
            )
        except BreakerOpen as found:
            log.error("aggregate.breaker_open", topic=found.topic, why=str(found))
            breakers.write(warehouse, breakers.Breaker(found.topic, "open", str(found), _now_ms()))
            breakers.wait(warehouse, stop, process.observer)


def monitor(process: Process) -> None:
    """Stage 2: merge partials, close windows, test, decide, report."""
    from streams import monitor as stage

    warehouse = wiring.prepare(process.settings, waiting=process.waiting)
    _collect_rarely()
    stage.run(process.settings, warehouse, stop=process.stop, observer=process.observer)


def trainer(process: Process) -> None:
    """Stage 3: answer retraining requests with candidates."""
    from retrain import trainer as stage

    settings = process.settings
    warehouse = wiring.prepare(settings, waiting=process.waiting)
    stage.run(settings, warehouse, wiring.open_store(settings), stop=process.stop, observer=process.observer)


def rollout(process: Process) -> None:
    """Stage 4: judge, shadow, promote, guard, roll back."""
    from retrain import rollout as stage

    settings = process.settings
    warehouse = wiring.prepare(settings, waiting=process.waiting)
    stage.run(settings, warehouse, wiring.open_store(settings), stop=process.stop, observer=process.observer)


def web(process: Process) -> None:
    """The read-only page: models, who serves, last windows, open incidents."""
    from app.web import server

    warehouse = wiring.open_warehouse(process.settings, waiting=process.waiting).impatient(_PAGE_PATIENCE)
    server.run(process.settings, warehouse, observer=process.observer)


def ingest(process: Process) -> None:
    """Translate customers' own topics into driftline's events, by the ``source:`` of the models."""
    import uuid

    from streams import ingest as stage

    # Names a producer's transactions; never part of a result.
    stage.run(
        process.settings,
        wiring.prepare(process.settings, waiting=process.waiting),
        producer_id=lambda: uuid.uuid4().hex,
        stop=process.stop,
        observer=process.observer,
    )


def notify(process: Process) -> None:
    """Tell people of incidents, and of what has stopped without a word; works while ClickHouse is away."""
    from streams import notify as stage

    settings = process.settings
    wiring.ensure_topics(settings, waiting=process.waiting)
    stage.run(
        settings,
        connect=lambda: wiring.prepare_warehouse(settings, patience=1.0),
        now=time.time,
        stop=process.stop,
        observer=process.observer,
    )


ROLES: dict[str, Callable[[Process], None]] = {
    role.__name__: role for role in (aggregate, monitor, trainer, rollout, ingest, web, notify)
}

_NEEDS_NO_KAFKA = {"web"}
_NEEDS_NO_CLICKHOUSE = {"notify"}


@contextmanager
def _observed(name: str, settings: Settings) -> Iterator[Observer]:
    """What the role says of itself, where the settings say that it is asked."""
    observer = Observer(name)
    if settings.metrics_port is None:
        yield observer
        return
    if name not in _NEEDS_NO_CLICKHOUSE:
        observer.require("clickhouse", probes.clickhouse(settings))
    if name not in _NEEDS_NO_KAFKA:
        observer.require("kafka", probes.kafka(settings))
        observer.joining()
    try:
        with serve(observer, host=settings.metrics_host, port=settings.metrics_port) as port:
            log.info("role.observed", host=settings.metrics_host, port=port)
            yield observer
    except OSError as error:
        raise SystemExit(
            f"{name}: /metrics cannot listen on {settings.metrics_host}:{settings.metrics_port} ({error.strerror}); "
            "set DRIFTLINE_METRICS_PORT to a free port of this process's own, or to 0"
        ) from None


def run(name: str) -> NoReturn:
    """Run one role until it is told to stop; the process ends with it.

    Args:
        name: a key of :data:`ROLES`.

    Raises:
        SystemExit: the settings cannot be used, or the installation is not as they say.
    """
    wiring.configure_logging(name)
    end_with_supervisor()
    settings = wiring.load_settings()
    log.info("role.starting", bootstrap_servers=settings.bootstrap_servers, clickhouse=settings.clickhouse_url)
    stop = leaving.when_told()
    with _observed(name, settings) as observer:
        try:
            ROLES[name](Process(settings, stop, observer))
        except (Exception, SystemExit) as error:
            if not stop.is_set():
                raise
            # A server is away: what is not durable is not committed, and the next start does it again.
            log.warning("role.left_undone", error=str(error)[:300])
    log.info("role.stopped")
    leaving.end()
