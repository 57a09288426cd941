"""An aggregator behind an open breaker: alive, not ready, and it says what to do."""

import threading
from typing import Any

from app import breakers
from observe import Observer
from observe.observer import STALLED_AFTER
from observe.server import answer
from warehouse.client import Warehouse


class Rows(Warehouse):
    """The breaker's table: open until a person has reset it."""

    def __init__(self) -> None:
        self.state = "open"

    def rows(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        return [("predictions", self.state, "half of it is dead", 0)]


class Watcher(threading.Event):
    """Looks from outside whenever the process waits, for an hour each; resets the breaker at the third look."""

    def __init__(self, rows: Rows, observer: Observer, clock: list[float]) -> None:
        super().__init__()
        self.rows, self.observer, self.clock = rows, observer, clock
        self.seen: list[tuple[int, int, str]] = []

    def wait(self, timeout: float | None = None) -> bool:
        healthy, ready = answer(self.observer, "/healthz"), answer(self.observer, "/readyz")
        self.seen.append((healthy[0], ready[0], ready[2].decode()))
        self.clock[0] += STALLED_AFTER - 1
        if len(self.seen) == 3:
            self.rows.state = "closed"
        return self.is_set()


def test_it_is_alive_and_not_ready_until_the_breaker_is_reset() -> None:
    clock = [0.0]
    observer, rows = Observer("aggregate", steady=lambda: clock[0]), Rows()
    stop = Watcher(rows, observer, clock)
    breakers.wait(rows, stop, observer)
    assert [seen[:2] for seen in stop.seen] == [(200, 503)] * 3
    assert all("breaker: open" in said and "driftline breaker reset" in said for _, _, said in stop.seen)
    assert answer(observer, "/readyz")[::2] == (200, b"breaker: ok\n"), "at once, whatever was answered a moment ago"
