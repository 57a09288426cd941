"""What notify asks and writes: never waited for, never lost while it fits into memory, on the real engine."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import notify_world as world
import pytest
from clickhouse_connect.driver.client import Client

from schemas.tables import INCIDENT_ACTIONS
from streams.notify import ledger as module
from streams.notify.ledger import Ledger, Silence, Unanswered
from warehouse.client import Warehouse
from warehouse.migrate import migrate

INCIDENT = world.incident("incident-1")


class Engine:
    """ClickHouse, which may be away."""

    def __init__(self, client: Client) -> None:
        self.warehouse = Warehouse(client, patience=30)
        migrate(self.warehouse)
        self.there = True
        self.clock = 1_000_000.0
        self.ledger = Ledger(self.connect, lambda: self.clock)

    def connect(self) -> Warehouse:
        if not self.there:
            raise ConnectionRefusedError("nobody there")
        return self.warehouse

    async def note(self, key: str, state: str = "delivered", event: Any = "opened") -> None:
        self.clock += 0.001
        await self.ledger.write_delivery(
            INCIDENT, channel="pager", event=event, key=key, state=state, attempts=1, error=""
        )

    def act(self, incident: str, action: str, at: int, until: int = 0) -> None:
        row = ("default", "flights", incident, f"{action}-{at}", action, "ann", "on it", until, at)
        self.warehouse.insert(INCIDENT_ACTIONS, [row])


@pytest.fixture
def engine(clickhouse: Client) -> Engine:
    return Engine(clickhouse)


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


def test_a_ring_is_known_by_its_key_when_it_was_delivered(engine: Engine) -> None:
    async def work() -> None:
        await engine.note("key-1")
        await engine.note("key-2", "retrying")
        assert await engine.ledger.delivered(INCIDENT, "key-1")
        assert not await engine.ledger.delivered(INCIDENT, "key-2")
        await engine.note("key-2")
        assert await engine.ledger.delivered(INCIDENT, "key-2")

    run(work)


def test_rows_wait_until_clickhouse_is_back(engine: Engine) -> None:
    async def work() -> None:
        engine.there = False
        for n in range(20):
            await engine.note(f"key-{n}")
        await engine.ledger.write_incident(INCIDENT)
        assert (engine.ledger.waiting, engine.ledger.away_since) == (21, 1_000_000_001)
        with pytest.raises(Unanswered):
            await engine.ledger.silences()
        engine.there = True
        await engine.ledger.flush()
        assert engine.ledger.waiting == 21, "who has just failed is not asked again at once"
        engine.clock += 10
        await engine.ledger.flush()
        assert (engine.ledger.waiting, engine.ledger.away_since) == (0, None)

    run(work)
    assert engine.warehouse.rows("SELECT count(), uniqExact(key) FROM delivery_log") == [(20, 20)]
    assert engine.warehouse.rows("SELECT id, severity FROM incident_list") == [("incident-1", "critical")]


def test_what_does_not_fit_into_memory_is_lost_oldest_first(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 10)

    async def work() -> None:
        engine.there = False
        for n in range(25):
            await engine.note(f"key-{n:02}")
        engine.there, engine.clock = True, engine.clock + 10
        await engine.ledger.flush()

    run(work)
    kept = [key for (key,) in engine.warehouse.rows("SELECT key FROM delivery_log ORDER BY key")]
    assert kept == [f"key-{n}" for n in range(15, 25)]


def test_silences_and_acknowledgements_are_those_that_count_now(engine: Engine) -> None:
    future, past = 4_000_000_000_000, 1_000
    engine.act("incident-1", "silence", 1, future)
    engine.act("", "silence", 2, past)
    engine.act("incident-2", "silence", 3, future)
    engine.act("incident-2", "unsilence", 4)
    engine.act("incident-1", "ack", 5)

    async def work() -> None:
        assert await engine.ledger.silences() == [Silence("default", "flights", "incident-1")]
        assert await engine.ledger.acknowledged(["incident-1", "incident-2"]) == {"incident-1": ("ann", "on it")}

    run(work)


def test_what_was_held_back_is_what_a_silence_kept_from_a_channel_last(engine: Engine) -> None:
    async def work() -> None:
        await engine.note("key-1", "silenced")
        await engine.note("key-2", "silenced", "updated")
        assert await engine.ledger.held_back(["incident-1"]) == [("incident-1", "pager", "updated")]
        await engine.note("key-2", "delivered", "updated")
        assert await engine.ledger.held_back(["incident-1"]) == []

    run(work)


def test_a_refused_question_does_not_make_clickhouse_away(engine: Engine) -> None:
    async def work() -> None:
        with pytest.raises(Unanswered, match="UNKNOWN_TABLE"):
            await engine.ledger.rows("SELECT * FROM nowhere")
        assert engine.ledger.away_since is None
        assert await engine.ledger.silences() == []

    run(work)
