"""A quarter of a made-up year in ClickHouse: predictions, labels, drift, incidents, and five turns of the circle."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from app.demo.baselines import BASELINES
from schemas import tables
from schemas.models import FeatureReference, ModelRecord, Reference
from warehouse.client import Warehouse

NAMESPACE, MODEL = "demo", "delays"
START = datetime(2013, 1, 1, 5, tzinfo=UTC)
SINCE, UNTIL = datetime(2013, 2, 1, 5, tzinfo=UTC), datetime(2013, 5, 1, 5, tzinfo=UTC)
DAYS = 120
PER_DAY = 12
SERVES = [(0, "0"), (32, "1"), (62, "2"), (88, "3"), (94, "2")]
"""Who serves from which day on; version 3 is rolled back."""


def day(number: float) -> datetime:
    """An instant, in days from the start."""
    return START + timedelta(days=number)


def build(warehouse: Warehouse, seed: int = 1) -> None:
    """Fill a migrated database."""
    _events(warehouse, np.random.default_rng(seed))
    _drift(warehouse)
    _circle(warehouse)


def _events(warehouse: Warehouse, random: np.random.Generator) -> None:
    predictions: list[Any] = []
    outcomes: list[Any] = []
    baselines: list[Any] = []
    for number in range(DAYS * PER_DAY):
        at, name = day(number / PER_DAY), f"f{number:05d}"
        late = random.random() < 0.3
        # Scores of two digits, so that many are equal: ties must count half in an AUC.
        good, bad = (float(np.clip(np.round(0.3 + w * late + random.normal() / 6, 2), 0, 1)) for w in (0.2, 0.05))
        version = [v for since, v in SERVES if day(since) <= at][-1]
        features = json.dumps({"temp": 40.0, "carrier": "UA"})
        row = [NAMESPACE, MODEL, name, version, 0, number, 0, START, at, "champion", "late", good]
        predictions.append([*row, "{}", features, "{}", 1.0, "counted", 1, 1, 90])
        if number % 25:
            label = "late" if late else "on-time"
            outcomes.append([NAMESPACE, MODEL, name, 0, number, 0, START, at, label, int(late), None, "counted", 1, 90])
        if at >= SINCE:
            baselines.append([name, at, bad, good, int(late) if number % 25 else None])
    warehouse.insert(tables.RAW_PREDICTIONS, predictions)
    warehouse.insert(tables.RAW_OUTCOMES, outcomes)
    warehouse.insert(
        tables.DEAD_LETTERS,
        [["predictions", 0, 9_999, 0, START, "invalid", "", "eyJwcmVkaWN0aW9uX2lkIjogImRlYWQtMSJ9", None, "[]"]],
    )
    columns = ", ".join(f"{name} {kind}" for name, kind in BASELINES.columns.items())
    warehouse.command(f"CREATE TABLE {BASELINES.name} ({columns}) ENGINE = MergeTree ORDER BY prediction_id")
    warehouse.insert(BASELINES, baselines)
    tallies = {
        "predictions.counted": len(predictions),
        "outcomes.counted": len(outcomes),
        "predictions.dead": 1,
        "outcomes.late_label": 4,
    }
    head = [NAMESPACE, MODEL, 1]
    rows = [[*head, "tally", "", "", START, name, 0, n, 0, 0, [], None, None, [], 1] for name, n in tallies.items()]
    rows.append([*head, "matured", "1", "", START, "", 0, len(outcomes), 0, 0, [0, 0, 0], None, None, [], 1])
    warehouse.insert(tables.PARTIALS, rows)


def record() -> ModelRecord:
    """The generation whose reference the drift is measured from."""

    def profile(name: str, kind: Any, counts: list[int]) -> FeatureReference:
        unknown: dict[str, Any] = dict.fromkeys(("low", "high", "mean", "sd"))
        lists: dict[str, Any] = {
            key: [] for key in ("edges", "categories", "window_n", "window_nulls", "window_outside")
        }
        return FeatureReference(name=name, kind=kind, n=sum(counts), nulls=0, counts=counts, **unknown, **lists)

    profiles = [
        profile("temp", "number", [50, 50]),
        profile("carrier", "string", [50, 50]),
        profile("hour", "number", [50, 50]),
    ]
    reference = Reference(0, 0, 100, {"": profiles}, [], [], [], "log_loss", [], [])
    spec = {"positive_class": "late", "features": [{"name": p.name, "kind": p.kind} for p in profiles]}
    return ModelRecord(NAMESPACE, MODEL, 1, 0, spec, reference, "")


def _drift(warehouse: Warehouse) -> None:
    head = [NAMESPACE, MODEL, 1, "feature", "", ""]
    shifts = (("temp", 50), ("carrier", 20), ("hour", 0))
    rows = [
        [*head, day(d), name, 0, 100, 0, 0, [0], None, None, [50 + shift * d // DAYS, 50 - shift * d // DAYS], 1]
        for d in range(31, DAYS)
        for name, shift in shifts
    ]
    warehouse.insert(tables.PARTIALS, rows)


def _circle(warehouse: Warehouse) -> None:
    audit: list[Any] = []

    def row(kind: str, name: str, cause: str, version: str, at: float, **body: Any) -> None:
        audit.append([NAMESPACE, MODEL, kind, name, cause, version, day(at), json.dumps(body)])

    def turn(ordinal: int, at: float, reason: str, cause: str) -> None:
        request, candidate = f"request-{ordinal}", f"candidate-{ordinal}"
        due = int(day(at + 1).timestamp() * 1000)
        row(
            "request",
            request,
            cause,
            "",
            at,
            reason=reason,
            ordinal=ordinal,
            evidence="why",
            as_of={"0": [1, 2]},
            due=due,
        )
        row("snapshot", f"snapshot-{ordinal}", request, "", at, rows=900, address="5" * 64)
        metrics = {"auc": 0.7 + 1e-13 * ordinal, "log_loss": 0.5}
        body = {"status": "ready", "probe": "p" * 16, "rows": 900, "holdout_rows": 100, "metrics": metrics}
        body |= {"artifact": f"{ordinal}" * 64, "manifest": "d" * 64}
        row("candidate", candidate, request, str(ordinal), at, request_id=request, **body)

    def verdict(ordinal: int, at: float, stage: str, outcome: str) -> None:
        name = f"verdict-{stage}-{ordinal}"
        numbers = {"e": 24.123456789012}
        cause, version = f"candidate-{ordinal}", str(ordinal)
        row(
            "verdict",
            name,
            cause,
            version,
            at,
            stage=stage,
            outcome=outcome,
            text=f"{stage} said [so]",
            numbers=numbers,
        )

    row("incident", "incident-1", "", "", 50, conditions=[{"text": "log-loss 0.61 is outside 0.40 to 0.55"}])
    summary = "version 1 predicts worse than usual"
    incident = [
        NAMESPACE,
        MODEL,
        "incident-1",
        day(50),
        day(64),
        day(64),
        "resolved",
        "critical",
        "default",
        summary,
        1,
    ]
    body = {"id": "incident-1", "conditions": [{"text": "log-loss 0.61 is outside 0.40 to 0.55"}]}
    warehouse.insert(tables.INCIDENTS, [[*incident, "", json.dumps(body), 1]])
    turn(1, 31, "bootstrap", "")
    turn(2, 51, "performance", "incident-1")
    verdict(2, 52, "judge", "pass")
    verdict(2, 62, "shadow", "pass")
    row(
        "rollout", "step-2", "verdict-shadow-2", "2", 62, phase="guard", champion={"version": "2", "artifact": "2" * 64}
    )
    turn(3, 79, "schedule", "")
    verdict(3, 80, "judge", "pass")
    verdict(3, 88, "shadow", "pass")
    verdict(3, 94, "guard", "fail")
    turn(4, 107, "schedule", "")
    verdict(4, 108, "judge", "fail")
    warehouse.insert(tables.AUDIT, audit)
    warehouse.insert(tables.ROLLOUTS, [_record(number) for number in range(32, DAYS)])
    warehouse.insert(tables.REPORTS, [[NAMESPACE, MODEL, day(number + 1), "{}", "{}"] for number in range(DAYS)])


def _record(number: int) -> list[Any]:
    stretches = {(52, 62): ("shadow", ["2"]), (62, 76): ("guard", ["1"]), (80, 88): ("shadow", ["3"]), (88, 94): ("guard", ["2"])}  # fmt: skip # noqa: E501
    phase, shadows = next((s for (a, b), s in stretches.items() if a <= number < b), ("steady", []))
    body = {
        "phase": phase,
        "champion": {"version": [v for since, v in SERVES if since <= number][-1], "artifact": "a" * 64},
        "shadows": [{"version": version, "artifact": "b" * 64} for version in shadows],
    }
    return [NAMESPACE, MODEL, day(number), json.dumps(body), "{}"]
