"""Stage 4, the rollout: a Faust app around the state machine. Reports and candidates are doorbells.

Safe subset of Faust: one event after the other (``bus.apps.InHand``), no tables, nothing raises inside an agent. A
doorbell is acknowledged only after everything that it made possible is recorded and told; so what a killed process left
is rung again.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import faust
import msgspec
import structlog

import bus.apps
from bus.patience import Patience
from observe import Observer
from retrain.decider import Decider, ModelKey, Outbox
from retrain.models import UnknownGeneration, publish
from retrain.store import Store
from schemas.lifecycle import Candidate, Report
from schemas.partials import model_key
from schemas.settings import Settings
from schemas.tables import AUDIT
from warehouse.client import Warehouse

log = structlog.get_logger()

_PATIENCE_SECONDS = 10.0


def create_app(
    settings: Settings,
    warehouse: Warehouse,
    store: Store,
    in_hand: bus.apps.InHand,
    observer: Observer | None = None,
) -> faust.App:
    """The app with its two agents; not started.

    Raises:
        CredentialsError: the owner's Kafka options cannot be used for Faust.
    """
    app = bus.apps.create_app(settings, "rollout")
    reports = app.topic(settings.topic("reports"), key_type=bytes, value_type=bytes)
    candidates = app.topic(settings.topic("candidates"), key_type=bytes, value_type=bytes)
    # A doorbell is answered for as long as it takes; a call that gives up soon lets a stop be heard in between.
    impatient = warehouse.impatient(_PATIENCE_SECONDS)
    told = observer or Observer()
    bell = _Bell(Decider(settings, impatient, store), _teller(app, settings, impatient, told))

    @app.agent(reports, name="rollout.reports")
    async def on_report(stream: Any) -> None:
        async for event in in_hand.each(stream):
            await bell.ring(event.value, Report)
            told.messages("reports")

    @app.agent(candidates, name="rollout.candidates")
    async def on_candidate(stream: Any) -> None:
        async for event in in_hand.each(stream):
            await bell.ring(event.value, Candidate)
            told.messages("candidates")

    @app.on_partitions_revoked.connect
    async def on_revoked(*_: Any, **__: Any) -> None:
        bell.forget()

    return app


def _teller(
    app: faust.App, settings: Settings, warehouse: Warehouse, observer: Observer
) -> Callable[[Outbox], Awaitable[None]]:
    rollouts = app.topic(settings.topic("rollouts"), key_type=bytes, value_type=bytes)

    async def tell(outbox: Outbox) -> None:
        """Send and wait for the brokers: the generation first, since the rollout lets its first event come."""
        if outbox.record is not None:
            published = await asyncio.to_thread(publish, settings, outbox.record)
            if published is not None:
                await asyncio.to_thread(warehouse.insert, AUDIT, [published.audit().row()])
        key = model_key(outbox.rollout.namespace, outbox.rollout.model)
        await (await rollouts.send(key=key.encode(), value=msgspec.json.encode(outbox.rollout)))
        observer.tick(key, outbox.rollout.decided_through)

    return tell


class _Bell:
    """What a doorbell sets off, one at a time."""

    def __init__(self, decider: Decider, tell: Callable[[Outbox], Awaitable[None]]) -> None:
        self._decider = decider
        self._tell = tell
        self._lock = asyncio.Lock()
        self._forget = False

    def forget(self) -> None:
        """The partitions were taken: memory counts no more."""
        self._forget = True

    async def ring(self, value: bytes, kind: type[Report] | type[Candidate]) -> None:
        """Decide all that can be decided for the model of a message; never raises, and returns when it is done.

        What others cannot do now is repeated until they can. After :data:`bus.patience.TRIES` errors of our own the
        model waits for its next doorbell, and those behind it go on.
        """
        try:
            message = msgspec.json.decode(value, type=kind)
        except msgspec.MsgspecError as error:
            log.error("rollout.undecodable", kind=kind.__name__, error=str(error), value=value[:200])
            return
        key = (message.namespace, message.model)
        report = message if isinstance(message, Report) else None
        patience = Patience()
        while True:
            try:
                async with self._lock:
                    await self._advance(key, report)
                return
            except UnknownGeneration as error:
                # Whoever counted it has read it, so it was deleted: there is nothing to wait for.
                self._decider.forget(key)
                log.error("rollout.unknown_generation", model=model_key(*key), error=str(error))
                return
            except Exception as error:
                # Memory may be half a step ahead of the record.
                self._decider.forget(key)
                log.error("rollout.retry", model=model_key(*key), error=repr(error), attempt=patience.attempts)
                if not await patience.again(error):
                    log.exception("rollout.given_up", model=model_key(*key))
                    return

    async def _advance(self, key: ModelKey, report: Report | None) -> None:
        if self._forget:
            self._forget = False
            self._decider.forget()
        again = await asyncio.to_thread(self._decider.touch, key, report)
        if again is not None:
            await self._tell(again)
        while (outbox := await asyncio.to_thread(self._decider.decide, key)) is not None:
            await self._tell(outbox)


def run(
    settings: Settings,
    warehouse: Warehouse,
    store: Store,
    *,
    stop: threading.Event,
    observer: Observer | None = None,
) -> None:
    """Run the stage until ``stop`` is set.

    Raises:
        CredentialsError: the owner's Kafka options cannot be used for Faust.
        RuntimeError: Faust gave up.
    """

    async def serve() -> None:
        in_hand, told = bus.apps.InHand(), observer or Observer()
        app = create_app(settings, warehouse, store, in_hand, told)
        await bus.apps.serve(app, in_hand=in_hand, stop=stop, observer=told)

    asyncio.run(serve())
