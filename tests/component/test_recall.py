"""A new owner reads a little and knows as much: what it left out is looked up when somebody asks for it."""

from collections.abc import Iterator
from typing import Any

import pytest
from aggregate_world import DAY, START, model_record
from clickhouse_connect.driver.client import Client

from schemas.tables import RAW_OUTCOMES, RAW_PREDICTIONS
from schemas.windows import from_ms
from streams.aggregate.index import Index
from streams.aggregate.keys import Keys
from streams.aggregate.look_up import prefetch
from streams.aggregate.models import Models
from streams.aggregate.recall import recall
from warehouse.client import Warehouse
from warehouse.migrate import migrate

PARTITIONS, OFFSETS = 2, 40
IDS = [f"f{number}" for number in range(15)]
"""Fewer than there are events: many have rows of several times, versions and labels."""


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    found = Warehouse(clickhouse, patience=30)
    migrate(found)
    for partition in range(PARTITIONS):
        for seq, late in ((1, True), (2, False)):
            # Written once before its commit failed, and once more by the next owner: the larger number counts.
            found.insert(RAW_PREDICTIONS, list(predictions(partition, seq, late=late)))
            found.insert(RAW_OUTCOMES, list(outcomes(partition, seq)))
    return found


def ids(partition: int, offset: int) -> str:
    return IDS[(offset * offset * 7 + partition) % len(IDS)] + f"-{partition}"


def common(partition: int, offset: int, seq: int) -> dict[str, Any]:
    at = from_ms(START + offset * DAY // OFFSETS)
    return {
        "namespace": "default", "model": "delay", "prediction_id": ids(partition, offset), "partition": partition,
        "offset": offset, "row": 0, "log_ts": at, "event_time": at, "seq": seq, "ttl_days": 3650,
    }  # fmt: skip


def predictions(partition: int, seq: int, *, late: bool) -> Iterator[list[Any]]:
    for offset in range(OFFSETS + 5):
        yield row(
            RAW_PREDICTIONS,
            common(partition, offset, seq)
            | {
                "version": str(offset % 3),
                "role": "champion",
                "prediction": "late",
                "score": offset / 64,
                "scores": "{}",
            }
            | {"features": "{}", "segments": '{"origin":"JFK"}', "latency_ms": None, "generation": 1}
            | {"verdict": "late" if late else "counted"},
        )


def outcomes(partition: int, seq: int) -> Iterator[list[Any]]:
    for offset in range(OFFSETS + 5):
        label = {"label": "late", "positive": offset % 2, "value": None, "verdict": "counted"}
        yield row(RAW_OUTCOMES, common(partition, offset, seq) | label)


def row(table: Any, values: dict[str, Any]) -> list[Any]:
    return [values[column] for column in table.columns]


def known(warehouse: Warehouse, newest: int) -> tuple[list[Any], list[int]]:
    """(What an owner says of every id, how many it had read before it was asked)."""
    models = Models()
    models.learn(model_record())
    made = {p: Index(models, 10**6, (OFFSETS, OFFSETS), partitions=PARTITIONS) for p in range(PARTITIONS)}
    recall(made, warehouse, newest)
    read = [len(index.predictions) for index in made.values()]
    keys = {p: Keys.of([f"default/delay/{name}-{p}".encode() for name in [*IDS, "new"]]) for p in made}
    prefetch(made, {p: lambda p=p: [keys[p]] for p in made}, warehouse)  # type: ignore[misc]
    said: list[Any] = []
    for p, index in made.items():
        said += [answers(index, models, slot) for slot in index.predictions.find(keys[p]).tolist()]
        said += [
            slot >= 0 and [index.outcomes.get(name, slot) for name in ("log_ts", "target", "newest")]
            for slot in index.outcomes.find(keys[p]).tolist()
        ]
    return said, read


def answers(index: Index, models: Models, slot: int) -> list[Any]:
    """Every version's answer for an id, in the order of the log."""
    found = []
    while slot >= 0:
        numbers = [index.predictions.get(name, slot) for name in ("log_ts", "score", "late")]
        found.append((models.versions.all[index.predictions.get("version", slot)], *numbers))
        slot = index.predictions.get("following", slot) or -1
    return found


def test_whatever_is_read_ahead_the_answers_are_the_same(warehouse: Warehouse) -> None:
    everything, read = known(warehouse, OFFSETS)
    assert read == [len({ids(p, offset) for offset in range(OFFSETS)}) for p in range(PARTITIONS)]
    assert max(map(len, filter(None, everything))) == 3, "an id has the answers of all versions"
    for newest in (0, 1, 7, OFFSETS - 1):
        said, fewer = known(warehouse, newest)
        assert said == everything
        assert sum(fewer) < sum(read)


def test_a_row_that_was_written_twice_counts_as_it_was_written_last(warehouse: Warehouse) -> None:
    said, _ = known(warehouse, OFFSETS)
    late = [answer[-1] for answers in said[: len(IDS)] for answer in answers]
    assert late
    assert not any(late)


@pytest.mark.parametrize(("newest", "read"), [(5, 0), (10, 10), (25, 20), (99, 90), (100, 100), (1_000, 100)])
def test_messages_of_many_events_are_read_by_their_events(clickhouse: Client, newest: int, read: int) -> None:
    """Ten messages of ten events, whose rows were written twice."""
    stored = Warehouse(clickhouse, patience=30)
    migrate(stored)
    names = [f"f{number}" for number in range(100)]
    sent = [
        dict(zip(RAW_PREDICTIONS.columns, values, strict=True))
        | {"row": event, "prediction_id": names[10 * offset + event]}
        for offset, values in enumerate(list(predictions(0, 1, late=False))[:10])
        for event in range(10)
    ]
    for _ in range(2):
        stored.insert(RAW_PREDICTIONS, [row(RAW_PREDICTIONS, values) for values in sent])
    models = Models()
    models.learn(model_record())
    index = Index(models, 10**6, (10, 0))
    recall({0: index}, stored, newest)
    assert len(index.predictions) == read
    keys = Keys.of([f"default/delay/{name}".encode() for name in names])
    prefetch({0: index}, {0: lambda: [keys]}, stored)
    assert (index.predictions.find(keys) >= 0).all()
