"""The demo's barrier on the embedded ClickHouse: when it does not open, it says which stage is late."""

from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from driftline import Decision, NotDecided
from retraining_world import DAY, T0, day

from app.demo import model, service
from app.demo.service import Service, StageLate
from schemas.ids import canonical_json
from schemas.settings import Settings
from schemas.tables import AUDIT, CHECKPOINTS, REPORTS
from schemas.windows import from_ms
from warehouse.client import Warehouse
from warehouse.migrate import migrate

NAME = model.document().metadata
WHO = [NAME.namespace, NAME.name]


class Shut:
    """A router, and an emitter, of a circle that stands still."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.decision = Decision()

    def refresh(self, timeout: float) -> bool:
        return False

    def wait_decided(self, through: int, timeout: float) -> Decision:
        raise NotDecided(f"waited {timeout:g} s")


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    house = Warehouse(clickhouse, patience=30)
    migrate(house)
    return house


@pytest.fixture
def waiting(warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(service, "Router", Shut)
    monkeypatch.setattr(service, "Emitter", Shut)
    flights: Any = None
    return Service(
        Settings(store=tmp_path / "store", bootstrap_servers="nowhere:9092"),
        flights,
        until=from_ms(day(3)).date(),
        warehouse=warehouse,
        cache=tmp_path / "decision.json",
    )


def aggregated(warehouse: Warehouse, through: int) -> None:
    marks = {"/".join(WHO): {"predictions": through, "outcomes": through}}
    warehouse.insert(CHECKPOINTS, [[0, 1, "owner", 5, 5, canonical_json(marks).decode(), "[]"]])


def reported(warehouse: Warehouse, through: int) -> None:
    body = canonical_json({"window_start": through - DAY, "incident": None}).decode()
    warehouse.insert(REPORTS, [[*WHO, from_ms(through), body, "{}"]])


def asked(warehouse: Warehouse, due: int) -> None:
    body = canonical_json({"due": due}).decode()
    warehouse.insert(AUDIT, [[*WHO, "request", f"request-{due}", "", "1", from_ms(T0), body]])


def answered(warehouse: Warehouse, due: int) -> None:
    warehouse.insert(AUDIT, [[*WHO, "candidate", f"candidate-{due}", f"request-{due}", "1", from_ms(T0), "{}"]])


def test_the_barrier_names_the_stage_that_is_late(warehouse: Warehouse, waiting: Service) -> None:
    def late() -> str:
        with pytest.raises(StageLate, match="waited 660 s") as error:
            waiting._wait(day(3))
        return str(error.value).split(" is late")[0]

    assert late() == "the stage aggregate"
    aggregated(warehouse, day(3))
    assert late() == "the stage monitor"
    asked(warehouse, day(3))
    asked(warehouse, day(4))
    reported(warehouse, day(3))
    assert late() == "the stage trainer"
    answered(warehouse, day(3))
    assert late() == "the stage rollout", "the request that is not due keeps nobody waiting"


def test_a_broker_that_is_away_ends_the_wait_by_the_same_deadline(
    waiting: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "BARRIER_SECONDS", 0.0)
    with pytest.raises(StageLate, match=r"driftline\.rollouts could not be read .* nowhere:9092"):
        waiting._refresh(step=1)
