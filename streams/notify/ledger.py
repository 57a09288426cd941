"""What notify asks ClickHouse and writes there, without ever waiting for it.

A page must not wait for a database: a question that is not answered in time counts as not answered, and rows wait in
memory, in bounded number, until ClickHouse is back.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import structlog
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from schemas.lifecycle import Incident
from schemas.tables import DELIVERIES, INCIDENTS, Table
from streams import incidents
from streams.notify.book import Event
from warehouse.client import Warehouse

log = structlog.get_logger()

_ASK_AGAIN_SECONDS = 5.0
_SLOW_ANSWER_SECONDS = 60.0
_ROWS = 10_000

_DELIVERED = (
    "SELECT count() FROM deliveries FINAL WHERE namespace = {namespace:String} AND model = {model:String} "
    "AND incident_id = {incident:String} AND key = {key:String} AND state = 'delivered'"
)
_ACKNOWLEDGED = (
    "SELECT incident_id, argMax(a.`by`, a.`at`), argMax(a.note, a.`at`) FROM incident_actions AS a FINAL "
    "WHERE action = 'ack' AND incident_id IN {incidents:Array(String)} GROUP BY incident_id ORDER BY incident_id"
)
_HELD_BACK = (
    "SELECT incident_id, channel, argMax(d.event, d.`at`) FROM deliveries AS d FINAL "
    "WHERE incident_id IN {incidents:Array(String)} GROUP BY incident_id, channel "
    "HAVING argMax(d.state, d.`at`) = 'silenced' ORDER BY incident_id, channel"
)
_SILENCES = "SELECT namespace, model, incident_id FROM silences WHERE until > now64(3, 'UTC')"


class Silence(NamedTuple):
    """What nobody wants to hear of; ``incident`` empty: of the whole model."""

    namespace: str
    model: str
    incident: str

    def covers(self, incident: Incident) -> bool:
        """Whether it is about an incident."""
        return (self.namespace, self.model) == (incident.namespace, incident.model) and self.incident in {
            "",
            incident.id,
        }


class Unanswered(Exception):
    """ClickHouse did not answer, or not in time."""


class Ledger:
    """ClickHouse, as long as it is there.

    Args:
        connect: opens the database, or raises soon; called until it succeeds, and again after every failure.
        now: seconds since the epoch.
        answer: seconds that a ring waits for an answer.

    Attributes:
        away_since: when ClickHouse last stopped answering, in ms since the epoch; None while it answers.
    """

    def __init__(self, connect: Callable[[], Warehouse], now: Callable[[], float], answer: float = 2.0) -> None:
        self._connect = connect
        self._now = now
        self._answer = answer
        self._warehouse: Warehouse | None = None
        # One thread each: calls that hang queue behind each other, and not beside everything else.
        self._quick = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="ledger-slow")
        self._rows: deque[tuple[Table, Sequence[Any]]] = deque()
        self._dropped = 0
        self._failed_at = float("-inf")
        self.away_since: int | None = None

    async def delivered(self, incident: Incident, key: str) -> bool:
        """Whether a row says that this ring was made.

        Raises:
            Unanswered: nobody knows.
        """
        who = {"namespace": incident.namespace, "model": incident.model, "incident": incident.id, "key": key}
        return bool((await self.rows(_DELIVERED, who))[0][0])

    async def silences(self) -> list[Silence]:
        """What is silenced now.

        Raises:
            Unanswered: nobody knows.
        """
        return [Silence(*row) for row in await self.rows(_SILENCES)]

    async def acknowledged(self, incidents_: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Which of these incidents were acknowledged: id -> by whom, and with which note.

        Raises:
            Unanswered: nobody knows.
        """
        return {id_: (by, note) for id_, by, note in await self.rows(_ACKNOWLEDGED, {"incidents": incidents_})}

    async def held_back(self, incidents_: Sequence[str]) -> list[tuple[str, str, Event]]:
        """Which of these incidents a channel was last not told because of a silence: (id, channel, event).

        Raises:
            Unanswered: nobody knows.
        """
        rows = await self.rows(_HELD_BACK, {"incidents": incidents_})
        return [(id_, channel, event) for id_, channel, event in rows]

    async def rows(
        self, sql: str, parameters: Mapping[str, Any] | None = None, *, slow: bool = False
    ) -> list[tuple[Any, ...]]:
        """Rows of a query.

        Args:
            sql: as :meth:`warehouse.client.Warehouse.rows` takes it.
            parameters: the same.
            slow: nobody waits for the answer; it may take a minute.

        Raises:
            Unanswered: ClickHouse is away, too slow, or refused.
        """
        found: list[tuple[Any, ...]] = await self._call(lambda warehouse: warehouse.rows(sql, parameters), slow=slow)
        return found

    async def write_delivery(
        self, incident: Incident, *, channel: str, event: str, key: str, state: str, attempts: int, error: str
    ) -> None:
        """Note what became of a ring; the row waits in memory if it must."""
        at = int(self._now() * 1000)
        who = (incident.namespace, incident.model, incident.id)
        await self._write(DELIVERIES, (*who, channel, event, key, state, attempts, at, error))

    async def write_incident(self, incident: Incident) -> None:
        """Note an incident of a dead-man rule, as the monitor notes its own."""
        await self._write(INCIDENTS, incidents.row(incident, incident.updated))

    async def _write(self, table: Table, row: Sequence[Any]) -> None:
        if len(self._rows) >= _ROWS:
            self._rows.popleft()
            if not self._dropped:
                log.error("notify.rows_lost", why=f"ClickHouse is away and {_ROWS} rows wait already")
            self._dropped += 1
        self._rows.append((table, row))
        await self.flush()

    async def flush(self) -> None:
        """Write the rows that wait, if ClickHouse is there; also finds out whether it is."""
        waiting = list(self._rows)
        tables = {table.name: table for table, _ in waiting}

        def insert(warehouse: Warehouse) -> None:
            if not waiting:
                warehouse.rows("SELECT 1")
            for name, table in tables.items():
                warehouse.insert(table, [row for of, row in waiting if of.name == name])

        try:
            await self._call(insert)
        except Unanswered:
            return
        self._forget(waiting)
        if self._dropped:
            log.error("notify.rows_lost_total", rows=self._dropped)
            self._dropped = 0

    def _forget(self, written: Iterable[tuple[Table, Sequence[Any]]]) -> None:
        # By identity: two rows may be alike, and others may have come meanwhile.
        ids = {id(item) for item in written}
        self._rows = deque(item for item in self._rows if id(item) not in ids)

    @property
    def waiting(self) -> int:
        """Rows that wait for ClickHouse."""
        return len(self._rows)

    def close(self) -> None:
        """Wait for nobody."""
        for threads in (self._quick, self._slow):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, ask: Callable[[Warehouse], Any], *, slow: bool = False) -> Any:
        """Ask in a thread; who has just failed is not asked again at once."""
        if self._now() - self._failed_at < _ASK_AGAIN_SECONDS:
            raise Unanswered("ClickHouse did not answer a moment ago")

        def work() -> Any:
            if self._warehouse is None:
                self._warehouse = self._connect()
            return ask(self._warehouse)

        threads, seconds = (self._slow, _SLOW_ANSWER_SECONDS) if slow else (self._quick, self._answer)
        try:
            found = await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(threads, work), seconds)
        except Exception as error:
            refused = isinstance(error, DatabaseError) and not isinstance(error, OperationalError)
            if refused or slow:
                log.error("notify.clickhouse_refused", error=repr(error)[:300])
            else:
                self._note_away(error)
            raise Unanswered(repr(error)[:300]) from error
        if self.away_since is not None:
            log.info("notify.clickhouse_back", rows=len(self._rows))
            self.away_since = None
        return found

    def _note_away(self, error: Exception) -> None:
        self._failed_at = self._now()
        if self.away_since is None:
            self.away_since = int(self._failed_at * 1000)
            log.warning("notify.clickhouse_away", error=repr(error)[:300])
