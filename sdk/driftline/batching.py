"""When a service is busy: events wait a moment, and leave together. When it is calm, each leaves at once."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

log = logging.getLogger("driftline")

T = TypeVar("T")

LINGER = 0.05
"""Longest time that an event waits for others, in seconds."""

BUSY = 500
"""More events than this within ``LINGER`` begin the batches: 10,000 per second."""

CALM = 100
"""Fewer events than this within ``LINGER`` end them. Less than ``BUSY``, so that they do not come and go."""

FULL = 8_000
"""So many events wait for no others."""


class Batching(Generic[T]):
    """Events that wait for others. Thread-safe.

    Args:
        send: takes events in the order in which they came; called by one thread at a time. It must not raise.
        always: keep events together even when it is calm.
    """

    def __init__(self, send: Callable[[list[T]], None], *, always: bool) -> None:
        self._send = send
        self._always = always
        self._on = always
        self._waiting: list[T] = []
        self._changed = threading.Condition(threading.Lock())
        self._sending = threading.Lock()
        self._added = 0
        self._heard = 0
        self._since = 0.0
        self._thread: threading.Thread | None = None

    def is_busy(self) -> bool:
        """Whether the next event should wait for others; every event asks once."""
        if self._on:
            return True
        now = time.monotonic()
        if now - self._since > LINGER:
            # Threads may count at once, and lose one: it is a threshold, not a number.
            self._since, self._heard = now, 0
        self._heard += 1
        if self._heard > BUSY:
            with self._changed:
                self._on = True
        return self._on

    def add(self, event: T) -> bool:
        """Let an event wait; False when it has become calm meanwhile, and the event should leave at once."""
        with self._changed:
            if not self._on:
                return False
            self._waiting.append(event)
            self._added += 1
            if self._added == 1 or len(self._waiting) == FULL:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="driftline-batches", daemon=True)
                    self._thread.start()
                self._changed.notify()
        return True

    def drain(self, timeout: float = -1) -> int:
        """Send all that waits, and return how many that were; nothing, when another thread is at it for too long.

        Args:
            timeout: seconds to wait for the other thread; -1: for ever.
        """
        if not self._sending.acquire(timeout=timeout):
            return 0
        try:
            with self._changed:
                events, self._waiting = self._waiting, []
            if events:
                self._send(events)
            return len(events)
        finally:
            self._sending.release()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._added or (self._on and not self._always))
                self._changed.wait_for(lambda: len(self._waiting) >= FULL, LINGER)
                added, self._added = self._added, 0
            self.drain()
            if added < CALM and not self._always:
                # While nothing is being sent: what then leaves at once cannot overtake anything.
                with self._sending, self._changed:
                    self._on = bool(self._waiting)
                    self._heard = 0
