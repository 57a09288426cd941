"""What people look at asks ClickHouse as often for a hundred models as for one."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from web_world import DAYS, NAMESPACE, SICK, WELL, build, day

from app import overview, status
from app.web import pages
from schemas import tables
from schemas.ids import canonical_json
from schemas.spec import FeatureSpec, ModelSpec, RetrainingSpec
from schemas.windows import to_ms
from warehouse.client import Warehouse
from warehouse.migrate import migrate


class Counting(Warehouse):
    """A warehouse that notes what it is asked."""

    def __init__(self, client: Client) -> None:
        super().__init__(client, patience=30)
        self.asked: list[str] = []

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        self.asked.append(sql)
        return super().rows(sql, parameters)

    def questions(self, look: Callable[[], object]) -> int:
        self.asked = []
        look()
        return len(self.asked)


@pytest.fixture
def warehouse(clickhouse: Client) -> Counting:
    made = Counting(clickhouse)
    migrate(made)
    build(made)
    return made


def add(warehouse: Warehouse, models: int) -> None:
    """More models that have a last window, tallies, and a reference in the making."""
    spec = ModelSpec(positive_class="late", features=(FeatureSpec(name="temp", kind="number"),))
    spec = spec.model_copy(update={"retraining": RetrainingSpec(enabled=False)})
    start = day(DAYS - 1)
    report = json.dumps({"window_start": to_ms(start), "counted": 1})
    body = canonical_json({"generation": 1, "spec": spec.model_dump(mode="json"), "reference": None}).decode()
    names = [f"model-{n}" for n in range(models)]
    warehouse.insert(tables.REPORTS, [[NAMESPACE, name, day(DAYS), report, "{}"] for name in names])
    known = {"namespace": NAMESPACE, "at": start, "kind": "generation", "body": body}
    rows = [known | {"model": name, "id": name} for name in names]
    warehouse.insert(tables.AUDIT, [[row.get(column, "") for column in tables.AUDIT.columns] for row in rows])
    tally = [1, "tally", "", "", start, "predictions.counted", 0, 7, 0, 0, [], None, None, [], 1]
    warehouse.insert(tables.PARTIALS, [[NAMESPACE, name, *tally] for name in names])


def test_as_many_questions_for_many_models_as_for_few(warehouse: Counting) -> None:
    looks: list[Callable[[], object]] = [
        lambda: status.models(warehouse),
        lambda: overview.lines(warehouse),
        lambda: pages.fleet(warehouse, []),
        lambda: pages.model_page(warehouse, NAMESPACE, SICK, 8),
    ]
    add(warehouse, 1)
    few = [warehouse.questions(look) for look in looks]
    add(warehouse, 30)
    assert [warehouse.questions(look) for look in looks] == few
    assert len(status.models(warehouse)) == 32


def test_one_model_is_as_it_is_among_all(warehouse: Counting) -> None:
    add(warehouse, 3)
    everybody = {(found.namespace, found.model): found for found in status.models(warehouse)}
    assert everybody[NAMESPACE, "model-2"].last_window == {"predictions.counted": 7}
    assert everybody[NAMESPACE, SICK].last_window["predictions.counted"] > 7
    for name, found in everybody.items():
        assert status.models(warehouse, name) == [found]
    lines = {line.name: line for line in pages.fleet(warehouse, pages.open_incidents(warehouse))}
    for model in (SICK, WELL, "model-1"):
        page = pages.model_page(warehouse, NAMESPACE, model, 8)
        assert page is not None
        assert page.line == lines[model]
    assert str(lines["model-1"].collecting).startswith("collecting, 14%: 0 of")
    assert pages.model_page(warehouse, NAMESPACE, "nobody", 8) is None
