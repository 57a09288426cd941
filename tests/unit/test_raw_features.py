"""`raw.features: false`: raw rows keep ids, verdicts and scores; counts and joins are what they were."""

from typing import Any

import msgspec
import pytest
from aggregate_world import START, events, model_record
from engine_world import Engine
from pydantic import ValidationError

from schemas.models import ModelRecord
from schemas.spec import ModelSpec
from streams.aggregate.decode import Record
from streams.aggregate.raw import prediction_table
from warehouse.client import Warehouse

SENT = [item for item in events(60, seed=3) if item.topic == "predictions"]


class NoWarehouse(Warehouse):
    def __init__(self) -> None:
        """No client."""


def declared(**raw: Any) -> ModelRecord:
    record = model_record()
    spec = record.parsed().model_dump(mode="json")
    spec["raw"] |= raw
    spec["retraining"]["enabled"] = False
    return msgspec.structs.replace(record, spec=ModelSpec.model_validate(spec).model_dump(mode="json"))


def counted(record: ModelRecord) -> tuple[list[dict[str, Any]], dict[Any, Any]]:
    engine = Engine(NoWarehouse(), [record])
    log = [Record("predictions", 0, n, START + 10**10, item.value) for n, item in enumerate(SENT)]
    engine.count(log, [])
    table = prediction_table(engine.work.predictions, engine.models, {0: 1})
    assert table is not None
    engine.sketch()
    return table.to_pylist(), dict(engine.state.rows())


def test_raw_rows_without_features_say_all_else() -> None:
    (whole, windows), (bare, same_windows) = counted(declared()), counted(declared(features=False))
    assert windows == same_windows
    assert {row["features"] for row in bare} == {"{}"}
    assert len({row.pop("features") for row in whole}) > 1
    for row in bare:
        del row["features"]
    assert whole == bare


def test_what_needs_the_features_is_refused_at_the_declaration() -> None:
    spec = model_record().parsed().model_dump(mode="json")
    spec["raw"] |= {"features": False}
    with pytest.raises(ValidationError, match=r"raw\.features is false, but retraining\.enabled is true"):
        ModelSpec.model_validate(spec)
    [note] = declared(features=False).parsed().notes()
    assert "driftline model register" in note
