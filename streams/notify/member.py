"""One membership of notify's consumer group: whoever is assigned ``alerts`` reads it all, and tells what is new.

From the beginning to the committed offset the topic says what is open; from there on its records ring. The offset is
committed when a ring was delivered, or never will be; so a kill at any point leaves each ring made, and at most the
one that was on its way made twice, under one key.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable

import httpx
import msgspec
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from observe import Observer
from schemas.lifecycle import Incident
from schemas.settings import Settings
from streams.notify.book import Book, Change
from streams.notify.delivery import Line, Pace, Post, Ring
from streams.notify.ledger import Ledger
from streams.notify.people import People
from streams.notify.progress import Progress
from streams.notify.teams import Directory
from streams.notify.threads import blocking
from streams.notify.watch import Watch
from streams.notify.words import Notice, notice

log = structlog.get_logger()

_BATCH = 500
_POLL_SECONDS = 0.2


class Lost(Exception):
    """The partition is somebody else's, or may be: nothing of what is in memory counts."""


class Member:
    """One membership; a new one is made after every doubt.

    Args:
        settings: brokers, channels, teams.
        ledger: ClickHouse.
        pace: of deliveries.
        now: seconds since the epoch.
        observer: told how it is doing.
    """

    def __init__(
        self, settings: Settings, ledger: Ledger, pace: Pace, now: Callable[[], float], *, observer: Observer
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._ledger = ledger
        self._pace = pace
        self._now = now
        self._topic = settings.topic("alerts")
        self._directory = Directory(settings)
        self._learning = asyncio.Lock()
        self._book = Book()
        self._progress: Progress | None = None
        self._end = 0
        self._read = 0
        self._caught_up = asyncio.Event()
        self._committed: tuple[int, str] | None = None
        self._lost = ""
        self._lines: dict[str, Line] = {}
        self._consumer = Consumer(settings.consumer(settings.group("notify"), **observer.statistics()))
        observer.joining()
        self._consumer.subscribe(
            [self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    async def work(self, stop: threading.Event) -> None:
        """Tell until ``stop`` is set.

        Raises:
            Lost: the membership is in doubt.
            KafkaException: what waiting cannot mend.
        """
        async with httpx.AsyncClient(timeout=self._pace.timeout, follow_redirects=False) as client:
            post = Post(client, self._pace.timeout)
            for name, channel in self._settings.channels.items():
                self._lines[name] = Line(
                    name,
                    channel,
                    post,
                    ledger=self._ledger,
                    pace=self._pace,
                    now=self._now,
                    done=self._done,
                    noted=self._observer.delivery,
                )
            others = [asyncio.create_task(line.work()) for line in self._lines.values()]
            others += [
                asyncio.create_task(line.remind(self._lasting))
                for line in self._lines.values()
                if line.channel.kind == "alertmanager"
            ]
            others += [asyncio.create_task(self._watch()), asyncio.create_task(self._follow_people())]
            reading = asyncio.create_task(self._read_all(stop))
            try:
                await asyncio.wait([reading, *others], return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (reading, *others):
                    task.cancel()
                ended = await asyncio.gather(reading, *others, return_exceptions=True)
            for error in ended:
                if isinstance(error, Exception):
                    raise error

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
        self._directory.close()

    async def _watch(self) -> None:
        await self._caught_up.wait()
        await Watch(
            self._settings,
            self._directory,
            refresh=self._learn,
            book=self._book,
            ledger=self._ledger,
            now=self._now,
            every=self._pace.look,
        ).work()

    async def _follow_people(self) -> None:
        await self._caught_up.wait()
        people = People(self._book, self._ledger, self._tell)
        while True:
            await people.look()
            await asyncio.sleep(self._pace.look)

    async def _tell(self, change: Change, channel: str | None) -> None:
        """Ring for what no record on the topic says; it is known from rows, so no offset depends on it."""
        incident = change.incident
        hearing = self._directory.teams.channels(incident.namespace, incident.team, change.severities)
        for name in sorted(hearing & self._lines.keys()):
            if channel in {None, name}:
                said = notice(change, self._settings.runbook_url)
                await self._lines[name].put(Ring(said, None, self._now()))

    async def _read_all(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._observer.turn()
            messages = await blocking(self._consumer.consume, _BATCH, _POLL_SECONDS)
            if self._lost:
                raise Lost(self._lost)
            if messages:
                # Who is called is asked before somebody is called.
                await self._learn()
            for message in messages:
                await self._take(message)
            self._observer.messages("alerts", len(messages))
            await self._catch_up()
            await self._commit()
            if self._ledger.waiting:
                await self._ledger.flush()
        with contextlib.suppress(TimeoutError):
            under_way = [line.idle.wait() for line in self._lines.values()]
            await asyncio.wait_for(asyncio.gather(*under_way), self._pace.leave)
        await self._commit()

    async def _learn(self) -> None:
        """Learn of teams and models; what cannot be read now is as it was."""
        async with self._learning:
            try:
                await blocking(self._directory.read)
            except KafkaException as error:
                log.warning("notify.directory_unread", error=str(error))

    async def _take(self, message: Message) -> None:
        error, offset = message.error(), message.offset()
        if error is not None:
            if error.retriable() or error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
                log.warning("notify.kafka", error=str(error))
                return
            raise KafkaException(error)
        if self._progress is None or offset is None:
            raise Lost("a record came before its partition was assigned")
        await self._catch_up(before=offset)
        try:
            change = self._book.learn(offset, msgspec.json.decode(message.value() or b"", type=Incident))
        except msgspec.MsgspecError as problem:
            log.error("notify.undecodable", place=f"{self._topic}/0/{offset}", error=str(problem)[:500])
            self._observer.dead_letters("undecodable")
            change = None
        if change is not None and self._progress.live(offset):
            await self._ring(change, offset)
        self._read = offset + 1
        self._progress.read(self._read)

    async def _catch_up(self, before: int | None = None) -> None:
        """At the end that the topic had when it was first read, ring for what is open there, once."""
        progress = self._progress
        if progress is None:
            return
        reached = self._read if before is None else before
        if (offset := progress.collapse) is not None and reached >= progress.since:
            for change in self._book.open():
                await self._ring(change, offset)
            progress.collapsed = True
        if reached >= self._end:
            self._caught_up.set()

    async def _ring(self, change: Change, offset: int) -> None:
        """Tell every channel that is to hear of it and has not."""
        assert self._progress is not None  # noqa: S101
        incident = change.incident
        names = self._directory.teams.channels(incident.namespace, incident.team, change.severities)
        if not names:
            log.warning("notify.nobody", incident=incident.id, team=incident.team, summary=incident.summary)
        said = notice(change, self._settings.runbook_url)
        for name in sorted(names):
            if not self._progress.wanted(name, offset):
                continue
            if name not in self._lines:
                await self._unknown(change, name)
                continue
            self._progress.add(name, offset, incident.id)
            await self._lines[name].put(Ring(said, offset, self._now()))

    async def _unknown(self, change: Change, name: str) -> None:
        valid = ", ".join(sorted(self._lines)) or "none"
        error = f"no channel {name!r} in DRIFTLINE_CHANNELS, which has {valid}; team {change.incident.team} names it"
        log.error("notify.unknown_channel", incident=change.incident.id, error=error)
        await self._ledger.write_delivery(
            change.incident,
            channel=name,
            event=change.event,
            key=change.key(name),
            state="failed",
            attempts=0,
            error=error,
        )

    def _done(self, channel: str, ring: Ring) -> None:
        if self._progress is not None and ring.offset is not None:
            self._progress.done(channel, ring.offset, ring.notice.change.incident.id)

    def _lasting(self, channel: str) -> list[Notice]:
        """Notices of all that a channel was told of and that is still open."""
        return [
            notice(change, self._settings.runbook_url)
            for change in self._book.open()
            if channel
            in self._directory.teams.channels(change.incident.namespace, change.incident.team, change.severities)
        ]

    async def _commit(self) -> None:
        """Move the group's offset on, if anything was finished."""
        if self._progress is None or (where := self._progress.commit()) == self._committed:
            return
        place = TopicPartition(self._topic, 0, *where)
        try:
            done = await blocking(self._consumer.commit, offsets=[place], asynchronous=False)
        except KafkaException as error:
            raise Lost(f"commit refused: {error}") from error
        for partition in done or []:
            if partition.error is not None:
                raise Lost(f"commit refused: {partition.error}")
        self._committed = where

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Start from the beginning; how far people were told is in the commit."""
        self._observer.assigned()
        if not partitions:  # another process has it, and this one is ready to take over
            return
        try:
            committed = consumer.committed(partitions, timeout=30)[0]
            low, self._end = consumer.get_watermark_offsets(partitions[0], timeout=30, cached=False)
        except KafkaException as error:
            self._lost = f"committed offset cannot be read: {error}"
            return
        if committed.error is not None:
            self._lost = f"committed offset cannot be read: {committed.error}"
            return
        offset = committed.offset if committed.offset >= 0 else None
        self._progress = Progress(self._settings.channels, offset, committed.metadata or "", self._end)
        self._read = low
        consumer.assign([TopicPartition(self._topic, 0, low)])
        log.info("notify.assigned", read_from=low, ring_from=self._progress.start, end=self._end)

    def _revoked(self, _consumer: Consumer, _partitions: list[TopicPartition]) -> None:
        self._lost = "the partition was revoked"
