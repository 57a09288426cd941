"""A label that is said again, and differently: counted once, kept, tallied, and shown beside the first."""

import json

import pytest
from aggregate_world import DAY, HOUR, START, Sent, outcome
from clickhouse_connect.driver.client import Client
from counted_world import count, logs

from schemas.settings import Settings
from warehouse.client import Warehouse
from warehouse.migrate import migrate

LABELS = [
    (1, 0, "late"),
    (1, 1, "on time"),  # corrected
    (1, 1, "on time"),  # and sent twice
    (2, 0, "on time"),
    (2, 0, "on time"),
    (3, 0, "on time"),
    (3, 1, "late"),
    (3, 2, "on time"),  # and back
]


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    made = Warehouse(clickhouse, patience=30)
    migrate(made)
    sent = [
        Sent("outcomes", f"f{number}".encode(), json.dumps(outcome(number, START + hour * HOUR, label)).encode())
        for number, hour, label in LABELS
    ]
    count(made, Settings(), logs(sent, partitions=1, log_ts=START + 30 * DAY), batch=2)
    return made


def test_both_labels_are_shown_with_their_times(warehouse: Warehouse) -> None:
    columns = (
        "prediction_id, counted_label, toUnixTimestamp64Milli(counted_label_time), later_label, "
        "toUnixTimestamp64Milli(later_label_time), corrections"
    )
    rows = warehouse.rows(f"SELECT {columns} FROM label_corrections ORDER BY prediction_id")  # noqa: S608
    assert rows == [
        ("f1", "late", START, "on time", START + HOUR, 1),
        ("f3", "on time", START, "on time", START + 2 * HOUR, 2),
    ]


def test_a_correction_is_tallied_and_never_a_label_of_its_prediction(warehouse: Warehouse) -> None:
    tallies = dict(warehouse.rows("SELECT tally, sum(events) FROM tallies GROUP BY tally"))
    assert tallies == {"outcomes.counted": 3, "outcomes.duplicate": 2, "outcomes.correction": 3}
    assert sum(tallies.values()) == len(LABELS)
