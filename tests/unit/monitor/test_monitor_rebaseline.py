"""What another reference costs: those of a month share its budget."""

from typing import Any

import monitor_world as world
import pytest
from msgspec.structs import replace

from schemas.ids import canonical_json
from schemas.lifecycle import Report
from schemas.models import ModelRecord, Reference
from schemas.spec import AlertSpec, RetrainingSpec
from streams.monitor.generations import Generations

WHOLE = world.calibrated()
OTHER = replace(WHOLE, start=WHOLE.start + world.DAY)
THIRD = replace(WHOLE, start=WHOLE.start + 2 * world.DAY)
BLIND = replace(WHOLE, watched=[replace(watch, scales=[]) for watch in WHOLE.watched])
LONGER = replace(WHOLE, end=WHOLE.end + world.DAY)
SPEC: dict[str, Any] = {"alerts": AlertSpec(min_rows=50), "retraining": RetrainingSpec(enabled=False)}


def record(number: int, of: Reference | None, day: int) -> ModelRecord:
    whole = world.record(number, of=of, effective_from=world.START + day * world.DAY, **SPEC)
    return whole if of else replace(whole, reference=None)


@pytest.mark.parametrize(
    ("references", "day", "found"),
    [
        ([(WHOLE, -99), (OTHER, 0)], -1, 0),
        ([(WHOLE, -99), (OTHER, 0)], 0, 1),
        ([(WHOLE, -99), (OTHER, 0)], 29, 1),
        ([(WHOLE, -99), (OTHER, 0)], 30, 0),
        ([(WHOLE, -99), (OTHER, 0), (THIRD, 9)], 9, 2),
        ([(WHOLE, -99), (OTHER, 0), (THIRD, 0)], 9, 1),
        ([(WHOLE, 0), (OTHER, 0)], 9, 0),
        ([(WHOLE, -99), (WHOLE, 0)], 9, 0),
        ([(WHOLE, -99), (LONGER, 0)], 9, 0),
        ([(None, -99), (OTHER, 0)], 9, 0),
        ([(BLIND, -99), (OTHER, 0)], 9, 0),
    ],
    ids=[
        *("not yet", "from its first window on", "for thirty days", "and no longer", "two", "one was never in force"),
        *("before anything", "another spec", "collected once more", "the first", "the first that lets anything page"),
    ],
)
def test_rebaselines_of_the_month_before_are_counted(
    references: list[tuple[Reference | None, int]], day: int, found: int
) -> None:
    records = [record(number, of, start) for number, (of, start) in enumerate(references)]
    assert Generations.of(records).rebaselined(world.START + day * world.DAY) == found


def test_thresholds_are_twice_as_high_after_a_rebaseline_wherever_the_monitor_starts_again() -> None:
    messages = world.stream(4, of=WHOLE)

    def reports(*records: ModelRecord, restarts: bool = False) -> list[Report]:
        return world.decided(messages, Generations.of(records), partitions=2, restarts=restarts)[0]

    def thresholds(found: list[Report]) -> list[float | None]:
        return [one.threshold for report in found for one in report.streams if one.stream == "loss"]

    before, after = record(0, WHOLE, -99), record(1, OTHER, 1)
    usual, *_ = thresholds(reports(before))
    again = reports(before, after)
    assert usual is not None
    assert thresholds(again) == [usual] + [2 * usual] * (len(again) - 1)
    assert {report.pages for report in again} == {1.0}, "what the team accepts is what it was"
    assert canonical_json(reports(before, after, restarts=True)) == canonical_json(again)
