"""Processes of driftline, measured from outside: the processor time of all their threads, and what is committed.

An event is counted when the offset behind it is committed: that is stage 1's decision.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

import psutil  # type: ignore[import-untyped]
from confluent_kafka import Consumer, ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from benchmarks.world import World, patiently

_LOOK_SECONDS = 0.05
_PATIENCE_SECONDS = 1800.0
_STALLED_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at one moment: committed offsets, CPU seconds of all processes, the clock, resident bytes."""

    done: int
    cpu: float
    wall: float
    resident: int


@dataclass(frozen=True, slots=True)
class Round:
    """From the first counted event to the last."""

    events: float
    cpu: float
    wall: float
    resident: int

    @property
    def per_core(self) -> float:
        """Events per second of CPU."""
        return self.events / self.cpu

    @property
    def per_second(self) -> float:
        """Events per second of the clock."""
        return self.events / self.wall


class Stage:
    """Processes of a role; ended when the context ends.

    Args:
        world: whose topics they read.
        role: of ``driftline run``.
        processes: how many.
        options: further settings of theirs.
        command: runs the role instead of this interpreter's plain ``-m app.cli``.
    """

    def __init__(
        self,
        world: World,
        role: str = "aggregate",
        *,
        processes: int = 1,
        options: Mapping[str, str] | None = None,
        command: Sequence[str] = ("-m", "app.cli"),
    ) -> None:
        self._world = world
        self._role = role
        self._env = {**os.environ, **world.stack.env, **(options or {})}
        self._count = processes
        self._command = [sys.executable, *command, "run", role]
        self._log: IO[bytes] | None = None
        self._children: list[subprocess.Popen[bytes]] = []
        self._look = Consumer(world.settings.consumer(world.settings.group(role)))
        self._admin = AdminClient(world.settings.kafka())

    def __enter__(self) -> Self:
        self._log = (self._world.stack.root / f"{self._role}.log").open("ab")
        for _ in range(self._count):
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            child.terminate()
        for child in self._children:
            child.wait(120)
        self._look.close()
        if self._log:
            self._log.close()

    def start(self) -> None:
        """Start one more process."""
        self._children.append(subprocess.Popen(self._command, env=self._env, stderr=self._log))

    def kill(self) -> None:
        """End the oldest process as a machine's failure would."""
        child = self._children.pop(0)
        child.send_signal(signal.SIGKILL)
        child.wait()

    def processes(self) -> list[psutil.Process]:
        """Those that run."""
        return [psutil.Process(child.pid) for child in self._children]

    @patiently
    def committed(self) -> int:
        """The sum of the committed offsets of the source topics."""
        return sum(max(0, at.offset) for at in self._look.committed(self._world.partitions(), timeout=10))

    @patiently
    def lag(self) -> int:
        """How many events of the source topics are not counted yet."""
        ends = [self._look.get_watermark_offsets(at, timeout=10)[1] for at in self._world.partitions()]
        return sum(ends) - self.committed()

    def sample(self) -> Sample:
        """Look once.

        Raises:
            SystemExit: a process has ended.
        """
        done = self.committed()
        if any(child.poll() is not None for child in self._children):
            raise SystemExit(f"a process has ended, with {done:,} events counted; {self._where()}")
        cpu, resident = 0.0, 0
        for process in self.processes():
            times = process.cpu_times()
            cpu += times.user + times.system
            resident += process.memory_info().rss
        return Sample(done, cpu, time.monotonic(), resident)

    def samples(self) -> Iterator[Sample]:
        """Look twenty times a second.

        Raises:
            SystemExit: nothing more is counted for three minutes, or it takes half an hour.
        """
        began = moved = time.monotonic()
        last = -1
        while True:
            sample = self.sample()
            yield sample
            if sample.done != last:
                last, moved = sample.done, sample.wall
            if sample.wall - moved > _STALLED_SECONDS or sample.wall - began > _PATIENCE_SECONDS:
                raise SystemExit(f"no more than {sample.done:,} events are counted; {self._where()}")
            time.sleep(_LOOK_SECONDS)

    def count(self, end: int, start: int = 0) -> Round:
        """Wait until all is counted; from the first commit behind ``start`` on.

        Args:
            end: the committed offsets that this takes.
            start: committed offsets at the start.
        """
        first: Sample | None = None
        for sample in self.samples():
            if first is None and sample.done > start and self._all_assigned():
                first = sample
            if sample.done >= end and first is not None:
                break
        assert first is not None  # noqa: S101  for the type checker
        if sample.done == first.done:
            raise SystemExit("all events were counted in one checkpoint: take more --events")
        return Round(sample.done - first.done, sample.cpu - first.cpu, sample.wall - first.wall, sample.resident)

    def members(self) -> dict[str, int]:
        """Member of the group -> how many partitions it owns; empty while the group rebalances."""
        group = self._world.settings.group(self._role)
        try:
            found = self._admin.describe_consumer_groups([group], request_timeout=5)[group].result()
        except KafkaException:
            return {}
        if found.state != ConsumerGroupState.STABLE:
            return {}
        return {member.member_id: len(member.assignment.topic_partitions) for member in found.members}

    def _all_assigned(self) -> bool:
        """Whether every process has partitions; asked for several only, where the first to come has all of them."""
        return self._count == 1 or sum(n > 0 for n in self.members().values()) == self._count

    def _where(self) -> str:
        return f"its log is {self._world.stack.root / f'{self._role}.log'}"


@contextlib.contextmanager
def stages(*given: Stage) -> Iterator[None]:
    """Several roles, each ended when the context ends."""
    with contextlib.ExitStack() as stack:
        for stage in given:
            stack.enter_context(stage)
        yield
