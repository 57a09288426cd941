"""Stage 2 on the embedded ClickHouse: what is rebuilt from rows goes on as what was never stopped."""

import asyncio
from collections.abc import Sequence

import monitor_world as world
import msgspec
import pytest
from clickhouse_connect.driver.client import Client
from msgspec.structs import replace

from schemas.lifecycle import Incident
from schemas.partials import PartialMessage, SketchRow
from schemas.tables import PARTIALS
from schemas.topics import TopicName
from streams.monitor.core import Tick
from streams.monitor.generations import Generations
from streams.monitor.records import Records
from streams.monitor.stage import Stage
from warehouse.client import Warehouse
from warehouse.migrate import migrate

DAYS = 11
FAULTS = world.Faults(nulls=[2], bad=[5, 6, 7])
MESSAGES = world.in_turn(world.stream(DAYS, faults=FAULTS))
GENERATIONS = Generations.of([world.record()])


class Models:
    """Knows one model, from the ``known_after``-th reading on."""

    def __init__(self, known_after: int = 0) -> None:
        self.readings_left = known_after

    def read(self) -> None:
        """There is nothing more to learn when it is known."""
        self.readings_left -= 1

    def of(self, namespace: str, model: str) -> Generations | None:
        return GENERATIONS if self.readings_left < 0 else None


class Process:
    """One monitor process, without Kafka: it keeps what it would have sent, and may die while sending."""

    def __init__(
        self, warehouse: Warehouse, *, dies_at: int = 0, records: type[Records] = Records, known_after: int = 0
    ) -> None:
        self.sent: list[tuple[TopicName, bytes, bytes]] = []
        self._dies_at = dies_at
        self._stage = Stage(records(warehouse, 2), Models(known_after), self._send)

    async def _send(self, topic: TopicName, key: bytes, value: bytes) -> None:
        if self._dies_at and len(self.sent) + 1 == self._dies_at:
            raise KeyboardInterrupt  # what no handler in the stage catches
        self.sent.append((topic, key, value))

    def take(self, *messages: PartialMessage) -> None:
        for message in messages:
            self.take_together([message])

    def take_together(self, messages: Sequence[PartialMessage]) -> None:
        asyncio.run(self._stage.handle(messages))


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    found = Warehouse(clickhouse, patience=30)
    migrate(found)
    return found


def rows(warehouse: Warehouse) -> dict[str, list[tuple[object, ...]]]:
    """Everything that the monitor writes; of revised numbers the newest."""
    return {
        table: warehouse.rows(f"SELECT * FROM {table} FINAL ORDER BY ALL")  # noqa: S608  names from the next line
        for table in ("reports", "metrics", "incidents", "audit")
    }


def wipe(warehouse: Warehouse) -> None:
    for table in ("reports", "metrics", "incidents", "audit"):
        warehouse.command(f"TRUNCATE TABLE {table}")


def test_a_process_that_starts_anew_for_every_message_writes_the_same(warehouse: Warehouse) -> None:
    steady = Process(warehouse)
    for message in MESSAGES:
        world.store(warehouse, [message])
        steady.take(message)
    once = rows(warehouse)
    assert len(once["reports"]) == DAYS
    assert {row[2] for row in once["audit"]} == {"incident", "request"}

    wipe(warehouse)
    for table in ("partials", "checkpoints", "heads"):
        warehouse.command(f"TRUNCATE TABLE {table}")
    sent = []
    for message in MESSAGES:
        world.store(warehouse, [message])
        short = Process(warehouse)
        short.take(message)
        sent += short.sent
    assert rows(warehouse) == once
    assert set(sent) == set(steady.sent)


def test_everything_at_once_after_a_long_stop_writes_the_same(warehouse: Warehouse) -> None:
    steady = Process(warehouse)
    for message in MESSAGES:
        world.store(warehouse, [message])
        steady.take(message)
    once = rows(warehouse)
    wipe(warehouse)
    late = Process(warehouse)
    late.take(MESSAGES[0])  # an old message: the doorbell rings, the rows say the rest
    assert late.sent == steady.sent
    again = rows(warehouse)
    for table in ("reports", "incidents", "audit"):
        assert again[table] == once[table]
    # Revised numbers of all windows are those that every late label has reached, and were never smaller revisions.
    assert {row[:9] for row in again["metrics"]} == {row[:9] for row in once["metrics"]}


