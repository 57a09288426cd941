"""From a prediction to its version, label, data, request and incident."""

import json

import pytest
from clickhouse_connect.driver.client import Client
from story_world import build

from app.trace import Node, command, trace
from warehouse.client import Warehouse
from warehouse.migrate import migrate

BY_VERSION_2 = "f00800"


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    made = Warehouse(clickhouse, patience=30)
    migrate(made)
    build(made)
    return made


def walk(node: Node) -> list[Node]:
    return [node, *(deeper for child in node.children for deeper in walk(child))]


def test_the_walk_reaches_the_incident(warehouse: Warehouse) -> None:
    (root,) = trace(warehouse, BY_VERSION_2)
    assert [child.kind for child in root.children] == ["outcome", "version"]
    found = {(node.kind, node.id) for node in walk(root)}
    assert {
        ("version", "2"),
        ("candidate", "candidate-2"),
        ("request", "request-2"),
        ("snapshot", "snapshot-2"),
        ("incident", "incident-1"),
        ("verdict", "verdict-judge-2"),
        ("verdict", "verdict-shadow-2"),
        ("rollout", "step-2"),
    } <= found
    assert not {name for kind, name in found if kind == "candidate"} - {"candidate-2"}
    parents = {child.id: node.id for node in walk(root) for child in node.children}
    assert parents["incident-1"] == "request-2"
    assert parents["step-2"] == "verdict-shadow-2"


def test_a_scheduled_version_has_no_incident(warehouse: Warehouse) -> None:
    (root,) = trace(warehouse, "f00401")
    assert root.children[0].text == "label late, counted" or root.children[0].text == "label on-time, counted"
    assert {node.kind for node in walk(root)} == {
        "prediction",
        "outcome",
        "version",
        "candidate",
        "request",
        "snapshot",
    }


def test_a_flight_that_never_arrived_says_so(warehouse: Warehouse) -> None:
    (root,) = trace(warehouse, "f00025")
    assert root.children[0].text == "none: no label has arrived"


def test_a_version_made_elsewhere_says_so(warehouse: Warehouse) -> None:
    (root,) = trace(warehouse, "f00001")
    assert "no candidate of this version" in root.children[1].text


def test_it_prints_a_tree_and_json(warehouse: Warehouse, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(warehouse, BY_VERSION_2) == 0
    printed = capsys.readouterr().out
    assert "incident-1" in printed
    assert "shadow said [so]" in printed, "brackets are text, not markup"
    assert command(warehouse, BY_VERSION_2, as_json=True) == 0
    (root,) = json.loads(capsys.readouterr().out)
    assert root["children"][1]["id"] == "2"
    assert root["body"]["features"] == {"temp": 40.0, "carrier": "UA"}


def test_an_unknown_id_says_where_to_look(warehouse: Warehouse, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(warehouse, "nobody") == 1
    assert "f00000" in capsys.readouterr().err
    assert command(warehouse, "dead-1") == 1
    assert "predictions/0/9999, invalid" in capsys.readouterr().err.replace("\n", " ")


def test_an_empty_database_says_so(clickhouse: Client, capsys: pytest.CaptureFixture[str]) -> None:
    empty = Warehouse(clickhouse, patience=30)
    migrate(empty)
    assert command(empty, "anything") == 1
    assert "No prediction is stored at all" in " ".join(capsys.readouterr().err.split())
