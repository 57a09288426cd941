"""Stage 2 between its doorbell and its messages: rebuild, evaluate, record, then tell. Knows nothing of Faust.

Everything that is told was recorded before, and may be told again: receivers keep one of each id.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from bus.patience import Patience
from schemas.ids import canonical_json
from schemas.lifecycle import Report
from schemas.partials import PartialMessage, model_key
from schemas.topics import TopicName
from streams.monitor.core import ModelMonitor, Tick
from streams.monitor.generations import Generations
from streams.monitor.records import Records

log = structlog.get_logger()

Send = Callable[[TopicName, bytes, bytes], Awaitable[None]]
"""Sends (topic, key, value) and returns when the brokers have it."""


class UnknownModelError(RuntimeError):
    """Counts came of a model that the ``models`` topic does not know, or not any more."""


class ModelsReader(Protocol):
    """Knows the generations of every model (see ``streams.monitor.models``)."""

    def read(self) -> None:
        """Learn all that was published before now."""

    def of(self, namespace: str, model: str) -> Generations | None:
        """The generations of a model; None when it is unknown."""


class Stage:
    """The monitors of all models that this process has been told of since its partitions were assigned."""

    def __init__(
        self,
        records: Records,
        models: ModelsReader,
        send: Send,
        *,
        decided: Callable[[str, int], None] = lambda _model, _at: None,
    ) -> None:
        """Hold nothing: every model is rebuilt from ``records`` when it is first touched.

        Args:
            records: ClickHouse.
            models: generations.
            send: to Kafka.
            decided: told of each tick (``namespace/model``, event time in ms) that was recorded and told.
        """
        self._records = records
        self._models = models
        self._send = send
        self._decided = decided
        self._monitors: dict[str, ModelMonitor] = {}

    def forget(self) -> None:
        """Partitions were assigned or taken: what memory holds counts no more."""
        self._monitors = {}

    async def handle(self, message: PartialMessage) -> None:
        """Take a message and run every tick that is due; returns only when all of it is recorded and told.

        What fails is repeated from the records: for as long as Kafka or ClickHouse are away, since giving up would
        acknowledge the message. After :data:`bus.patience.TRIES` errors of our own the model waits for its next
        message, and those behind it go on.

        Raises:
            ValueError: the message can never be used.
        """
        key = model_key(message.namespace, message.model)
        patience = Patience()
        while True:
            monitors = self._monitors
            try:
                monitor = monitors.get(key) or await self._rebuild(message.namespace, message.model)
            except UnknownModelError as error:
                # Nothing is lost by going on: the rows are in ClickHouse, and the next checkpoint rings again.
                log.error("monitor.unknown_model", model=key, error=str(error))
                return
            except Exception as error:
                if await self._again(key, "rebuild", patience, error):
                    continue
                return
            monitor.apply(message)
            try:
                await self._evaluate(monitor)
            except UnknownModelError as error:
                monitors.pop(key, None)
                log.error("monitor.unknown_model", model=key, error=str(error))
                return
            except Exception as error:
                monitors.pop(key, None)  # memory may be ahead of the record
                if await self._again(key, "evaluate", patience, error):
                    continue
                return
            monitors[key] = monitor
            return

    async def _rebuild(self, namespace: str, model: str) -> ModelMonitor:
        generations = await self._generations(namespace, model)
        rebuilt = await asyncio.to_thread(self._records.rebuild, namespace, model, generations)
        if rebuilt.last is not None:
            await self._tell(rebuilt.last)
        log.info("monitor.rebuilt", model=model_key(namespace, model), at=rebuilt.last.at if rebuilt.last else None)
        return rebuilt.monitor

    async def _evaluate(self, monitor: ModelMonitor) -> None:
        for window in sorted(monitor.held.missing):
            rows = await asyncio.to_thread(self._records.window, monitor.namespace, monitor.model, window)
            monitor.held.restore(window, rows)
        known = self._models.of(monitor.namespace, monitor.model)
        while known is not None and monitor.due(known) is not None:
            # A generation that was published before these events were sent is known before they are judged.
            known = await self._generations(monitor.namespace, monitor.model)
            start = monitor.due(known)
            if start is None:
                return
            tick = await asyncio.to_thread(self._decide, monitor, start, known)
            await self._tell(tick.report)
            self._decided(model_key(monitor.namespace, monitor.model), tick.report.at)

    def _decide(self, monitor: ModelMonitor, start: int, generations: Generations) -> Tick:
        tick = monitor.tick(start, generations)
        self._records.write(tick)
        return tick

    async def _generations(self, namespace: str, model: str) -> Generations:
        await asyncio.to_thread(self._models.read)
        found = self._models.of(namespace, model)
        if found is None:
            raise UnknownModelError(
                f"{model_key(namespace, model)} has counts but no valid record on the models topic: if it was not "
                "deleted, apply its document again; its windows wait until then"
            )
        return found

    async def _tell(self, report: Report) -> None:
        """The messages of a tick: its report last, since the report is what the next stage decides on."""
        key = model_key(report.namespace, report.model).encode()
        if report.incident is not None and report.incident.changed == report.at:
            await self._send("alerts", key, canonical_json(report.incident))
        for request in report.requests:
            await self._send("retraining", key, canonical_json(request))
        await self._send("reports", key, canonical_json(report))

    @staticmethod
    async def _again(model: str, step: str, patience: Patience, error: Exception) -> bool:
        log.error("monitor.retry", model=model, step=step, attempt=patience.attempts, error=repr(error)[:500])
        if await patience.again(error):
            return True
        log.error("monitor.given_up", model=model, step=step, exc_info=error)
        return False
