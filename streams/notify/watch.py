"""Feeds the dead-man rules: ``partials`` and ``reports`` as they come, the offsets of the source topics, ClickHouse.

The hot topics are not read: that events flow is seen from their end offsets, and whose they were from the aggregator's
messages. What the rules find goes to ``alerts``, as what the monitor finds does; whoever reads it next knows it, also
while ClickHouse is away.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import get_args

import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from msgspec import Struct

from schemas.ids import canonical_json
from schemas.lifecycle import Incident
from schemas.partials import Watermarks, model_key
from schemas.settings import Settings
from schemas.topics import TopicName
from streams.notify.book import Book
from streams.notify.deadman import DeadMan, Side
from streams.notify.ledger import Ledger, Unanswered
from streams.notify.teams import Directory
from streams.notify.threads import blocking
from streams.notify.usual import HISTORY_DAYS

log = structlog.get_logger()

_LOOK_BACK_SECONDS = 900.0
_HISTORY_EVERY_SECONDS = 3_600.0
_BATCH = 500
_LOOKS = 1_000
_SOURCES: tuple[Side, ...] = get_args(Side)
_SQL = (
    "SELECT intDiv(toUnixTimestamp(log_ts), 60) AS minute FROM {table} "
    "WHERE namespace = {{namespace:String}} AND model = {{model:String}} AND log_ts >= now() - INTERVAL {days} DAY "
    "GROUP BY minute ORDER BY minute"
)


class _Row(Struct, frozen=True, array_like=True):
    """The start of a ``SketchRow``; the rest is not decoded."""

    generation: int
    view: str
    version: str
    segment: str
    window_start: int
    name: str


class _Partial(Struct, frozen=True):
    """What a ``PartialMessage`` says about who was heard."""

    namespace: str
    model: str
    partition: int
    seq: int
    watermarks: Watermarks
    sketches: list[_Row]
    whole: bool = True


class _Report(Struct, frozen=True):
    """What a ``Report`` says about how far it goes."""

    namespace: str
    model: str
    at: int


class Watch:
    """Looks every few seconds.

    Args:
        settings: brokers and topics.
        directory: which models there are.
        refresh: reads the directory's topics.
        book: what is open.
        ledger: ClickHouse.
        now: seconds since the epoch.
        every: seconds between two looks.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Directory,
        *,
        refresh: Callable[[], Awaitable[None]],
        book: Book,
        ledger: Ledger,
        now: Callable[[], float],
        every: float,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._refresh = refresh
        self._book = book
        self._ledger = ledger
        self._now = now
        self._every = every
        self._rules = DeadMan(settings.source_partitions, stalled_after(settings.checkpoint_seconds))
        self._partials = msgspec.json.Decoder(_Partial)
        self._reports = msgspec.json.Decoder(_Report)
        self._seqs: dict[tuple[str, int], int] = {}
        self._history_at = float("-inf")
        self._pending: deque[tuple[int, list[int]]] = deque()
        self._through = int(now() * 1000)
        self._producer = Producer(settings.producer())
        self._follower = Consumer(settings.consumer(settings.group("readers")))
        # In the aggregator's group only to ask what it has committed; it never joins.
        self._offsets = Consumer(settings.consumer(settings.group("aggregate")))

    async def work(self) -> None:
        """Watch for ever."""
        following = False
        try:
            while True:
                started = self._now()
                try:
                    if not following:
                        # What is heard of a model that nobody knows is not kept.
                        await self._learn()
                        await blocking(self._follow)
                        following = True
                    await self._listen(until=started + self._every)
                    await self._look()
                except KafkaException as error:
                    log.warning("notify.kafka", error=str(error))
                    await asyncio.sleep(1.0)
                except Exception:
                    # Rings go on whatever becomes of the rules.
                    log.exception("notify.watch_failed")
                    await asyncio.sleep(1.0)
        finally:
            self._follower.close()
            self._offsets.close()

    async def _look(self) -> None:
        """One look: what is new, what is open, what to tell."""
        await self._learn()
        ends, committed = await blocking(self._read_offsets)
        now = int(self._now() * 1000)
        self._see_offsets(now, ends, committed)
        told = self._rules.tick(
            now,
            through=self._through,
            clickhouse_away_since=self._ledger.away_since,
            lasting=[change.incident for change in self._book.open() if _is_dead_man(change.incident)],
        )
        for incident in told:
            if self._book.is_over(incident.id):
                # A model that was deleted in its silence and declared again has not spoken yet.
                continue
            log.warning("notify.dead_man", incident=incident.id, state=incident.state, summary=incident.summary)
            await blocking(self._tell, incident)
            await self._ledger.write_incident(incident)
        # Whether ClickHouse is there is a sign by itself.
        await self._ledger.flush()

    async def _learn(self) -> None:
        """Which models there are, and now and then when they were heard of."""
        await self._refresh()
        new = self._rules.know(self._directory.models)
        if self._now() - self._history_at >= _HISTORY_EVERY_SECONDS:
            new, self._history_at = sorted(self._directory.models), self._now()
        for key in new:
            await self._remember(key)

    def _follow(self) -> None:
        """Start a little before now, so that a restart has heard what was just said."""
        since = int((self._now() - _LOOK_BACK_SECONDS) * 1000)
        names: tuple[TopicName, ...] = ("partials", "reports")
        wanted = [TopicPartition(self._settings.topic(name), 0, since) for name in names]
        self._follower.assign(self._follower.offsets_for_times(wanted, timeout=30))

    async def _listen(self, until: float) -> None:
        while (left := until - self._now()) > 0:
            for message in await blocking(self._follower.consume, _BATCH, min(left, 1.0)):
                try:
                    self._hear(message)
                except msgspec.MsgspecError as error:
                    place = f"{message.topic()}/{message.partition()}/{message.offset()}"
                    log.error("notify.undecodable", place=place, error=str(error)[:300])

    def _hear(self, message: Message) -> None:
        if (error := message.error()) is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                log.warning("notify.kafka", error=str(error))
            return
        _, at = message.timestamp()
        if message.topic() == self._settings.topic("reports"):
            report = self._reports.decode(message.value() or b"")
            self._rules.reported(model_key(report.namespace, report.model), report.at, at)
            return
        partial = self._partials.decode(message.value() or b"")
        key = model_key(partial.namespace, partial.model)
        if partial.seq <= self._seqs.get((key, partial.partition), -1):
            return
        self._seqs[(key, partial.partition)] = partial.seq
        tallies = {row.name for row in partial.sketches if row.view == "tally"}
        for side in _SOURCES:
            # One without sketches does not say which: nobody is woken for it.
            if not partial.whole or any(name.startswith(f"{side}.") and not name.endswith(".dead") for name in tallies):
                self._rules.arrived(key, side, at)
        low = min(partial.watermarks.predictions, partial.watermarks.outcomes)
        self._rules.passed(key, partial.partition, low, at)

    async def _remember(self, key: str) -> None:
        """When a model was heard of, as the tables know it; without them, what was heard since the start counts."""
        namespace, model = key.split("/", 1)
        for side in _SOURCES:
            sql = _SQL.format(table=f"raw_{side}", days=HISTORY_DAYS)
            try:
                rows = await self._ledger.rows(sql, {"namespace": namespace, "model": model}, slow=True)
            except Unanswered:
                # Soon again, and not in an hour.
                self._history_at = self._now() - _HISTORY_EVERY_SECONDS + 60.0
                return
            self._rules.remember(key, side, (minute for (minute,) in rows))

    def _read_offsets(self) -> tuple[list[int], list[int]]:
        """Ends of the source partitions, and what the aggregator has committed of each."""
        places = [
            TopicPartition(self._settings.topic(side), partition)
            for side in _SOURCES
            for partition in range(self._settings.source_partitions)
        ]
        ends, committed = [], []
        for place in self._offsets.committed(places, timeout=10):
            low, high = self._offsets.get_watermark_offsets(place, timeout=10, cached=False)
            ends.append(high)
            committed.append(max(place.offset, low))
        return ends, committed

    def _see_offsets(self, now: int, ends: list[int], committed: list[int]) -> None:
        """All that had arrived at an earlier look has been counted when the commits have reached its ends."""
        if len(self._pending) < _LOOKS:
            self._pending.append((now, ends))
        while self._pending and all(c >= e for c, e in zip(committed, self._pending[0][1], strict=True)):
            self._through, _ = self._pending.popleft()

    def _tell(self, incident: Incident) -> None:
        """Put an incident on ``alerts``.

        Raises:
            KafkaException: it was not acknowledged; the next look tries again.
        """
        refused: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                refused.append(error)

        key = model_key(incident.namespace, incident.model).encode()
        self._producer.produce(self._settings.topic("alerts"), canonical_json(incident), key, on_delivery=delivered)
        if self._producer.flush(30.0):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"{incident.id} was not acknowledged in 30 s"))
        if refused:
            raise KafkaException(refused[0])


def stalled_after(checkpoint_seconds: float) -> int:
    """Milliseconds after which events that wait to be counted are a stall.

    In a backlog there are three times so many seconds between two checkpoints, and one takes its time.
    """
    return int(9_000 * checkpoint_seconds)


def _is_dead_man(incident: Incident) -> bool:
    return bool(incident.conditions) and all(condition.kind == "dead_man" for condition in incident.conditions)
