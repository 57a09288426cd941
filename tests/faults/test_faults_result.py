"""What the document says of the scenarios with a million events is what the last run of them has found."""

import ast
import json

import pytest
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
