"""The breaker of stage 1 as a record: open until a person has looked, whatever restarts meanwhile."""

import threading
from collections.abc import Callable
from typing import NamedTuple

import structlog

from observe import Observer
from schemas.events import SourceTopic
from schemas.tables import BREAKERS
from schemas.windows import from_ms
from warehouse.client import Warehouse

log = structlog.get_logger()

_LOOK_SECONDS = 1.0
_OPEN = "open, nothing is read: driftline breaker show, then driftline breaker reset"


class Breaker(NamedTuple):
    """The breaker of a topic: ``state`` open or closed, ``at`` milliseconds."""

    topic: SourceTopic
    state: str
    why: str
    at: int


def breakers(warehouse: Warehouse) -> list[Breaker]:
    """Every breaker that was ever open, by topic."""
    sql = "SELECT topic, state, why, toUnixTimestamp64Milli(`at`) FROM breakers FINAL ORDER BY topic"
    return [Breaker(*row) for row in warehouse.rows(sql)]


def is_open(warehouse: Warehouse) -> bool:
    """Whether stage 1 must not read."""
    return any(breaker.state == "open" for breaker in breakers(warehouse))


def write(warehouse: Warehouse, breaker: Breaker) -> None:
    """Record a state; the newest counts."""
    warehouse.insert(BREAKERS, [(breaker.topic, breaker.state, breaker.why, from_ms(breaker.at))])


def reset(warehouse: Warehouse, now: Callable[[], int]) -> list[Breaker]:
    """Close what is open, and return it as it was."""
    opened = [breaker for breaker in breakers(warehouse) if breaker.state == "open"]
    for breaker in opened:
        # Later than what it answers, whatever this machine's clock says.
        write(warehouse, breaker._replace(state="closed", why="reset by command", at=max(now(), breaker.at + 1)))
    return opened


def wait(warehouse: Warehouse, stop: threading.Event, observer: Observer) -> None:
    """Return when no breaker is open, or ``stop`` is set.

    Meanwhile the process is alive and not ready: a restart would not help, and nobody else sees that it reads nothing.
    """
    said = False
    while not stop.is_set() and is_open(warehouse):
        observer.turn()
        if not said:
            log.error("aggregate.waits", why=f"the breaker is {_OPEN}")
            observer.require("breaker", lambda: _OPEN)
            said = True
        stop.wait(_LOOK_SECONDS)
    observer.require("breaker", lambda: "")
