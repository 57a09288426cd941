"""Faust apps as the stages run them: raw bytes, no tables, nothing declared, every acknowledgement waited for."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import faust

from bus.credentials import credentials
from observe import Observer
from schemas.settings import Settings
from schemas.topics import MAX_MESSAGE_BYTES

_LOOK_SECONDS = 0.1
_LAG_SECONDS = 5.0
_TOGETHER_SECONDS = 0.03
_MOST_TOGETHER = 500
"""Messages that come so soon after one another, at most so many, are worked off together."""

_FINISH_SECONDS = 4.0
"""How long a stop waits for the message that is being worked off; if it takes longer, it comes again."""


def create_app(settings: Settings, role: str) -> faust.App:
    """An app of the consumer group of ``role``, without agents; not started.

    Raises:
        CredentialsError: the owner's Kafka options cannot be used for Faust.
    """
    options = settings.kafka()
    servers = options.pop("bootstrap.servers")
    return faust.App(
        settings.group(role),
        broker=[f"kafka://{server}" for server in servers.split(",")],
        broker_credentials=credentials(options),
        datadir=str(settings.store.parent / f"faust-{role}"),
        store="memory://",
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        stream_wait_empty=False,
        stream_buffer_maxsize=1024,
        broker_max_poll_records=500,
        broker_session_timeout=settings.session_timeout_ms / 1000,
        broker_heartbeat_interval=max(0.3, settings.session_timeout_ms / 10_000),
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MAX_MESSAGE_BYTES,
        producer_acks=-1,
        producer_linger=0,
        producer_max_request_size=MAX_MESSAGE_BYTES,
        web_enabled=False,
    )


class InHand:
    """The messages that an app's agents are at; a stop waits for them, and lets no other begin."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()
        self._closed = False

    async def each(self, stream: Any) -> AsyncIterator[Any]:
        """The events of a stream, each acknowledged when the body of the loop is through with it.

        Faust itself acknowledges also when an agent is cancelled in the middle of a message: a stop would lose it.
        """
        stream.enable_acks = False
        async for event in stream.events():
            await self._begin()
            yield event
            await stream.ack(event)
            self._end()

    async def together(self, stream: Any) -> AsyncIterator[list[Any]]:
        """The events of a stream, as many at once as come within a moment; else as :meth:`each`.

        At most one event more is taken from Faust than is given, so nothing waits here that a rebalance takes away.
        """
        stream.enable_acks = False
        events = aiter(stream.events())
        following = asyncio.ensure_future(anext(events))
        clock = asyncio.get_running_loop().time
        try:
            while True:
                batch = [await following]
                until = clock() + _TOGETHER_SECONDS
                following = asyncio.ensure_future(anext(events))
                while len(batch) < _MOST_TOGETHER:
                    await asyncio.wait({following}, timeout=max(0.0, until - clock()))
                    if not following.done():
                        break
                    batch.append(following.result())
                    following = asyncio.ensure_future(anext(events))
                await self._begin()
                yield batch
                for event in batch:
                    await stream.ack(event)
                self._end()
        finally:
            following.cancel()

    async def _begin(self) -> None:
        if self._closed:
            await asyncio.Event().wait()  # until the stop cancels the agent
        self._count += 1
        self._none.clear()

    def _end(self) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def finish(self, seconds: float) -> None:
        """Let no other message begin, and wait for those that have."""
        self._closed = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._none.wait(), seconds)


async def serve(app: faust.App, *, in_hand: InHand, stop: threading.Event, observer: Observer) -> None:
    """Run an app until ``stop`` is set; then let it finish and acknowledge the messages that it is at.

    Args:
        app: with its agents.
        in_hand: through which the agents get their messages.
        stop: ends it.
        observer: told that the loop turns, whether partitions are assigned, and how far behind they are.

    Raises:
        RuntimeError: Faust gave up.
    """

    # Faust's signals hold their receivers weakly: these live as long as this coroutine.
    async def assigned(*_: object, **__: object) -> None:
        observer.assigned()

    async def revoked(*_: object, **__: object) -> None:
        observer.joining()

    app.on_partitions_assigned.connect(assigned)
    app.on_partitions_revoked.connect(revoked)
    observer.joining()
    await app.start()
    looks = 0
    try:
        while not stop.is_set() and not app.should_stop:
            observer.turn()
            if looks % int(_LAG_SECONDS / _LOOK_SECONDS) == 0:
                observer.lag(_lag(app))
            looks += 1
            await asyncio.sleep(_LOOK_SECONDS)
        await in_hand.finish(_FINISH_SECONDS)
    finally:
        await app.stop()
    if not stop.is_set():
        raise RuntimeError(f"the Faust app {app.conf.id} stopped by itself; its log says why")


def _lag(app: faust.App) -> dict[tuple[str, int], int]:
    """Records between what is acknowledged and the end that the last fetch heard of."""
    seen = app.monitor
    return {
        (place.topic, place.partition): max(0, end - seen.tp_committed_offsets.get(place, 0))
        for place, end in seen.tp_end_offsets.items()
        if place in app.consumer.assignment()
    }
