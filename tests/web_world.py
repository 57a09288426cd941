"""Eight weeks of two made-up models in ClickHouse, as the page finds them: one in trouble, one well."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from schemas import tables
from schemas.ids import canonical_json
from schemas.lifecycle import Condition, Incident
from schemas.windows import to_ms
from warehouse.client import Warehouse

NAMESPACE, SICK, WELL = "demo", "flight-delay", "baggage-time"
START = datetime(2013, 3, 4, 5, tzinfo=UTC)
DAYS = 56
PROMOTED = 30
PER_DAY = 800
INCIDENT = "1f0c9a5e7b"
SUMMARY = "Temperature is missing from a third of the predictions of flight-delay"


def day(number: float) -> datetime:
    """An instant, in days from the start."""
    return START + timedelta(days=number)


def build(warehouse: Warehouse, seed: int = 1) -> None:
    """Fill a migrated database."""
    random = np.random.default_rng(seed)
    for model in (SICK, WELL):
        _windows(warehouse, random, model)
    _circle(warehouse)
    marks = {
        f"{NAMESPACE}/{model}": {"predictions": _ms(day(DAYS)), "outcomes": _ms(day(DAYS))} for model in (SICK, WELL)
    }
    warehouse.insert(tables.CHECKPOINTS, [[0, 1, "a", 1, 1, json.dumps(marks), "[]"]])
    incident = Incident(
        id=INCIDENT,
        namespace=NAMESPACE,
        model=SICK,
        opened=_ms(day(DAYS - 6)),
        updated=_ms(day(DAYS - 1)),
        state="open",
        conditions=[
            Condition(
                key="quality/null_rate/temp",
                kind="quality",
                version="",
                segment="",
                name="temp",
                metric="null_rate",
                value=0.34,
                limit=0.021,
                since=_ms(day(DAYS - 7)),
                last=_ms(day(DAYS - 2)),
                text="null rate of temp rose from 0.40% to 34.00% <of> 800 rows",
            )
        ],
        severity="critical",
        team="flights",
        summary=SUMMARY,
        text="What moved: temp is missing.\nSince: 23 April 2013.",
    )
    numbers = ["open", len(incident.conditions), canonical_json(incident).decode(), incident.updated]
    warehouse.insert(tables.INCIDENTS, [_incident(incident, numbers)])
    action = [NAMESPACE, SICK, INCIDENT, "a1", "ack", "mira", "", datetime(1970, 1, 1, tzinfo=UTC), day(DAYS)]
    warehouse.insert(tables.INCIDENT_ACTIONS, [action])


def _incident(incident: Incident, numbers: list[Any]) -> list[Any]:
    known = {
        "namespace": NAMESPACE,
        "model": incident.model,
        "id": incident.id,
        "opened": incident.opened,
        "updated": incident.updated,
        "changed": incident.updated,
        "text": incident.text,
        "state": numbers[0],
        "severity": incident.severity,
        "team": incident.team,
        "summary": incident.summary,
        "conditions": numbers[1],
        "body": numbers[2],
        "revision": numbers[3],
    }
    return [known[column] for column in tables.INCIDENTS.columns]


def _windows(warehouse: Warehouse, random: np.random.Generator, model: str) -> None:
    head = [NAMESPACE, model, 1]
    metrics: list[list[Any]] = []
    partials: list[list[Any]] = []
    for number in range(DAYS):
        at, version = day(number), "2" if number >= PROMOTED else "1"
        for tally, served_by in (("predictions.counted", ""), ("predictions.served", version)):
            partials.append([*head, "tally", served_by, "", at, tally, 0, PER_DAY, 0, 0, [], None, None, [], 1])
        metric, value = ("auc", 0.72 - 0.001 * number) if model == SICK else ("mae", 4.0)
        value += float(random.normal(0, 0.01))
        coverage = 0.95 if number < DAYS - 2 else 0.4
        row = [*head, at, "performance", version, "", "", metric]
        metrics.append([*row, value if number < DAYS - 1 else None, int(PER_DAY * coverage), coverage, 1])
        for name, start, slope in (("temp", 0.02, 0.008), ("humidity", 0.05, 0.0), ("wind_speed", 0.02, 0.003)):
            feature = [*head, at, "feature", "", "", name]
            psi = max(0.0, start + slope * number + float(random.normal(0, 0.01)))
            for found, number_of in (("psi", psi), ("null_rate", 0.004), ("mean", 12.5)):
                metrics.append([*feature, found, number_of, PER_DAY, None, 0])
    warehouse.insert(tables.METRICS, metrics)
    warehouse.insert(tables.PARTIALS, partials)
    body = json.dumps({"window_start": _ms(day(DAYS - 1))})
    warehouse.insert(tables.REPORTS, [[NAMESPACE, model, day(DAYS), body, "{}"]])


def _circle(warehouse: Warehouse) -> None:
    champion = {
        "phase": "guard",
        "champion": {"version": "2", "artifact": "a"},
        "shadows": [],
        "decided_through": _ms(day(DAYS)),
    }
    warehouse.insert(tables.ROLLOUTS, [[NAMESPACE, SICK, day(DAYS), json.dumps(champion), "{}"]])
    steps: list[tuple[str, str, float, dict[str, Any]]] = [
        ("request", "", 20, {"reason": "schedule", "due": 0}),
        ("candidate", "2", 21, {"status": "ready"}),
        ("verdict", "2", 21, {"stage": "judge", "outcome": "pass"}),
        ("verdict", "2", PROMOTED, {"stage": "shadow", "outcome": "pass"}),
        ("rollout", "2", PROMOTED, {"phase": "guard"}),
    ]
    rows = [
        [NAMESPACE, SICK, kind, f"{kind}-{i}", f"{kind}-{i - 1}", version, day(at), json.dumps(body)]
        for i, (kind, version, at, body) in enumerate(steps)
    ]
    warehouse.insert(tables.AUDIT, rows)


def _ms(at: datetime) -> int:
    return to_ms(at)
