"""Send events: a topic full at once, or, as a process of its own, at a steady rate until it is told to stop.

``python -m benchmarks.load PLAN``: a JSON of :class:`Plan`. It writes a line for each window that its events closed,
and a last one with how many it sent. Settings are those of the environment.
"""

import json
import signal
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from confluent_kafka import Producer
from msgspec import Struct
from rich.progress import Progress

from app import wiring
from benchmarks.events import START, Maker, Shape, clock, labelled, record, shapes, spread
from benchmarks.world import PARTITIONS, World
from schemas.settings import Settings
from streams.aggregate.routing import partitions_of

LATENESS_MS = 600_000
_CHUNK = 20_000
_TICK = 0.05
_PRODUCER = {
    "compression.type": "none",
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 1 << 20,
}


class Plan(Struct, frozen=True, kw_only=True):
    """What a load process sends.

    Attributes:
        models: how many, interleaved; ``shape``: fields of :class:`benchmarks.events.Shape` that all share.
        first: number of the first event; the topics hold those before it.
        rate: events a second, outcomes included.
        every: one in so many events has an outcome, half a second later; 0: none has.
        start: event time of the first event, ms; ``speed``: event time that passes in a second, in seconds.
        width_ms: windows of event time whose last events are told of; 0: of none.
    """

    models: int
    first: int
    rate: float
    start: int
    shape: dict[str, Any] = {}
    every: int = 0
    speed: float = 1.0
    width_ms: int = 0

    def made(self) -> list[Shape]:
        """The models."""
        return shapes(self.models, **self.shape)


class Closing(Struct, frozen=True):
    """The broker's time ``at``, in ms, of the last event that moved a watermark past the end of a window."""

    model: str
    end: int
    at: int


class Sent(Struct, frozen=True):
    """What was sent: events ``first`` to ``last`` (not included), outcomes, seconds, and the longest delay behind."""

    last: int
    outcomes: int
    seconds: float
    behind: float


def fill(world: World, models: Sequence[Shape], events: int, span: int) -> None:
    """Declare the models, send their events over ``span`` ms of event time, and the promise that these were all."""
    declare(world.settings, models)
    maker, topic = Maker(models), world.settings.topic("predictions")
    producer = Producer(world.settings.producer(**_PRODUCER))
    with Progress() as progress:
        task = progress.add_task(f"filling {topic}", total=events)
        for first in range(0, events, _CHUNK):
            last = min(events, first + _CHUNK)
            keys = maker.keys(first, last)
            bodies = maker.predictions(first, spread(first, last, events, span))
            for key, body, place in zip(keys, bodies, partitions_of(keys, PARTITIONS).tolist(), strict=True):
                send(producer, topic, body, key, place)
            producer.poll(0)
            progress.update(task, completed=last)
    promise(producer, topic, maker, START + span + 3 * LATENESS_MS)


def declare(settings: Settings, models: Sequence[Shape]) -> None:
    """Publish the models' documents with their references."""
    for shape in models:
        wiring.publish_model(settings, record(shape))


def promise(producer: Producer, topic: str, maker: Maker, at: int) -> None:
    """Say in every partition that all events before ``at`` were sent, so that the last of them are counted at once."""
    producer.flush()
    for place in range(PARTITIONS):
        for body in maker.progress(at):
            send(producer, topic, body, b"", place)
    producer.flush()


def send(
    producer: Producer, topic: str, body: bytes, key: bytes, place: int, told: Any = None, headers: Any = None
) -> None:
    """Hand over a message, waiting for room."""
    while True:
        try:
            producer.produce(topic, body, key, place, on_delivery=told, headers=headers)
            return
        except BufferError:
            producer.poll(0.05)


