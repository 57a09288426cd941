"""The Faust app of stage 2: one agent on the ``partials`` topic, in the safe subset of Faust.

No tables, no joins, no ``take``, no transactions; the messages that wait are worked off together, and acknowledged
when all that they led to has been recorded and told (``bus.apps.InHand``). Nothing is raised inside the agent: it would
end it.
"""

import asyncio
import threading
from typing import Any

import faust
import msgspec
import structlog

import bus.apps
from observe import Observer
from schemas.partials import PartialMessage
from schemas.settings import Settings
from schemas.topics import TopicName
from streams.monitor.models import Models
from streams.monitor.records import Records
from streams.monitor.stage import Stage
from warehouse.client import Warehouse

log = structlog.get_logger()

_DECODER = msgspec.json.Decoder(PartialMessage)
_PATIENCE_SECONDS = 10.0


def create_app(
    settings: Settings, warehouse: Warehouse, in_hand: bus.apps.InHand, observer: Observer | None = None
) -> faust.App:
    """The app with its agent; not started.

    Raises:
        CredentialsError: the owner's Kafka options cannot be used for Faust.
    """
    app = bus.apps.create_app(settings, "monitor")
    topics: dict[TopicName, Any] = {
        name: app.topic(settings.topic(name), key_type=bytes, value_type=bytes)
        for name in ("partials", "reports", "alerts", "retraining", "dead-letters")
    }

    async def send(topic: TopicName, key: bytes, value: bytes) -> None:
        await (await topics[topic].send(key=key, value=value))

    models = Models(settings)
    # The stage repeats what fails for as long as it takes; a call that gives up soon lets SIGTERM be heard in between.
    records = Records(warehouse.impatient(_PATIENCE_SECONDS), settings.source_partitions)
    told = observer or Observer()
    stage = Stage(records, models, send, decided=told.tick)

    async def dead(event: Any, error: Exception) -> None:
        """Keep a message that can never be used, with the reason."""
        message = event.message
        place = f"{message.topic}/{message.partition}/{message.offset}"
        log.error("monitor.dead_letter", place=place, error=str(error)[:500])
        headers = {"reason": b"invalid", "detail": str(error)[:1000].encode()}
        while True:
            try:
                dead_letters = topics["dead-letters"]
                await (await dead_letters.send(key=place.encode(), value=event.value or b"", headers=headers))
                return
            except Exception as again:
                log.error("monitor.retry", step="dead letter", place=place, error=repr(again)[:500])
                await asyncio.sleep(1.0)

    @app.agent(topics["partials"], name="monitor", concurrency=1)
    async def monitor(stream: Any) -> None:
        async for events in in_hand.together(stream):
            messages = []
            for event in events:
                try:
                    message = _DECODER.decode(event.value or b"")
                    stage.check(message)
                except (msgspec.MsgspecError, ValueError) as error:
                    told.dead_letters("invalid")
                    await dead(event, error)
                else:
                    if message.model:  # dead letters have no model; they are tallied, not monitored
                        messages.append(message)
            await stage.handle(messages)
            told.messages("partials", len(events))

    @app.on_partitions_assigned.connect
    async def assigned(*_: Any, **__: Any) -> None:
        stage.forget()

    @app.on_partitions_revoked.connect
    async def revoked(*_: Any, **__: Any) -> None:
        stage.forget()

    return app


def run(settings: Settings, warehouse: Warehouse, *, stop: threading.Event, observer: Observer | None = None) -> None:
    """Run the stage until ``stop`` is set.

    Args:
        settings: of the installation.
        warehouse: ClickHouse, migrated.
        stop: set it to finish the message at hand, and leave.
        observer: told how it is doing.

    Raises:
        CredentialsError: the owner's Kafka options cannot be used for Faust.
        RuntimeError: Faust gave up.
    """

    async def serve() -> None:
        in_hand, told = bus.apps.InHand(), observer or Observer()
        app = create_app(settings, warehouse, in_hand, told)
        await bus.apps.serve(app, in_hand=in_hand, stop=stop, observer=told)

    asyncio.run(serve())
