"""Loads beside the stages: the most that both can do together, and a process that is told when to stop."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec

from benchmarks.aggregate import CHECKPOINT_SECONDS
from benchmarks.events import Shape
from benchmarks.load import Closing, Plan, Sent, fill
from benchmarks.stage import Stage, stages
from benchmarks.world import World

_FLUSH_SECONDS = 120
_LOOK_SECONDS = 0.05


def most(running: World, models: Sequence[Shape], events: int, span: int, beside: Sequence[str] = ()) -> float:
    """Events per second of the clock that stage 1 counts while they are sent, as fast as one process can.

    A half of what it counts when nobody sends may be more than a machine can do that also carries the sender.

    Args:
        running: where nothing was sent yet, and the models are declared.
        models: whose events.
        events: how many.
        span: event time of them, ms.
        beside: roles that run too.
    """
    often = {"DRIFTLINE_CHECKPOINT_SECONDS": str(CHECKPOINT_SECONDS)}
    sender = threading.Thread(target=fill, args=(running, models, events, span), daemon=True)
    aggregate = Stage(running, options=often)
    with stages(aggregate, *(Stage(running, role) for role in beside)):
        while not any(aggregate.members().values()):
            time.sleep(_LOOK_SECONDS)
        sender.start()
        first = next(sample for sample in aggregate.samples() if sample.done)
        for last in aggregate.samples():
            if not sender.is_alive() and last.done >= running.ends():
                break
    return (last.done - first.done) / (last.wall - first.wall)


class Sending:
    """A load process; the context ends it.

    Attributes:
        closings: windows whose last events have been sent.
    """

    def __init__(self, world: World, plan: Plan) -> None:
        self._env = {**os.environ, **world.stack.env}
        self._plan = plan
        self._sent: Sent | None = None
        self.closings: list[Closing] = []

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.load", msgspec.json.encode(self._plan).decode()]
        self._process = subprocess.Popen(command, env=self._env, stdout=subprocess.PIPE, text=True)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def stop(self) -> Sent:
        """Tell it to stop, and wait until everything is acknowledged.

        Raises:
            SystemExit: it has ended by itself, or does not end.
        """
        self._process.terminate()
        code = self._process.wait(_FLUSH_SECONDS)
        self._listener.join(_FLUSH_SECONDS)
        if code or self._sent is None:
            raise SystemExit(f"the load process ended with code {code}; what it said is above")
        return self._sent

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  for the type checker
        for line in self._process.stdout:
            ((kind, fields),) = json.loads(line).items()
            if kind == Closing.__name__:
                self.closings.append(Closing(**fields))
            else:
                self._sent = Sent(**fields)
