"""Stage 1 holds a bounded amount, however much comes and however large it is, and reads no more than it can store."""

from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
from aggregate_world import HOUR, START
from batch_world import DICTIONARY, HEADERS, NUMBER, TEXT, TIME, arrow
from confluent_kafka import Producer
from outage_world import World
from roles_process import Role, started, until

from schemas.columnar import MAX_ROWS
from streams.aggregate.routing import partitions_of

PADDING, BURST = 20_000, 10_000
BATCHES, TEXT_BYTES = 24, 5_800
"""Messages of many events, and what each of their rows says: 60 MB of a message of half a megabyte."""

QUEUE = 128_000_000
"""Bytes that stage 1 decodes before it stores them; librdkafka fetches half as much ahead."""


@pytest.fixture
def world(tmp_path: Path, kafka_cache: Path) -> Iterator[World]:
    """Checkpoints are rare, so that it is not they who bound what waits."""
    made = World(tmp_path, kafka_cache, checkpoint_seconds=600.0)
    yield made
    made.end()


def steady(role: Role) -> int:
    """Bytes that a process holds, once that changes no more."""
    process, found = psutil.Process(role.process.pid), [0]

    def still() -> bool:
        found.append(int(process.memory_info().rss))
        return len(found) > 40 and max(found[-40:]) - min(found[-40:]) < 2_000_000

    until(still, "its memory changes no more")
    return found[-1]


def test_memory_is_bounded_by_bytes_and_while_clickhouse_is_away(world: World, tmp_path: Path) -> None:
    world.send(100, apart=1)
    with started(world.settings, tmp_path, {"aggregate": {}}) as roles:
        role = roles["aggregate"]
        role.until_ready()
        idle = steady(role)
        # No checkpoint is due for minutes, and no window ends; rows are written, and memory is freed, nevertheless.
        world.send(BURST, padding=PADDING, apart=1)
        stored = "SELECT count() > {enough:UInt32} FROM raw_predictions"
        until(lambda: world.warehouse.rows(stored, {"enough": BURST // 3}) == [(1,)], "rows are stored", 240)
        assert steady(role) - idle < 6 * QUEUE

        world.clickhouse.kill()
        world.send(BURST, padding=PADDING, apart=1)
        until(lambda: "aggregate.paused" in role.said, "it has enough, and nowhere to put it")
        held = steady(role)
        world.send(BURST, padding=PADDING, apart=1)
        assert steady(role) - held < QUEUE, "what comes meanwhile waits in Kafka"
        assert held - idle < 6 * QUEUE
        world.clickhouse.start()
        until(lambda: role.said.count("aggregate.assigned") >= 4, "it takes the partitions up again", 240)
        assert role.end() == 0
    with started(world.settings.model_copy(update={"checkpoint_seconds": 1.0}), tmp_path, {"aggregate": {}}):
        until(lambda: world.counted() == {"predictions.counted": world.sent}, "all is counted, once", 240)


def few_bytes_that_mean_many(number: int, home: int) -> bytes:
    """A batch whose rows live in a partition, each with the same long text."""
    names = [f"b{number}-{n}" for n in range(3 * MAX_ROWS)]
    places = partitions_of([f"default/delay/{name}".encode() for name in names], 2)
    ids = [name for name, place in zip(names, places.tolist(), strict=True) if place == home][:MAX_ROWS]
    nothing = pa.array([0] * MAX_ROWS, pa.int32())
    columns = {
        "prediction_id": pa.array(ids, TEXT),
        "event_time": pa.array([START + HOUR] * MAX_ROWS, TIME),
        "version": pa.array(["v1"] * MAX_ROWS, DICTIONARY),
        "score.late": pa.array([0.5] * MAX_ROWS, NUMBER),
        "feature.padding": pa.DictionaryArray.from_arrays(nothing, pa.array(["x" * TEXT_BYTES])),
    }
    return arrow(columns)


def test_memory_is_bounded_by_what_batches_mean(world: World, tmp_path: Path) -> None:
    world.send(100, apart=1)
    with started(world.settings, tmp_path, {"aggregate": {}}) as roles:
        role = roles["aggregate"]
        role.until_ready()
        idle, most = steady(role), [0]
        producer = Producer(world.settings.producer())
        for number in range(BATCHES):
            value = few_bytes_that_mean_many(number, home=number % 2)
            producer.produce(world.settings.topic("predictions"), value, partition=number % 2, headers=HEADERS)
        assert producer.flush(60) == 0
        stored = "SELECT count() = {all:UInt32} FROM raw_predictions"

        def all_stored() -> bool:
            most.append(int(psutil.Process(role.process.pid).memory_info().rss))
            return world.warehouse.rows(stored, {"all": world.sent + BATCHES * MAX_ROWS}) == [(1,)]

        # Nothing but their size makes stage 1 write them: no checkpoint is due.
        until(all_stored, "every row is stored", 480)
    assert max(most) - idle < 6 * QUEUE
