"""The reference of a model's first rows, on the real engine: which rows, which labels, of every task."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from clickhouse_connect.driver.client import Client
from retraining_world import DAY, MODEL, NAMESPACE, T0, day, request

from retrain import collecting, examine
from retrain.collecting import collect
from retrain.store import Store
from schemas.lifecycle import Request
from schemas.models import Reference
from schemas.spec import ModelSpec
from schemas.tables import RAW_OUTCOMES, RAW_PREDICTIONS
from schemas.windows import from_ms
from warehouse.client import Warehouse
from warehouse.migrate import migrate

DAYS, ROWS = 4, 50
X = np.random.default_rng(1).normal(size=(DAYS, ROWS))
SPEC: dict[str, Any] = {
    "features": [{"name": "x", "kind": "number"}],
    "segments": ["origin"],
    "alerts": {"min_rows": 5},
    "windows": {"label_maturity": "P1D"},
    "retraining": {"enabled": False},
}
BINARY = ModelSpec.model_validate(SPEC | {"positive_class": "yes"})


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    house = Warehouse(clickhouse)
    migrate(house)
    return house


def predicted(index: int, row: int, **changed: Any) -> list[object]:
    given = {
        "namespace": NAMESPACE, "model": MODEL, "prediction_id": f"p{index}-{row}", "version": "1", "partition": 0,
        "offset": index * ROWS + row, "row": 0, "log_ts": from_ms(T0), "event_time": from_ms(day(index) + row * 60_000),
        "role": "champion", "prediction": "", "score": row / ROWS, "scores": "{}",
        "features": json.dumps({"x": X[index, row]}), "segments": json.dumps({"origin": "EWR" if row % 2 else "JFK"}),
        "latency_ms": None, "verdict": "counted", "generation": 1, "seq": 1, "ttl_days": 90,
    }  # fmt: skip
    return list((given | changed).values())


def labelled(index: int, row: int, **changed: Any) -> list[object]:
    given = {
        "namespace": NAMESPACE, "model": MODEL, "prediction_id": f"p{index}-{row}", "partition": 0,
        "offset": index * ROWS + row, "row": 0, "log_ts": from_ms(T0), "event_time": from_ms(day(index) + 3_600_000),
        "label": "yes" if row % 2 else "no", "positive": row % 2, "value": None,
        "verdict": "counted", "seq": 1, "ttl_days": 90,
    }  # fmt: skip
    return list((given | changed).values())


def fill(warehouse: Warehouse, **changed: Any) -> None:
    """Every day's predictions and labels."""
    places = [(index, row) for index in range(DAYS) for row in range(ROWS)]
    warehouse.insert(RAW_PREDICTIONS, [predicted(*place, **_of(changed, *place, "p_")) for place in places])
    warehouse.insert(RAW_OUTCOMES, [labelled(*place, **_of(changed, *place, "o_")) for place in places])


def _of(changed: dict[str, Any], index: int, row: int, prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): of(index, row) for name, of in changed.items() if name.startswith(prefix)}


def asked(days: int = 3, at: int | None = None) -> Request:
    """A reference of the first days, asked for at ``at`` (their end)."""
    wanted = request(day(days if at is None else at), reason="reference")
    return msgspec.structs.replace(wanted, due=wanted.at, holdout_from=day(days))


def reference(warehouse: Warehouse, folder: Path, wanted: Request, spec: ModelSpec = BINARY) -> Reference:
    store = Store(folder)
    return examine.reference(store, collect(warehouse, store, wanted, spec).manifest)


def test_the_rows_that_windows_count(warehouse: Warehouse, tmp_path: Path) -> None:
    """Not a shadow's, not a late or repeated one, not one of a later time or beyond the offsets, labelled or not."""
    fill(warehouse)
    clear = {"features": '{"x": 99.0}'}
    warehouse.insert(
        RAW_PREDICTIONS,
        [
            predicted(0, 0, prediction_id="shadow", role="shadow", **clear),
            predicted(0, 0, prediction_id="late", verdict="late", **clear),
            predicted(0, 0, offset=10_000, verdict="duplicate", **clear),
            predicted(0, 0, prediction_id="beyond", offset=10**9, **clear),
            predicted(0, 0, prediction_id="unlabelled", offset=11_000, features="{}"),
        ],
    )
    found = reference(warehouse, tmp_path, asked())
    assert (found.start, found.end, found.rows) == (day(0), day(3), 3 * ROWS + 1)
    (x,) = found.features[""]
    assert (x.n, x.nulls) == (3 * ROWS + 1, 1)
    assert (x.low, x.high) == (X[:3].min(), X[:3].max())
    assert sorted(found.features) == ["", "origin=EWR", "origin=JFK"]
    assert sum(found.score_counts) == found.rows


