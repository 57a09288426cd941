"""How much a feature matters: what an owner says, else what a training here measured, also under later references."""

from typing import Any

import monitor_world as world
import pytest
from msgspec.structs import replace

from app import declare, rebaseline, reference
from app.declare import Owner
from schemas.models import ModelRecord, Reference
from schemas.settings import Settings
from schemas.spec import Metadata, Model
from streams.monitor.generations import Generation
from streams.monitor.promises import promised

PLAIN = world.calibrated()
MEASURED = replace(PLAIN, importances={"origin": 0.03, "temp": 0.01})


def said(origin: float, temp: float) -> list[dict[str, Any]]:
    return [
        {"name": "origin", "kind": "string", "importance": origin},
        {"name": "temp", "kind": "number", "importance": temp},
    ]


def record(of: Reference, **changes: Any) -> ModelRecord:
    return world.record(1, of=of, **changes)


def test_a_reference_that_asked_no_model_keeps_what_was_measured_of_features_that_both_have() -> None:
    before = record(MEASURED)
    built = before.next(reference=PLAIN, effective_from=0, cause_id="again")
    assert built.reference is not None
    assert built.reference.importances == MEASURED.importances
    fewer = world.spec(features=[{"name": "temp", "kind": "number"}])
    less = before.next(spec=fewer, reference=PLAIN, effective_from=0, cause_id="fewer").reference
    assert less is not None
    assert less.importances == {"temp": 0.01}
    own = replace(PLAIN, importances={"origin": 1.0})
    assert before.next(reference=own, effective_from=0, cause_id="own").reference == own


def test_what_an_owner_says_is_preferred_and_shares_the_weight_of_features() -> None:
    def threshold(of: Reference, **changes: Any) -> float:
        found = {one.key: one.threshold for one in promised(Generation.of(record(of, **changes)), 1.0)}
        return found["feature.temp"]

    assert Generation.of(record(MEASURED)).importances == MEASURED.importances
    assert Generation.of(record(MEASURED, features=said(1, 4))).importances == {"origin": 1, "temp": 4}
    alike = threshold(PLAIN)
    alone = replace(
        PLAIN, watched=[replace(PLAIN.watched[-1], stream=f"feature.{name}") for name in ("origin", "temp")]
    )
    assert threshold(alone, features=said(1, 4)) < threshold(alone) < threshold(alone, features=said(4, 1))
    assert threshold(PLAIN, features=said(0, 0)) == alike


class Nothing:
    """A warehouse in which nothing was counted."""

    def rows(self, sql: str, _parameters: object = None) -> list[tuple[Any, ...]]:
        return [] if "reports" in sql else [(0, 0, 0)]

    def insert(self, _table: object, rows: list[Any]) -> None:
        """The audit log."""


def test_a_rebaseline_keeps_importances_and_its_audit_goes_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    features = [replace(PLAIN.watched[-1], stream=f"feature.{name}") for name in ("origin", "temp")]
    known = [record(replace(MEASURED, watched=features))]
    model = Model(metadata=Metadata(namespace=world.NAMESPACE, name=world.MODEL), spec=world.spec())
    stood: list[ModelRecord] = []

    def append(_settings: object, _namespace: str, _model: str, make: Any) -> ModelRecord:
        stood.append(make(known))
        return stood[-1]

    monkeypatch.setattr(declare, "read_teams", lambda _settings: {})
    monkeypatch.setattr("bus.generations.append", append)
    built = rebaseline.Built(replace(PLAIN, watched=features), "again", "", {})
    _, found = rebaseline.make(Owner(Settings(), Nothing(), 0), model, built)  # type: ignore[arg-type]
    assert stood[0].reference is not None
    assert stood[0].reference.importances == MEASURED.importances
    assert found == reference.shown(model.spec, stood[0].reference, 1.0)
    assert found != reference.shown(model.spec, built.reference, 1.0)
