"""Stage 2 between its doorbell and its messages: rebuild, evaluate, record, then tell. Knows nothing of Faust.

Everything that is told was recorded before, and may be told again: receivers keep one of each id.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

import structlog

from bus.patience import Patience, elsewhere
from schemas.ids import canonical_json
from schemas.lifecycle import Report
from schemas.partials import PartialMessage, model_key
from schemas.topics import TopicName
from streams.monitor.core import ModelMonitor, Tick
from streams.monitor.generations import Generations
from streams.monitor.held import check_partition
from streams.monitor.records import Records

log = structlog.get_logger()

Send = Callable[[TopicName, bytes, bytes], Awaitable[None]]
"""Sends (topic, key, value) and returns when the brokers have it."""

Batch = dict[str, list[PartialMessage]]
"""Messages by ``namespace/model``, in order."""


class Due(NamedTuple):
    """A tick that can be decided: it closes the window that begins at ``start``, in ms."""

    monitor: ModelMonitor
    start: int
    generations: Generations


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
        self._failing: set[str] = set()

    def forget(self) -> None:
        """Partitions were assigned or taken: what memory holds counts no more."""
        self._monitors, self._failing = {}, set()

    def check(self, message: PartialMessage) -> None:
        """Look whether a message can be used.

        Raises:
            ValueError: it never can: it is of a partition that does not exist.
        """
        check_partition(message.partition, self._records.partitions)

    async def handle(self, messages: Sequence[PartialMessage]) -> None:
        """Take messages and run every tick that is due; returns only when all of it is recorded and told.

        A checkpoint of stage 1 is a message per partition and model, and the windows of many models end together: their
        ticks are recorded by one insert per table. What fails is repeated from the records: for as long as Kafka or
        ClickHouse are away, since giving up would acknowledge the messages. An error of our own is looked for model by
        model, and tried :data:`bus.patience.TRIES` times when the others are done; after that the model waits for its
        next message. It is then tried once, after the others, until that succeeds: nobody waits for it again.

        Args:
            messages: in the order of the topic, each one :meth:`check` has found usable.
        """
        batch: Batch = {}
        for message in messages:
            batch.setdefault(model_key(message.namespace, message.model), []).append(message)
        sound = {key: of for key, of in batch.items() if key not in self._failing}
        failed = await self._each(sound)
        patience = Patience()
        while failed and await patience.again(next(iter(failed.values()))):
            failed = await self._each({key: batch[key] for key in failed}, alone=True)
        failed |= await self._each({key: of for key, of in batch.items() if key not in sound}, alone=True)
        for key, error in failed.items():
            log.error("monitor.given_up", model=key, exc_info=error)
        self._failing = (self._failing - batch.keys()) | failed.keys()

    async def _each(self, batch: Batch, *, alone: bool = False) -> dict[str, Exception]:
        """Work models off, together unless ``alone``; those that an error of our own stopped, with it."""
        if not batch:
            return {}
        error = None if alone else await self._attempt(batch)
        if not alone and (error is None or len(batch) == 1):
            return {} if error is None else dict.fromkeys(batch, error)
        found = {key: await self._attempt({key: of}) for key, of in batch.items()}
        return {key: error for key, error in found.items() if error is not None}

    async def _attempt(self, batch: Batch) -> Exception | None:
        """Work a batch off, however long Kafka or ClickHouse are away; the error of our own that stopped it, if any."""
        patience, models = Patience(), ", ".join(batch)[:500]
        while True:
            monitors = self._monitors
            try:
                await self._work_off(batch, monitors)
                return None
            except Exception as error:
                for key in batch:
                    monitors.pop(key, None)  # memory may be ahead of the record
                log.error("monitor.retry", model=models, attempt=patience.attempts, error=repr(error)[:500])
                if not elsewhere(error):
                    return error
                await patience.again(error)

    async def _work_off(self, batch: Batch, monitors: dict[str, ModelMonitor]) -> None:
        for key in [key for key in batch if key in monitors and monitors[key].lacks(batch[key])]:
            del monitors[key]  # the rows have what the message could not carry
        if unheard := [key for key in batch if key not in monitors]:
            await asyncio.to_thread(self._models.read)
            found = await asyncio.gather(*map(self._rebuild, unheard))
            monitors |= {key: monitor for key, monitor in zip(unheard, found, strict=True) if monitor is not None}
        mine = {key: monitors[key] for key in batch if key in monitors}
        for key, monitor in mine.items():
            for message in batch[key]:
                if message.whole:
                    monitor.apply(message)
                else:
                    monitor.held.missing |= await asyncio.to_thread(self._records.touched, message, monitor.held.floor)
            for window in sorted(monitor.held.missing):
                rows = await asyncio.to_thread(self._records.window, monitor.namespace, monitor.model, window)
                monitor.held.restore(window, rows)
        if self._due(mine.values()):
            # A generation that was published before these events were sent is known before they are judged.
            await asyncio.to_thread(self._models.read)
            for key in [key for key in mine if self._known(key) is None]:
                del monitors[key]
        while due := self._due(mine.values()):
            ticks = await asyncio.to_thread(self._decide, due)
            await asyncio.gather(*(self._tell(tick.report) for tick in ticks))
            for tick in ticks:
                self._decided(model_key(tick.report.namespace, tick.report.model), tick.report.at)

    async def _rebuild(self, key: str) -> ModelMonitor | None:
        """A monitor as the rows have it; None while nobody knows the model."""
        namespace, model = key.split("/", 1)
        if (generations := self._known(key)) is None:
            return None
        rebuilt = await asyncio.to_thread(self._records.rebuild, namespace, model, generations)
        if rebuilt.last is not None:
            await self._tell(rebuilt.last)
        log.info("monitor.rebuilt", model=key, at=rebuilt.last.at if rebuilt.last else None)
        return rebuilt.monitor

    def _due(self, monitors: Iterable[ModelMonitor]) -> list[Due]:
        """The next tick of every model that has one."""
        known = [(monitor, self._models.of(monitor.namespace, monitor.model)) for monitor in monitors]
        return [
            Due(monitor, start, generations)
            for monitor, generations in known
            if generations is not None and (start := monitor.due(generations)) is not None
        ]

    def _decide(self, due: Sequence[Due]) -> list[Tick]:
        """One tick of each model, recorded: the next one of a model needs that this one is."""
        ticks = [monitor.tick(start, generations) for monitor, start, generations in due]
        self._records.write(ticks)
        return ticks

    def _known(self, key: str) -> Generations | None:
        """The generations of a model; when there are none its counts wait, in ClickHouse, for its next message."""
        found = self._models.of(*key.split("/", 1))
        if found is None:
            log.error(
                "monitor.unknown_model",
                model=key,
                error="it has counts but no valid record on the models topic: if it was not deleted, apply its "
                "document again; its windows wait until then",
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
