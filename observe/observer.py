"""What a stage is handed to say how it is doing; every method is cheap, and may be called from any thread."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from observe.metrics import MODELS, Metrics

STALLED_AFTER = 120.0
"""Seconds without a turn of the main loop after which a process counts as hung."""

_CHECK_EVERY = 2.0
"""Seconds for which the answer of a check is kept: whoever asks often must not burden what is checked."""

_STATISTICS_MS = 5_000
_OTHERS = "(others)"
_ASSIGNED = "assigned"

Check = Callable[[], str]
"""Looks whether something is as it must be; returns what is wrong, empty when nothing is."""


class _Partition(Struct, frozen=True):
    """What librdkafka's statistics say of a partition; negative: not known."""

    fetch_state: str = "none"
    hi_offset: int = -1
    ls_offset: int = -1
    committed_offset: int = -1
    app_offset: int = -1

    def lag(self) -> int | None:
        """Records up to the end of what can be read; None when it is not known or not ours."""
        end = self.ls_offset if self.ls_offset >= 0 else self.hi_offset
        # Before its first commit a member has read, at least.
        done = self.committed_offset if self.committed_offset >= 0 else self.app_offset
        return max(0, end - done) if self.fetch_state == "active" and end >= 0 and done >= 0 else None


class _Topic(Struct, frozen=True):
    topic: str
    partitions: dict[str, _Partition]


class _Statistics(Struct, frozen=True):
    """https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md."""

    topics: dict[str, _Topic]


class Observer:
    """The state of one process, as it looks from outside.

    Args:
        role: of the process; it is named in ``driftline_role``.
        wall: seconds since the epoch, for the lag of event time.
        steady: seconds of a monotonic clock, for ages.
    """

    def __init__(
        self, role: str = "", *, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._metrics = Metrics(role)
        self._turned = steady()
        self._began: float | None = None
        self._through: dict[str, int] = {}
        self._checks: dict[str, Check] = {}
        self._answers: dict[str, tuple[float, str]] = {}
        self._asking = threading.Lock()
        self._decoder = msgspec.json.Decoder(_Statistics)
        self.registry = self._metrics.registry
        self._metrics.loop_age.set_function(lambda: steady() - self._turned)
        self._metrics.checkpoint_age.set_function(lambda: 0.0 if self._began is None else steady() - self._began)

    # Alive and ready

    def turn(self) -> None:
        """The main loop goes round, or waits for something that it knows of."""
        self._turned = self._steady()

    def waited(self) -> None:
        """ClickHouse or Kafka is asked again: nothing is hung."""
        self._metrics.waits.inc()
        self.turn()

    def stalled(self) -> str:
        """Why the process counts as hung; empty while it lives."""
        age = self._steady() - self._turned
        return (
            f"the main loop has not turned for {age:.0f} s (limit {STALLED_AFTER:g} s)\n" if age > STALLED_AFTER else ""
        )

    def require(self, name: str, check: Check) -> None:
        """Make a check a condition of being ready."""
        self._checks[name] = check
        self._answers.pop(name, None)
        self._metrics.ready.labels(name).set_function(lambda: not self._ask(name))

    def joining(self) -> None:
        """The process is a member of a consumer group, or wants to be: it is ready once it knows its partitions."""
        self.lag({})
        self.require(_ASSIGNED, lambda: "no partitions were assigned by the consumer group yet")

    def assigned(self) -> None:
        """The group has said which partitions are this process's, even if none."""
        self.require(_ASSIGNED, lambda: "")

    def readiness(self) -> dict[str, str]:
        """Each condition and what is wrong with it; empty: nothing."""
        return {name: self._ask(name) for name in sorted(self._checks)}

    def _ask(self, name: str) -> str:
        if name == _ASSIGNED:
            return self._checks[name]()
        with self._asking:
            at, answer = self._answers.get(name, (float("-inf"), ""))
            if self._steady() - at >= _CHECK_EVERY:
                answer = self._checks[name]()
                self._answers[name] = self._steady(), answer
            return answer

    # Throughput

    def events(self, topic: str, verdict: str, n: int = 1) -> None:
        """``n`` records of a source topic became durable, with this verdict."""
        self._metrics.events.labels(topic, verdict).inc(n)

    def dead_letters(self, reason: str, n: int = 1) -> None:
        """``n`` records were found to be unusable; ``reason`` is one of a declared few."""
        self._metrics.dead_letters.labels(reason).inc(n)

    def messages(self, topic: str, n: int = 1) -> None:
        """``n`` messages of one of driftline's own topics were worked off."""
        self._metrics.messages.labels(topic).inc(n)

    # Lag

    def statistics(self) -> dict[str, Any]:
        """Options of a confluent-kafka consumer by which its lag is known, without a request of its own."""
        return {"stats_cb": self._take_statistics, "statistics.interval.ms": _STATISTICS_MS}

    def _take_statistics(self, text: str) -> None:
        topics = self._decoder.decode(text).topics.values()
        found = {(t.topic, int(p)): of.lag() for t in topics for p, of in t.partitions.items()}
        # A consumer that fetches nothing now, since there is nowhere to put it, is as far behind as it was, at least.
        if lags := {place: lag for place, lag in found.items() if lag is not None}:
            self.lag(lags)

    def lag(self, records: Mapping[tuple[str, int], int]) -> None:
        """(topic, partition) -> records behind, of all partitions that are this process's now."""
        self._metrics.lag.clear()
        for (topic, partition), n in records.items():
            self._metrics.lag.labels(topic, partition).set(n)

    def event_time(self, model: str, through: int) -> None:
        """This process is done with a model (``namespace/model``) through an event time, in ms since the epoch."""
        if model not in self._through:
            shown = len(self._through) < MODELS
            series = self._metrics.event_time_lag.labels(model if shown else _OTHERS)
            series.set_function((lambda: self._age(model)) if shown else self._age_of_others)
        self._through[model] = through

    def _age(self, model: str) -> float:
        return self._wall() - self._through[model] / 1000

    def _age_of_others(self) -> float:
        """Of those that share a series, the one that is furthest behind has it."""
        return max(self._age(model) for model in list(self._through)[MODELS:])

    # Work

    def uncommitted(self) -> None:
        """There is work that no checkpoint holds."""
        if self._began is None:
            self._began = self._steady()

    def checkpoint(self, seconds: float | None = None) -> None:
        """All work is in a checkpoint, which took so long; None: what there was belongs to somebody else now."""
        self._began = None
        if seconds is not None:
            self._metrics.checkpoint.observe(seconds)

    def tick(self, model: str, through: int) -> None:
        """A tick of a model's decision clock was decided and told, at this event time."""
        self._metrics.ticks.inc()
        self.event_time(model, through)

    def fit(self, status: str, seconds: float) -> None:
        """A training ended ``ready`` or with an ``error``."""
        self._metrics.fits.labels(status).observe(seconds)

    def delivery(self, channel: str, state: str) -> None:
        """A channel was rung, or was not."""
        self._metrics.deliveries.labels(channel, state).inc()

    def request(self, status: int, seconds: float) -> None:
        """A page was asked for."""
        self._metrics.requests.labels(status).observe(seconds)