class Load:
    """Sends by a plan, in steps of a twentieth of a second."""

    def __init__(self, plan: Plan, settings: Settings) -> None:
        self._plan = plan
        self._models = plan.made()
        self._maker = Maker(self._models)
        self._topics = [settings.topic("predictions"), settings.topic("outcomes")]
        self._producer = Producer(settings.producer(**_PRODUCER))
        # (model, topic, partition) that have not passed the end of the window yet; the last of them closes it.
        self._open: dict[tuple[int, int, int], int] = {}
        self._passed: dict[tuple[int, int], list[int]] = {}
        self._window = (plan.start - LATENESS_MS) // (plan.width_ms or 1)

    def run(self, stop: threading.Event) -> Sent:
        """Send until ``stop`` is set; everything is acknowledged then."""
        plan = self._plan
        # Of a plan with outcomes, each prediction is accompanied by so much of an outcome.
        predictions = plan.rate / (1 + 1 / plan.every) if plan.every else plan.rate
        began, sent, outcomes, behind = time.monotonic(), plan.first, 0, 0.0
        waiting: list[tuple[float, list[int]]] = []
        while not stop.is_set():
            now = time.monotonic() - began
            due = plan.first + int(now * predictions)
            behind = max(behind, (due - sent) / predictions - _TICK)
            last = min(due, sent + _CHUNK)
            at = plan.start + int(now * plan.speed * 1000)
            self._cross(at)
            text = clock(at)
            keys = self._maker.keys(sent, last)
            self._batch(0, range(sent, last), keys, self._maker.predictions(sent, [text] * (last - sent)))
            waiting.append((now, labelled(sent, last, plan.models, plan.every)))
            while waiting and waiting[0][0] <= now - 0.5:
                outcomes += self._labels(waiting.pop(0)[1], text)
            sent = last
            self._producer.poll(0)
            if sent >= due:
                stop.wait(max(0.0, _TICK - (time.monotonic() - began - now)))
        seconds = time.monotonic() - began
        for _, numbers in waiting:
            outcomes += self._labels(numbers, clock(at))
        promise(self._producer, self._topics[0], self._maker, at + 3 * LATENESS_MS)
        return Sent(sent, outcomes, seconds, behind)

    def _labels(self, numbers: list[int], text: bytes) -> int:
        keys = [self._maker.key(n) for n in numbers]
        self._batch(1, numbers, keys, self._maker.outcomes(numbers, [text] * len(numbers)))
        return len(numbers)

    def _batch(self, side: int, numbers: Sequence[int], keys: list[bytes], bodies: Any) -> None:
        topic = self._topics[side]
        places = partitions_of(keys, PARTITIONS).tolist()
        for n, key, body, place in zip(numbers, keys, bodies, places, strict=True):
            told = None
            if self._open and (end := self._open.pop((n % self._plan.models, side, place), 0)):
                told = partial(self._delivered, n % self._plan.models, end)
            send(self._producer, topic, body, key, place, told)

    def _cross(self, at: int) -> None:
        """From here on events lie behind the end of a window: note who has to pass it."""
        window = (at - LATENESS_MS) // (self._plan.width_ms or 1)
        if self._plan.width_ms and window > self._window:
            end = window * self._plan.width_ms
            self._window = window
            for model in range(self._plan.models):
                for side in range(2 if self._plan.every else 1):
                    for place in range(PARTITIONS):
                        self._open[model, side, place] = end

    def _delivered(self, model: int, end: int, error: Any, message: Any) -> None:
        if error is not None:
            raise RuntimeError(f"an event was not acknowledged: {error}")
        passed = self._passed.setdefault((model, end), [])
        passed.append(message.timestamp()[1])
        if len(passed) == PARTITIONS * (2 if self._plan.every else 1):
            _say(Closing(self._models[model].name, end, max(passed)))
            del self._passed[model, end]


def _say(found: Struct) -> None:
    sys.stdout.write(json.dumps({type(found).__name__: msgspec.to_builtins(found)}) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Send by the plan in the first argument until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    plan = msgspec.json.decode(sys.argv[1], type=Plan)
    _say(Load(plan, wiring.load_settings()).run(stop))


if __name__ == "__main__":
    main()
