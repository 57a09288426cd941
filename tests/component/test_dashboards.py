"""Grafana's dashboards: every panel's query answers through the HTTP interface, for a user who may only read.

Grafana itself does not run here. Its macros and variables are replaced as grafana-clickhouse-datasource does.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import analysts_world as world
import httpx
import pytest
import yaml
from clickhouse_connect.driver.client import Client

GRAFANA = Path(__file__).parent.parent.parent / "compose" / "grafana"
NAMES = ("fleet", "model", "incident")
DASHBOARDS: dict[str, dict[str, Any]] = {
    name: json.loads((GRAFANA / "dashboards" / f"{name}.json").read_text(encoding="utf-8")) for name in NAMES
}
PANELS = [(name, panel["title"]) for name in NAMES for panel in DASHBOARDS[name]["panels"]]
NOTHING_YET = {("incident", "Who was told")}
"""Nobody is told of anything in the made-up world."""


def macros(sql: str) -> str:
    """The query with the time range of the whole world."""
    start, end = (int(world.day(number).timestamp()) for number in (0, world.DAYS))
    return re.sub(r"\$__timeFilter\(([^)]*)\)", rf"\1 >= toDateTime({start}) AND \1 <= toDateTime({end})", sql)


def interpolated(sql: str, values: dict[str, str]) -> str:
    """Grafana's ``${name:sqlstring}``: a literal with its quotes doubled."""
    for name, value in values.items():
        literal = value.replace("'", "''")
        sql = sql.replace(f"${{{name}:sqlstring}}", f"'{literal}'")
    assert "$" not in sql, f"a macro or variable is left: {sql}"
    return sql


@pytest.fixture(scope="module")
def ask(analysts: Client, clickhouse_url: str) -> Iterator[Any]:
    with httpx.Client(base_url=clickhouse_url, timeout=30) as client:

        def answer(sql: str) -> list[dict[str, Any]]:
            options = {"database": analysts.database or "", "readonly": "1", "default_format": "JSON"}
            found = client.post("/", params=options, content=sql)
            assert found.status_code == 200, f"{found.text}\n{sql}"
            rows: list[dict[str, Any]] = found.json()["data"]
            return rows

        yield answer


@pytest.fixture(scope="module")
def variables(ask: Any) -> dict[str, str]:
    """The first choice of each variable, in the order in which one depends on another."""
    chosen: dict[str, str] = {}
    for name in NAMES:
        for variable in DASHBOARDS[name]["templating"]["list"]:
            rows = ask(interpolated(variable["query"]["rawSql"], chosen))
            chosen.setdefault(variable["name"], str(next(iter(rows[0].values()))))
    return chosen


def panel(name: str, title: str) -> dict[str, Any]:
    return next(panel for panel in DASHBOARDS[name]["panels"] if panel["title"] == title)


@pytest.mark.parametrize(("name", "title"), PANELS)
def test_every_panel_answers(ask: Any, variables: dict[str, str], name: str, title: str) -> None:
    found = panel(name, title)
    (target,) = found["targets"]
    rows = ask(interpolated(macros(target["rawSql"]), variables))
    assert rows or (name, title) in NOTHING_YET
    if found["type"] == "timeseries":
        assert next(iter(rows[0])) == "time"
        assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
        assert any(isinstance(value, int | float) or str(value).isdigit() for row in rows for value in row.values())


def test_the_first_choices_are_useful(variables: dict[str, str]) -> None:
    assert variables["model"] == f"{world.NAMESPACE}/{world.MODEL}"
    assert variables["metric"] == "log_loss"
    assert variables["incident"].startswith("incident-")


@pytest.mark.parametrize("name", NAMES)
def test_dashboards_are_whole(name: str) -> None:
    dashboard = DASHBOARDS[name]
    assert dashboard["uid"] == f"driftline-{name}"
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    cells = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(places)
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/driftline.yaml").read_text())["datasources"]
    for found in dashboard["panels"] + dashboard["templating"]["list"]:
        assert found["datasource"] == {"type": source["type"], "uid": source["uid"]}


def test_the_data_source_holds_no_secret_and_only_reads() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/driftline.yaml").read_text())["datasources"]
    assert source["jsonData"]["username"] == "analyst"
    assert source["secureJsonData"]["password"].startswith("$")
