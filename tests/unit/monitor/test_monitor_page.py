"""The whole text of an incident, held to golden files, and the lines that depend on what was done about it.

After a change of the wording write the golden files anew and read them: ``PYTHONPATH=tests python THIS_FILE``.
"""

import shlex
from datetime import timedelta
from pathlib import Path
from typing import Any

import monitor_world as world
import pytest
from msgspec.structs import replace

from schemas.lifecycle import Incident
from schemas.spec import AlertSpec, RetrainingSpec
from streams.monitor import page
from streams.monitor.core import ModelMonitor
from streams.monitor.generations import Generations
from streams.monitor.held import Held

GOLDEN = Path(__file__).parent / "golden"
DAY = timedelta(days=1)
RULES = ("labelled.auc < 0.5 for 2 windows", "feature.temp.null_rate > 0.05 [origin=JFK]")
RULED = {"alerts": AlertSpec(rules=RULES, labelled_loss=False, min_rows=20)}

CASES: dict[str, tuple[int, world.Faults, dict[str, Any]]] = {
    "feature-missing-in-one-segment": (4, world.Faults(nulls=[3], nulls_of="JFK"), {}),
    "slow-before-any-label": (1, world.Faults(slow=[0]), {}),
    "worse-and-a-retraining": (8, world.Faults(bad=[5, 6]), {}),
    "worse-and-missing-and-a-retraining": (9, world.Faults(nulls=[6], bad=[5, 6, 7]), {}),
    "worse-inside-the-cooldown": (12, world.Faults(bad=[9, 10]), {"retraining": RetrainingSpec(schedule=8 * DAY)}),
    "worse-and-trained-elsewhere": (8, world.Faults(bad=[5, 6]), {"retraining": RetrainingSpec(enabled=False)}),
    "own-rules": (8, world.Faults(nulls=[6], bad=[5, 6]), RULED),
    "resolved": (6, world.Faults(nulls=[3]), {}),
    "worse-by-evidence": (12, world.Faults(bad=range(5, 12)), {"of": world.calibrated()}),
    "drift-that-waits": (12, world.Faults(warm=range(5, 12)), {"of": world.calibrated()}),
}
"""Name -> (days, what goes wrong on which, changes of the spec); the incident is told as after the last day."""


def incident(name: str) -> Incident:
    days, faults, changes = CASES[name]
    generations = Generations.of([world.record(**changes)])
    monitor = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2))
    report = None
    for message in world.in_turn(world.stream(days, faults=faults, of=changes.get("of"))):
        monitor.apply(message)
        while (start := monitor.due(generations)) is not None:
            report = monitor.tick(start, generations).report
    assert report is not None
    assert report.incident is not None
    return report.incident


@pytest.mark.parametrize("name", CASES)
def test_the_whole_text(name: str) -> None:
    assert incident(name).text == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_what_the_reference_is_too_small_to_judge_stands_in_the_report_and_in_the_incident() -> None:
    record = world.record()
    assert record.reference is not None
    small = [replace(feature, window_n=[16] * 10) for feature in record.reference.features[""]]
    monitor = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2))
    for message in world.in_turn(world.stream(1, faults=world.Faults(nulls=[0], slow=[0]))):
        monitor.apply(message)
    generations = Generations.of([replace(record, reference=replace(record.reference, features={"": small}))])
    start = monitor.due(generations)
    assert start is not None
    report = monitor.tick(start, generations).report
    (gap,) = report.not_judged
    assert gap.startswith("not enough data: 0 of the reference's 10 windows have 100 rows, 2 are needed")
    assert report.incident is not None
    assert [condition.kind for condition in report.incident.conditions] == ["latency"]
    assert gap in report.incident.text


def test_every_golden_file_is_a_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_three_commands_end_it_and_a_shell_reads_them(name: str) -> None:
    found = incident(name)
    commands = [shlex.split(line) for line in found.text.splitlines() if line.startswith("  driftline ")]
    assert [command[:2] for command in commands] == [["driftline", "incidents"], *[["driftline", "sql"]] * 2]
    assert commands[0][3] == found.id
    assert all("namespace = 'default' AND model = 'flights'" in command[2] for command in commands[1:])


def test_the_summary_is_one_line_of_the_worst_and_how_many_more() -> None:
    found = incident("worse-and-missing-and-a-retraining")
    assert found.summary.startswith("version 1 predicts worse than usual: loss ")
    assert found.summary.endswith("; and 1 more")
    assert "\n" not in found.summary


def test_a_version_beside_the_one_that_leads_is_the_reason_that_nothing_is_trained() -> None:
    """It predicts worse on every day: "no longer worse" would be said of a page that says the opposite."""
    whole = world.calibrated()
    spec: dict[str, Any] = {"alerts": AlertSpec(min_rows=50), "retraining": RetrainingSpec(schedule=None)}
    generations = Generations.of([world.record(of=whole, **spec)])
    monitor, texts = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2)), []
    faults = world.Faults(bad=range(10, 20), bad_of="2")
    for message in world.in_turn(world.stream(20, faults=faults, of=whole, versions=("1", "2"), canary=8)):
        monitor.apply(message)
        while (start := monitor.due(generations)) is not None:
            found = monitor.tick(start, generations).report.incident
            texts += [found.text] if found else []
    assert texts
    assert all("version 2 predicts worse than usual" in text for text in texts)
    why = "It asked for no retraining because of this: the labelled loss is of version 2, which does not lead"
    assert all(why in text for text in texts)


def test_of_very_many_conditions_the_first_are_told_and_the_others_can_be_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = incident("worse-and-missing-and-a-retraining")
    monkeypatch.setattr(page, "MOST_TOLD", 1)
    found = incident("worse-and-missing-and-a-retraining")
    first, second = sorted(whole.conditions, key=lambda condition: condition.kind != "labelled_loss")
    assert first.text in found.text
    assert second.text in whole.text
    assert second.text not in found.text
    (more,) = [line for line in found.text.splitlines() if line.startswith("  - and ")]
    assert more.startswith("  - and 1 condition more: driftline sql ")
    (query,) = shlex.split(more.partition("driftline sql ")[2])
    assert (
        f"FROM incident_conditions WHERE namespace = 'default' AND model = 'flights' AND incident_id = '{found.id}'"
        in query
    )
    assert (found.conditions, found.summary) == (whole.conditions, whole.summary)


def test_what_cannot_be_told_any_more_is_said() -> None:
    """The incident of day 3 meets a spec that asks for more rows than there are: nothing is known, nothing resolves."""
    generations = Generations.of(
        [
            world.record(),
            world.record(2, effective_from=world.START + 4 * world.DAY, alerts=AlertSpec(min_rows=10_000)),
        ]
    )
    monitor = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2))
    for message in world.in_turn(world.stream(7, faults=world.Faults(nulls=[3]))):
        monitor.apply(message)
    ticks = []
    while (start := monitor.due(generations)) is not None:
        ticks.append(monitor.tick(start, generations))
    last = ticks[-1].report.incident
    assert last is not None
    assert last.state == "open"
    assert "since 1972-09-30 00:00 UTC, one window; too few rows to tell now" in last.text
    assert last.changed == last.opened, "nobody is told again"


if __name__ == "__main__":
    for case in CASES:
        (GOLDEN / f"{case}.txt").write_text(incident(case).text, encoding="utf-8")
