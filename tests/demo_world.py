"""Six weeks of the demo on a stack of its own, with whatever a test does to its processes, and what came of it."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import ClassVar

from app import wiring
from app.demo import decisions, finish, flights, model, run, summary
from app.reconcile import Reconciliation, reconcile
from app.stack import Stack
from app.status import ModelStatus

UNTIL = date(2013, 2, 12)
QUICK = Path(model.__file__).with_name("quick.yaml")

Harm = Callable[[ModelStatus], None]
"""Told of the public records every half second, while the demo runs."""


@dataclass(frozen=True, slots=True)
class Played:
    """What one run came to.

    Attributes:
        decisions: ``decisions.jsonl``.
        differences: where driftline's tallies differ from the injector's books.
        counted_again: reconciled from the topics.
        restarts: process -> how often it was started again.
        logs: process -> its log.
    """

    decisions: bytes
    differences: list[str]
    counted_again: Reconciliation
    restarts: dict[str, int]
    logs: dict[str, str]
    seconds: float


def play(root: Path, cache: Path, harm: Callable[[Stack], Harm] | None = None) -> Played:
    """Run the demo's processes from nothing to the end of the last step."""
    started = time.monotonic()
    name = model.document().metadata
    with Stack(root, cache=cache) as stack:
        wiring.publish_model(stack.settings, model.first_generation())
        stack.start_roles()
        run.start_service(stack, UNTIL, cache)
        tell = harm(stack) if harm is not None else lambda _status: None
        run.watch(stack, UNTIL, lambda status, _lag: tell(status), every=0.25)
        seconds = time.monotonic() - started
        path = root / "decisions.jsonl"
        decisions.write_decisions(stack.warehouse, name.namespace, name.name, path)
        books = finish.books(stack.warehouse, flights.load(cache), UNTIL)
        return Played(
            decisions=path.read_bytes(),
            differences=summary.compare(summary.counts(stack.warehouse), books),
            counted_again=reconcile(stack.settings, stack.warehouse, source="topics"),
            restarts=stack.supervisor.restarts(),
            logs={log.stem: log.read_text(errors="replace") for log in (root / "logs").glob("*.log")},
            seconds=seconds,
        )


@dataclass
class Slower:
    """Holds the trainer for a while whenever it is asked for a candidate, and the monitor again and again."""

    stack: Stack
    held: set[int] = field(default_factory=set)
    trainer_seconds: ClassVar = 20.0
    monitor_seconds: ClassVar = 0.5

    def __post_init__(self) -> None:
        threading.Thread(target=self._hold_monitor, daemon=True).start()

    def __call__(self, status: ModelStatus) -> None:
        if status.requests > status.candidates and status.requests not in self.held:
            self.held.add(status.requests)
            self._hold("trainer", self.trainer_seconds)

    def _hold_monitor(self) -> None:
        while not self.stack.supervisor.finished(run.SERVICE):
            self._hold("monitor", self.monitor_seconds)
            time.sleep(self.monitor_seconds)

    def _hold(self, role: str, seconds: float) -> None:
        self.stack.supervisor.pause(role)
        time.sleep(seconds)
        self.stack.supervisor.resume(role)


@dataclass
class Killer:
    """Kills each process once, ``-9``: the trainer in the middle of a fit, the others when so much is decided."""

    stack: Stack
    left: dict[str, Callable[[ModelStatus], bool]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left = {
            "aggregate": _decided(date(2013, 1, 6)),
            "service": _decided(date(2013, 1, 10)),
            "trainer": lambda status: status.requests > status.candidates,
            "monitor": _decided(date(2013, 1, 22)),
            "rollout": lambda status: status.phase == "shadow",
        }

    def __call__(self, status: ModelStatus) -> None:
        for role in [role for role, due in self.left.items() if due(status)]:
            del self.left[role]
            self.stack.supervisor.kill9(role)


def _decided(day: date) -> Callable[[ModelStatus], bool]:
    start = flights.step_start(flights.step_on(day))
    return lambda status: status.decided_through >= start


@contextmanager
def quick() -> Iterator[None]:
    """The model document with shorter times, for this process and those that it starts."""
    before = os.environ.get(model.ENVIRONMENT)
    os.environ[model.ENVIRONMENT] = str(QUICK)
    try:
        yield
    finally:
        if before is None:
            del os.environ[model.ENVIRONMENT]
        else:
            os.environ[model.ENVIRONMENT] = before
