"""Faust apps as the stages run them: raw bytes, no tables, nothing declared, every acknowledgement waited for."""

import asyncio
import threading
from contextlib import suppress

import faust

from bus.credentials import credentials
from observe import Observer
from schemas.settings import Settings
from schemas.topics import MAX_MESSAGE_BYTES

_LOOK_SECONDS = 0.1
_LAG_SECONDS = 5.0
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


async def serve(app: faust.App, *, busy: asyncio.Lock, stop: threading.Event, observer: Observer) -> None:
    """Run an app until ``stop`` is set; then let it finish and acknowledge the message that it is at.

    Args:
        app: with its agents.
        busy: held by an agent while it works on a message.
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
        # Kept until the end: no agent begins another message.
        with suppress(TimeoutError):
            await asyncio.wait_for(busy.acquire(), _FINISH_SECONDS)
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
