"""Where a new generation begins, without a source that waits: at the first window of which nothing is counted."""

import pytest
from clickhouse_connect.driver.client import Client
from retraining_world import DAY, day, report, tally

from retrain.decider import first_uncounted
from schemas.tables import PARTIALS
from warehouse.client import Warehouse
from warehouse.migrate import migrate


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    house = Warehouse(clickhouse, patience=30)
    migrate(house)
    return house


@pytest.mark.parametrize(
    ("counted", "begins"),
    [
        ([], 9),
        ([tally(8)], 9),
        ([tally(8), tally(3, "predictions.late")], 9),
        ([tally(8), tally(9)], 10),
        ([tally(8), tally(11, "outcomes.counted")], 12),
        ([tally(8), tally(20, model="another")], 9),
    ],
    ids=["nothing", "waits", "late events", "went on", "outcomes too", "another model"],
)
def test_a_generation_begins_after_everything_that_is_counted(
    warehouse: Warehouse, counted: list[list[object]], begins: int
) -> None:
    warehouse.insert(PARTIALS, counted)
    assert first_uncounted(warehouse, report(8), DAY) == day(begins)
