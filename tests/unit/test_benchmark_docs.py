"""Figures in the documents are those of benchmarks/results.json; nobody types one by hand."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.__main__ import ALL
from benchmarks.docs import AIMS, DOCS, PARTS, Aim, render
from benchmarks.measure import load, report, result


@pytest.mark.parametrize("document", PARTS)
def test_a_document_says_what_the_results_say(document: str) -> None:
    text = (DOCS / f"{document}.md").read_text(encoding="utf-8")
    assert render(document, text, load()) == text, "run: .venv/bin/python -m benchmarks.docs"


def test_another_figure_is_another_document() -> None:
    results = load()
    text = (DOCS / "performance.md").read_text(encoding="utf-8")
    changed = [{**found, "value": found["value"] * 2} for found in results]
    assert render("performance", text, changed) != text


def test_a_document_without_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="figures"):
        render("performance", "# Performance\n", load())


def test_results_are_a_list_with_machine_and_versions() -> None:
    for found in load():
        assert found.keys() >= {"name", "value", "unit", "spread", "versus", "rounds", "cores", "versions"}
        assert found["versus"].keys() <= {"quix-streams", "faust", "decode", "evidently", "whylogs", "nannyml"}


@pytest.mark.parametrize(
    ("aim", "value", "versus", "reached"),
    [
        (Aim("", least=10), 10, {}, True),
        (Aim("", least=10), 9.9, {}, False),
        (Aim("", most=2), 2.1, {}, False),
        (Aim("", least=10, versus={"faust": 30}), 11, {"faust": 29}, False),
        (Aim("", least=10, versus={"faust": 30}), 11, {}, False),
        (Aim("", least=10, versus={"faust": 30}), 11, {"faust": 31}, True),
    ],
)
def test_an_aim_is_reached_in_all_its_parts(aim: Aim, value: float, versus: dict[str, float], reached: bool) -> None:
    assert aim.reached({"value": value, "versus": versus}) is reached


def test_a_result_replaces_the_older_one_of_its_name_and_no_other(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    report([result("b", [1, 2, 9], "s"), result("a", [4], "s", {"faust": [2]})], out)
    report([result("b", [5], "s")], out)
    written: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))
    assert [(found["name"], found["value"], found["versus"]) for found in written] == [
        ("a", 4, {"faust": 2.0}),
        ("b", 5, {}),
    ]


@pytest.mark.parametrize("name", [*ALL, "profile"])
def test_every_measurement_is_a_command_that_says_what_it_measures(name: str) -> None:
    app = typer.Typer()
    app.command()(importlib.import_module(f"benchmarks.{name}").main)
    said = CliRunner().invoke(app, ["--help"])
    assert said.exit_code == 0
    assert "--root" in said.output


def test_every_aim_is_of_something_that_is_measured() -> None:
    assert [name for name in AIMS if not name.startswith(ALL)] == []
