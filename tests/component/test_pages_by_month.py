"""The view of incidents a month beside the budget of false pages."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest
from clickhouse_connect.driver.client import Client

from schemas.ids import canonical_json
from schemas.lifecycle import Condition, Incident, Kind, Report, Severity
from schemas.models import ModelRecord
from schemas.spec import Metadata, Model, ModelSpec
from schemas.tables import AUDIT, INCIDENTS, REPORTS
from streams import incidents
from warehouse.client import Warehouse
from warehouse.migrate import migrate


def ms(month: int, day: int) -> int:
    return int(datetime(2026, month, day, tzinfo=UTC).timestamp() * 1000)


def incident(
    opened: int, *kinds: Kind, severity: Severity = "warning", team: str = "risk", name: str = "churn"
) -> Incident:
    conditions = [Condition(kind, kind, "1", "", "", "m", 1.0, 0.5, opened, opened, "text") for kind in kinds]
    return Incident(
        f"{name} {opened}", "shop", name, opened, opened, "open", conditions, severity, team, "what", "text", opened
    )


def report(at: int, pages: float, name: str = "churn") -> Report:
    return Report("shop", name, at, at - 1, 0, {}, 10, [], None, [], pages=pages)


def put(warehouse: Warehouse, found: Sequence[Incident], reports: Sequence[Report]) -> None:
    warehouse.insert(INCIDENTS, [incidents.row(one, one.updated) for one in found])
    body = [(one.namespace, one.model, one.at, canonical_json(one).decode(), "{}") for one in reports]
    warehouse.insert(REPORTS, body)


def test_incidents_stand_beside_the_budget_of_their_month(clickhouse: Client) -> None:
    warehouse = Warehouse(clickhouse, patience=30)
    migrate(warehouse)
    found = [
        incident(ms(1, 3), "labelled_loss", "rule", severity="critical"),
        incident(ms(1, 9), "dead_man", severity="critical"),
        incident(ms(1, 20), "rule", "rule"),
        incident(ms(1, 31), "drift", team="night"),
        incident(ms(3, 5), "dead_man", name="quiet"),
    ]
    put(warehouse, found, [report(ms(1, 2), 1.0), report(ms(1, 31), 0.5), report(ms(2, 10), 0.5)])
    spec = ModelSpec.model_validate(
        {"positive_class": "yes", "features": [{"name": "x", "kind": "number"}], "team": "day"}
    )
    first = ModelRecord.first(Model(metadata=Metadata(namespace="shop", name="churn"), spec=spec))
    warehouse.insert(AUDIT, [first.audit().row()])
    rows = warehouse.rows(
        "SELECT model, team, month, incidents, criticals, silent, own_rules, budgeted, budget FROM pages_by_month "
        "ORDER BY model, month"
    )
    assert rows == [
        ("churn", "night", date(2026, 1, 1), 4, 2, 1, 1, 2, pytest.approx(0.5 * 31 / 30)),
        ("churn", "day", date(2026, 2, 1), 0, 0, 0, 0, 0, pytest.approx(0.5 * 28 / 30)),
        ("quiet", "risk", date(2026, 3, 1), 1, 0, 1, 0, 0, None),
    ]


def test_an_incident_that_is_told_again_is_one(clickhouse: Client) -> None:
    warehouse = Warehouse(clickhouse, patience=30)
    migrate(warehouse)
    put(warehouse, [incident(ms(1, 3), "drift")], [report(ms(1, 3), 1.0)])
    put(warehouse, [incident(ms(1, 3), "drift", "quality")], [report(ms(1, 3), 1.0)])
    assert warehouse.rows("SELECT incidents, budgeted FROM pages_by_month") == [(1, 1)]
