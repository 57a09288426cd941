"""The view of what pages by evidence, from the reports that the monitor writes."""

import monitor_world as world
import pytest
from clickhouse_connect.driver.client import Client
from msgspec.structs import replace

from streams.monitor.core import ModelMonitor
from streams.monitor.generations import Generations
from streams.monitor.held import Held
from streams.monitor.records import Records
from warehouse.client import Warehouse
from warehouse.migrate import migrate

DAYS = 12


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_row_per_window_and_quantity(clickhouse: Client, calibrated: bool) -> None:
    warehouse = Warehouse(clickhouse, patience=30)
    migrate(warehouse)
    whole = world.calibrated()
    reference = replace(whole, watched=[*whole.watched, replace(whole.watched[0], segment="origin=JFK")])
    reference = reference if calibrated else world.reference()
    generations, records = Generations.of([world.record(of=reference)]), Records(warehouse, 2)
    monitor, reports = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2)), []
    for message in world.in_turn(world.stream(DAYS, faults=world.Faults(bad=range(5, DAYS)), of=reference)):
        monitor.apply(message)
        while (start := monitor.due(generations)) is not None:
            tick = monitor.tick(start, generations)
            records.write([tick])
            reports.append(tick.report)
    found = warehouse.rows(
        "SELECT toUnixTimestamp64Milli(window_start), pages, claim, quantity, slice_key, slice_value, version, beside, "
        "evidence, threshold, latched FROM watched_quantities "
        "ORDER BY window_start, quantity DESC, slice_key NULLS FIRST, version"
    )
    expected = [
        (r.window_start, r.pages, r.claim, s.stream, *(s.segment.split("=") if s.segment else (None, None)),
         s.version, s.beside, s.evidence, s.threshold, s.latched)
        for r in reports
        for s in sorted(sorted(r.streams, key=lambda s: (s.segment, s.version)), key=lambda s: s.stream, reverse=True)
    ]  # fmt: skip
    nothing = [(r.window_start, 1.0, "not enough data", "", None, None, "", False, 0.0, None, False) for r in reports]
    assert found == (expected if calibrated else nothing)
    assert any(row[-1] for row in found) == calibrated