def test_it_ends_where_it_was_asked_to_also_when_the_last_windows_are_empty(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    """Predictions come in the first hour of each day; the monitor knows the answer to its request by its end."""
    fill(warehouse)
    hourly = ModelSpec.model_validate(
        SPEC | {"positive_class": "yes", "windows": {"width": "PT1H", "label_maturity": "P1D"}}
    )
    found = reference(warehouse, tmp_path, asked(), hourly)
    assert (found.start, found.end) == (day(0), day(3))


def test_labels_count_where_they_are_mature(warehouse: Warehouse, tmp_path: Path) -> None:
    fill(warehouse)
    early, later = reference(warehouse, tmp_path, asked()), reference(warehouse, tmp_path, asked(at=4))
    assert (len(early.window_losses), len(later.window_losses)) == (2, 3)
    assert later.window_losses[:2] == early.window_losses
    assert early.features == later.features
    scores, happened = np.arange(ROWS) / ROWS, np.arange(ROWS) % 2
    kept = np.clip(np.where(happened, scores, 1 - scores), 1e-15, 1)
    assert early.loss == "log_loss"
    assert later.window_losses[0] == pytest.approx(-np.log(kept).mean(), rel=0.05)


def test_the_same_request_gives_the_same_bytes_at_any_later_time(warehouse: Warehouse, tmp_path: Path) -> None:
    fill(warehouse)
    store = Store(tmp_path)
    first = collect(warehouse, store, asked(), BINARY)
    warehouse.insert(RAW_PREDICTIONS, [predicted(1, 1, prediction_id="later", offset=10**9)])
    warehouse.insert(RAW_OUTCOMES, [labelled(1, 1, offset=10**9, label="no", positive=0)])
    assert collect(warehouse, store, asked(), BINARY) == first


def test_many_rows_are_thinned_by_the_hash_of_their_ids(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(warehouse)
    monkeypatch.setattr(collecting, "MOST_ROWS", 60)
    found = reference(warehouse, tmp_path, asked())
    assert 20 < found.rows < 90, "every third id of 150"
    assert found == reference(warehouse, tmp_path, asked())


def test_no_rows_is_said(warehouse: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(collecting.NoRows, match="no prediction was counted"):
        collect(warehouse, Store(tmp_path), asked(), BINARY)


def test_multiclass(warehouse: Warehouse, tmp_path: Path) -> None:
    """Classes may have been sent as numbers; the loss is log-loss where all labelled rows have probabilities."""
    spec = ModelSpec.model_validate(SPEC | {"task": "multiclass", "classes": ["1", "2", "3"]})
    probabilities = {"1": 0.2, "2": 0.5, "3": 0.3}
    fill(
        warehouse,
        p_prediction=lambda _index, _row: "2.0",
        p_scores=lambda _index, _row: json.dumps(probabilities),
        o_label=lambda _index, row: "2" if row % 2 else "3.0",
        o_positive=lambda _index, _row: None,
    )
    found = reference(warehouse, tmp_path, asked(), spec)
    assert found.class_counts == [0, 3 * ROWS, 0]
    assert found.loss == "log_loss"
    assert found.window_losses == pytest.approx([-(np.log(0.5) + np.log(0.3)) / 2] * 2)


def test_multiclass_without_probabilities(warehouse: Warehouse, tmp_path: Path) -> None:
    spec = ModelSpec.model_validate(SPEC | {"task": "multiclass", "classes": ["cat", "dog"]})
    fill(
        warehouse,
        p_prediction=lambda _index, row: "dog" if row % 5 else "cat",
        o_label=lambda _index, _row: "dog",
        o_positive=lambda _index, _row: None,
    )
    found = reference(warehouse, tmp_path, asked(), spec)
    assert (found.loss, found.window_losses) == ("error_rate", [0.2, 0.2])


def test_regression(warehouse: Warehouse, tmp_path: Path) -> None:
    spec = ModelSpec.model_validate(SPEC | {"task": "regression"})
    fill(
        warehouse,
        p_prediction=lambda _index, row: str(row * 1.5),
        o_label=lambda _index, row: json.dumps(row * 1.5 + (2 if row % 2 else -1)),
        o_positive=lambda _index, _row: None,
    )
    found = reference(warehouse, tmp_path, asked(), spec)
    assert (found.loss, found.window_losses) == ("mae", [1.5, 1.5])
    assert sum(found.score_counts) == 3 * ROWS
    assert found.score_edges
    assert found.end - found.start == 3 * DAY
