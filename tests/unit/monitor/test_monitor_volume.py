"""How many rows a window has: a hard rule, once the reference is known to know it."""

from typing import Any

import monitor_world as world
import pytest
from msgspec.structs import replace

from schemas.lifecycle import Condition
from schemas.models import Reference
from schemas.spec import AlertSpec, RetrainingSpec
from streams.monitor.core import ModelMonitor
from streams.monitor.generations import Generation, Generations
from streams.monitor.held import Held
from streams.monitor.state import Volume
from streams.monitor.volume import judge

WHOLE = world.calibrated()
A_DAY = 2 * world.ROWS


def generation(of: Reference = WHOLE) -> Generation:
    return Generation.of(world.record(of=of))


def conditions(*counted: int, of: Reference = WHOLE) -> list[tuple[Condition, ...]]:
    """What the rule finds in windows of so many rows."""
    seen: Volume | None = None
    found = []
    for window, rows in enumerate(counted):
        seen, findings = judge(seen, generation(of), window * world.DAY, rows, pages=1.0)
        found.append(findings.active)
    return found


def test_after_a_week_as_usual_a_window_of_few_rows_pages_at_once() -> None:
    *before, (few,), (many,), after = conditions(*[A_DAY] * 7, 10, 600, A_DAY)
    assert (few.key, few.metric, few.value, few.severity) == ("quality/volume", "volume", 10.0, "critical")
    assert few.summary == "only 10 predictions came (usually 160 to 160 a window)"
    assert (many.severity, many.value) == ("warning", 600.0)
    assert many.summary.startswith("600 predictions came")
    assert not any((*before, after))


def test_a_reference_of_a_sample_never_pages() -> None:
    """Ten times the rows in every window, and a night without any: nothing that the sample could know."""
    assert not any(conditions(*[10 * A_DAY] * 10, 0, *[10 * A_DAY] * 3))
    assert not any(conditions(*[A_DAY, A_DAY, 10 * A_DAY] * 10)), "seven windows in a row are a week"


@pytest.mark.parametrize("share", [0.5, 0.6, 0.7])
def test_a_reference_of_half_of_the_rows_does_not_page_when_traffic_grows(share: float) -> None:
    """Every second id of a large log, or the rows with a label: 15% more traffic is beyond twice their most."""
    days = [50_000 + 1_000 * (day % 7) for day in range(60)]
    sample = replace(WHOLE.features[""][0], window_n=[int(share * rows) for rows in days])
    grown = [int(rows * (1.0 if day < 20 else 1.15 if day < 40 else 1.3)) for day, rows in enumerate(days)]
    assert not any(conditions(*grown, of=replace(WHOLE, features={"": [sample]})))


def test_a_reference_of_all_rows_still_pages_when_traffic_trebles() -> None:
    days = [50_000 + 1_000 * (day % 7) for day in range(60)]
    known = replace(WHOLE.features[""][0], window_n=days)
    found = conditions(*days[:20], 3 * days[20], of=replace(WHOLE, features={"": [known]}))
    assert [bool(active) for active in found] == [False] * 20 + [True]


def test_a_reference_that_is_short_or_has_empty_windows_pages_nobody_for_few_rows() -> None:
    assert not any(conditions(*[A_DAY] * 10, 0, of=replace(WHOLE, start=WHOLE.end - 6 * world.DAY)))
    # Three days more than it has windows.
    assert not any(conditions(*[A_DAY] * 10, 0, of=replace(WHOLE, start=WHOLE.start - 3 * world.DAY)))


def test_another_reference_needs_a_week_of_its_own() -> None:
    seen = judge(None, generation(), 0, A_DAY, pages=1.0).seen
    assert seen is not None
    known = replace(seen, windows=7)
    assert judge(known, generation(), 0, 0, pages=1.0).found.active
    other = replace(WHOLE.features[""][0], window_n=[150] * 60)
    again = judge(known, generation(replace(WHOLE, features={"": [other]})), 0, A_DAY, pages=1.0)
    assert again.seen is not None
    assert (again.seen.reference != seen.reference, again.seen.windows) == (True, 1)


@pytest.mark.parametrize("silent", [12, 5])
def test_a_day_without_a_row_pages_through_the_decision_clock(silent: int) -> None:
    """Not in the first week, in which nobody knows what is usual yet."""
    quiet: dict[str, Any] = {"alerts": AlertSpec(min_rows=50), "retraining": RetrainingSpec(enabled=False)}
    generations = Generations.of([world.record(of=WHOLE, **quiet)])
    monitor, found = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2)), []
    for message in world.in_turn(world.stream(20, faults=world.Faults(silent=[silent]), of=WHOLE)):
        monitor.apply(message)
        while (start := monitor.due(generations)) is not None:
            found.append(monitor.tick(start, generations).report)
    opened = [r.incident for r in found if r.incident is not None and r.incident.opened == r.at]
    keys = [condition.key for incident in opened for condition in incident.conditions]
    assert keys == (["quality/volume"] if silent > 7 else [])
    assert [r.at for r in found if r.incident is not None and r.incident.state == "resolved"] == (
        [world.START + (silent + 3) * world.DAY] if silent > 7 else []
    )
