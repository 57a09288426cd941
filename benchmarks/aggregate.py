"""Stage 1 on a topic that is full: events per second of CPU, from the first counted event to the last.

The CPU is that of the whole process, librdkafka's threads included. What was counted is held to the generator's truth.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]
from confluent_kafka import Consumer, TopicPartition

from benchmarks.events import MODEL, NAMESPACE, NUMBERS, Truth
from benchmarks.world import PARTITIONS, World

_LOOK_SECONDS = 0.05
_PATIENCE_SECONDS = 900.0

_COUNTED = """
SELECT sum(events) FROM tallies WHERE namespace = {namespace:String} AND model = {model:String}
    AND tally = 'predictions.counted'
"""
_SUMMED = """
SELECT sum(sums[1]) FROM (
    SELECT sums FROM partials FINAL WHERE namespace = {namespace:String} AND model = {model:String}
    AND view = 'feature' AND segment = '' AND name = {name:String})
"""
_FIXED_POINT = 2**20


@dataclass(frozen=True, slots=True)
class Round:
    """One run over the whole topic."""

    events: int
    cpu: float
    wall: float
    resident_mb: float

    @property
    def per_core(self) -> float:
        """Events per second of CPU."""
        return self.events / self.cpu

    @property
    def per_second(self) -> float:
        """Events per second of the clock."""
        return self.events / self.wall


def measure(world: World, truth: Truth) -> Round:
    """Count the whole topic from nothing, with one aggregator.

    Raises:
        SystemExit: the counts are not the truth, or it takes too long.
    """
    world.forget()
    topic = world.settings.topic("predictions")
    look = Consumer(world.settings.consumer(world.settings.group("aggregate")))
    partitions = [TopicPartition(topic, p) for p in range(PARTITIONS)]
    log = (world.stack.root / "aggregate.log").open("ab")
    child = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "run", "aggregate"], env={**os.environ, **world.stack.env}, stderr=log
    )
    try:
        process = psutil.Process(child.pid)
        first: tuple[int, float, float] | None = None
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            done = sum(max(0, found.offset) for found in look.committed(partitions, timeout=10))
            times = process.cpu_times()
            now = time.monotonic()
            sample = done, times.user + times.system, now
            if first is None and done:
                first = sample
            if done >= truth.events and first is not None:
                break
            if now > deadline or child.poll() is not None:
                raise SystemExit(f"the aggregator counted {done:,} of {truth.events:,} events; its log is {log.name}")
            time.sleep(_LOOK_SECONDS)
        resident = process.memory_info().rss / 2**20
    finally:
        child.terminate()
        child.wait(60)
        look.close()
        log.close()
    _check(world, truth)
    return Round(sample[0] - first[0], sample[1] - first[1], sample[2] - first[2], resident)


def _check(world: World, truth: Truth) -> None:
    who = {"namespace": NAMESPACE, "model": MODEL}
    ((counted,),) = world.warehouse.rows(_COUNTED, who)
    ((summed,),) = world.warehouse.rows(_SUMMED, {**who, "name": NUMBERS[0]})
    expected = truth.total * _FIXED_POINT // 1024
    if (int(counted), int(summed)) != (truth.events, expected):
        raise SystemExit(f"counted {counted} events with sum {summed}; the truth is {truth.events} and {expected}")
