"""What the document says of the scenarios with a million events is what the last run of them has found."""

import ast
import json
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import tell_of_faults
from run import DOCUMENT, EVENTS, HERE, RESULT, merged, render

SCENARIOS = json.loads(RESULT.read_text(encoding="utf-8"))["scenarios"]


def test_the_document_says_what_was_found() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert render(text, SCENARIOS) == text, "run: make faults, which writes both"


def test_every_result_is_of_a_million_events_and_of_a_test_that_there_is() -> None:
    for found in SCENARIOS:
        file, _, test = found["scenario"].partition("::")
        tree = ast.parse((HERE / f"{file}.py").read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert test.partition("[")[0] in names, f"{found['scenario']} is gone: take it out of {RESULT.name}"
        assert found["events"] >= EVENTS, found["scenario"]


def test_every_scenario_has_passed() -> None:
    """A scenario is a test that asks for a world; ``mutants`` are no part of the run."""
    files = [path for path in HERE.glob("test_faults_*.py") if path.stem != "test_faults_mutants"]
    scenarios = {
        f"{path.stem}::{node.name}"
        for path in files
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and {"world", "make_world"} & {each.arg for each in node.args.args}
    }
    assert {found["scenario"].partition("[")[0] for found in SCENARIOS} == scenarios, 'run: make faults ARGS="-k ..."'
    assert [found["scenario"] for found in SCENARIOS if not found["passed"]] == []


def test_a_run_tells_seeds_and_positions_also_of_what_passed() -> None:
    kills = [
        {"at": "C0", "sent": 30, "committed": 10, "past": 20},
        {"at": "C1", "sent": 90, "committed": 5, "past": 85},
    ]
    said = [("events", 100), ("seed", 7), ("kills", json.dumps(kills))]
    place = ("tests/faults/test_a.py", 1, "test_b")
    reports = [
        pytest.TestReport("tests/faults/test_a.py::test_b", place, {}, "passed", None, when, user_properties=said)
        for when in ("call", "teardown")
    ]
    lines: list[str] = []
    reporter = SimpleNamespace(
        stats={"passed": reports[:1], "": reports[1:], "deselected": [object()]},
        section=lines.append,
        line=lines.append,
    )
    tell_of_faults(cast("pytest.TerminalReporter", reporter))
    assert lines == [
        "faults",
        "test_a.py::test_b: seed 7, 100 events",
        "  kill 1 (C0): 30 sent, 10 committed, 20 past",
        "  kill 2 (C1): 90 sent, 5 committed, 85 past",
    ]


def test_a_failure_is_said_and_a_document_without_a_place_refused() -> None:
    kills = [{"at": "C0", "sent": 3, "past": 2}, {"at": "C1", "sent": 4, "past": 1}]
    bad = SCENARIOS[0] | {"passed": False, "failure": "sketches: 1 | 2", "events": 10, "kills": kills}
    said = render("<!-- result --><!-- /result -->", [bad])
    assert said.startswith("<!-- result -->\n0 of 1 scenarios passed")
    assert "| 10 | 2 | 10% |" in said
    assert said.endswith("| **no**: sketches: 1 / 2 |\n<!-- /result -->")
    with pytest.raises(ValueError, match="0 parts"):
        render("# Faults\n", SCENARIOS)


def test_the_newest_result_of_a_scenario_stands() -> None:
    old, new = {"scenario": "b", "passed": False}, {"scenario": "b", "passed": True}
    assert merged([{"scenario": "c"}, old], [new, {"scenario": "a"}]) == [{"scenario": "a"}, new, {"scenario": "c"}]
