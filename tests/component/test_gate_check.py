"""The gate's error rate on recorded days: measured, bounded, and silent when there are too few days."""

from datetime import UTC, datetime, timedelta

import numpy as np

from app.demo.gate_check import measured
from schemas.spec import GateSpec
from schemas.tables import PAIRED_WINDOWS
from warehouse.client import Warehouse
from warehouse.migrate import migrate


def test_wrong_promotions_at_the_margin_are_within_alpha(clickhouse: object) -> None:
    warehouse = Warehouse(clickhouse)  # type: ignore[arg-type]
    migrate(warehouse)
    gate = GateSpec()
    assert measured(warehouse, "n", "m", gate, seed=1)["wrong_promotion"] is None
    start = datetime(2013, 3, 1, tzinfo=UTC)
    days = np.random.default_rng(2).normal(-0.004, 0.016, 150)
    warehouse.insert(
        PAIRED_WINDOWS,
        [["n", "m", start + timedelta(days=i), "2", "1", 800, float(z), 1.0, 1.0, 0.0] for i, z in enumerate(days)]
        + [["n", "m", start, "3", "1", gate.min_pairs - 1, 0.9, 1.0, 1.0, 0.0]],  # too few pairs: no observation
    )
    found = measured(warehouse, "n", "m", gate, seed=1)
    assert found["paired_days"] == 150
    assert 0 <= found["wrong_promotion"] <= found["wrong_promotion_high"] <= gate.alpha