def too_large(message: PartialMessage) -> PartialMessage:
    """As stage 1 sends it when Kafka would refuse it."""
    return replace(message, sketches=[], whole=False)


@pytest.mark.parametrize("every", [1, 3])
def test_messages_too_large_to_carry_their_sketches_change_nothing(warehouse: Warehouse, every: int) -> None:
    steady = Process(warehouse)
    for message in MESSAGES:
        world.store(warehouse, [message])
        steady.take(message)
    once = rows(warehouse)
    wipe(warehouse)
    for table in ("partials", "checkpoints", "heads"):
        warehouse.command(f"TRUNCATE TABLE {table}")
    told = Process(warehouse)
    for number, message in enumerate(MESSAGES):
        world.store(warehouse, [message])
        told.take(message if number % every else too_large(message))
        if number % 4 == 0:
            told.take(too_large(message))  # a repetition
    assert rows(warehouse) == once
    assert set(told.sent) == set(steady.sent)


def test_a_window_that_was_let_go_is_revised_after_a_message_too_large(warehouse: Warehouse) -> None:
    first = min(row.window_start for row in MESSAGES[0].sketches)
    late = SketchRow(1, "tally", "", "", first, "predictions.late", 5, 0, 0, [], None, None, [])
    messages = [*MESSAGES[:-3], replace(MESSAGES[-3], sketches=[*MESSAGES[-3].sketches, late]), *MESSAGES[-2:]]
    found = []
    for send in (lambda message: message, too_large):
        told = Process(warehouse)
        for message in messages:
            world.store(warehouse, [message])
            told.take(send(message) if message is messages[-3] else message)
        found.append(rows(warehouse))
        wipe(warehouse)
        for table in ("partials", "checkpoints", "heads"):
            warehouse.command(f"TRUNCATE TABLE {table}")
    assert found[0] == found[1]


@pytest.mark.parametrize("dies_at", range(1, 8))
def test_what_was_decided_but_not_told_is_told_by_the_next(warehouse: Warehouse, dies_at: int) -> None:
    world.store(warehouse, MESSAGES)
    steady = Process(warehouse)
    steady.take(MESSAGES[-1])
    once = rows(warehouse)
    wipe(warehouse)

    dying = Process(warehouse, dies_at=dies_at)
    with pytest.raises(KeyboardInterrupt):
        dying.take(MESSAGES[-1])
    following = Process(warehouse)
    following.take(MESSAGES[-1])
    assert rows(warehouse) == once
    assert set(dying.sent + following.sent) == set(steady.sent)


class Refusing(Records):
    """A table refuses every second tick, once before the tick and once after it was written."""

    def __init__(self, warehouse: Warehouse, partitions: int) -> None:
        super().__init__(warehouse, partitions)
        self.writes = 0

    def write(self, ticks: Sequence[Tick]) -> None:
        self.writes += 1
        if self.writes % 4 == 1:
            raise OSError("away")
        super().write(ticks)
        if self.writes % 4 == 3:
            raise OSError("the answer was lost")


def test_what_fails_is_repeated_from_the_records(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.patience._BACK_OFF", (0.0,))
    world.store(warehouse, MESSAGES)
    steady = Process(warehouse)
    steady.take(MESSAGES[-1])
    once = rows(warehouse)
    wipe(warehouse)
    shaky = Process(warehouse, records=Refusing)
    shaky.take(MESSAGES[-1])
    assert rows(warehouse) == once
    assert set(shaky.sent) == set(steady.sent)


def of_models(*names: str) -> list[list[PartialMessage]]:
    """A day's messages of all models, day by day."""
    streams = [world.in_turn(world.stream(DAYS, faults=FAULTS, model=name)) for name in names]
    return [[message for stream in streams for message in stream[at : at + 2]] for at in range(0, len(streams[0]), 2)]


def test_models_that_close_together_write_what_each_writes_alone(warehouse: Warehouse) -> None:
    days = of_models("a", "b", "c")
    one_by_one = Process(warehouse)
    for messages in days:
        world.store(warehouse, messages)
        one_by_one.take(*messages)
    once = rows(warehouse)
    assert len(once["reports"]) == 3 * DAYS
    wipe(warehouse)
    together = Process(warehouse)
    for messages in days:
        together.take_together(messages)
    assert rows(warehouse) == once
    assert sorted(together.sent) == sorted(one_by_one.sent)
    for model in (b"default/a", b"default/b", b"default/c"):
        of_it = [sent for sent in together.sent if sent[1] == model]
        assert of_it == [sent for sent in one_by_one.sent if sent[1] == model], "each model's are told in order"


class Unwritable(Records):
    """Ticks of model b cannot be written, which is our own fault."""

    def write(self, ticks: Sequence[Tick]) -> None:
        if any(tick.report.model == "b" for tick in ticks):
            raise ValueError("no such column")
        super().write(ticks)


def test_a_model_that_fails_does_not_hold_up_those_that_close_with_it(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.patience._BACK_OFF", (0.0,))
    days = of_models("a", "b", "c")
    process = Process(warehouse, records=Unwritable)
    for messages in days:
        world.store(warehouse, messages)
        process.take_together(messages)
    found = warehouse.rows("SELECT model, count() FROM reports FINAL GROUP BY model ORDER BY model")
    assert found == [("a", DAYS), ("c", DAYS)]


def test_an_unknown_model_waits_without_holding_up_the_others(warehouse: Warehouse) -> None:
    world.store(warehouse, MESSAGES[:8])
    process = Process(warehouse, known_after=1)
    process.take(MESSAGES[6])
    assert process.sent == []
    process.take(MESSAGES[7])
    assert [topic for topic, _, _ in process.sent].count("reports") == 2


def test_a_window_that_was_let_go_is_read_again_for_a_very_late_label(warehouse: Warehouse) -> None:
    """A label of the first day comes after nine days; its window's numbers are revised from all partitions' rows."""
    process = Process(warehouse)
    for message in MESSAGES:
        world.store(warehouse, [message])
        process.take(message)
    shown = (
        "SELECT value, n, revision FROM metrics FINAL WHERE view = 'performance' AND metric = 'brier' AND segment = ''"
    )
    oldest = f"{shown} AND toUnixTimestamp64Milli(window_start) = {world.START}"
    ((_, n, revision),) = warehouse.rows(oldest)
    assert n == 150

    for partition in (0, 1):
        aggregator = world.Aggregator(partition, world.reference(), FAULTS)
        for day in range(DAYS):
            aggregator.day(day)
        aggregator.label(0, slice(world.ROWS - 5, world.ROWS), "overdue")
        for message in aggregator.day(DAYS):
            world.store(warehouse, [message])
            process.take(message)
    ((_, later, newer),) = warehouse.rows(oldest)
    assert later == 160
    assert newer > revision


def test_a_wide_sum_survives_the_table(warehouse: Warehouse) -> None:
    """Sums are 128 bits wide in the table and arrive as they were sent."""
    message = MESSAGES[0]
    row = message.sketches[0]
    total = 2**100
    values = [
        "default",
        "flights",
        1,
        "matured",
        "1",
        "",
        row.window_start,
        "",
        0,
        1,
        0,
        0,
        [-total],
        None,
        None,
        [1],
        1,
    ]
    warehouse.insert(PARTIALS, [values])
    ((partition, seq, found),) = Records(warehouse, 2).window("default", "flights", row.window_start)
    assert (partition, seq, found.sums, found.minimum) == (0, 1, [-total], None)


def test_an_incident_row_tells_how_it_stands(warehouse: Warehouse) -> None:
    world.store(warehouse, MESSAGES[:-4])
    process = Process(warehouse)
    process.take(MESSAGES[-5])
    incidents = [msgspec.json.decode(b, type=Incident) for (b,) in warehouse.rows("SELECT body FROM incidents FINAL")]
    assert sorted((i.state, [c.kind for c in i.conditions]) for i in incidents) == [
        ("open", ["labelled_loss"]),
        ("resolved", ["quality"]),
    ]
