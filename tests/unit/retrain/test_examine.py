"""The judge's hands when the features of a model change between versions."""

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from retraining_world import DAY, SPEC, T0, day, request

from retrain import dataset
from retrain.examine import examine
from retrain.fit import FeaturePlan, fit, save_model
from retrain.judge import Finding
from retrain.state import Contender
from retrain.store import Store
from schemas.lifecycle import Candidate
from schemas.spec import ModelSpec

BEFORE = {"x": "number", "carrier": "string", "weekend": "boolean"}


def spec(**kinds: str) -> ModelSpec:
    features = [{"name": name, "kind": kind} for name, kind in kinds.items()]
    return ModelSpec.model_validate(SPEC.model_dump(mode="json") | {"features": features})


def snapshot(of: ModelSpec, days: int = 10, rows: int = 100) -> pa.Table:
    """Rows as ``dataset.read`` returns them; the label follows ``x``."""
    random = np.random.default_rng(1)
    n = days * rows
    x = random.normal(size=n)
    made = {
        "number": pa.array(x),
        "string": pa.array([("AA", "B6", None)[i % 3] for i in range(n)]),
        "boolean": pa.array(x > 1),
    }
    times = T0 + np.arange(n, dtype=np.int64) * DAY // rows
    return pa.table(
        {
            "prediction_id": [f"p{i:05d}" for i in range(n)],
            "event_time": times,
            "window_start": times - (times - T0) % DAY,
            "version": ["1"] * n,
            "score": [0.5] * n,
            "label": (random.random(n) < 1 / (1 + np.exp(-3 * x))).astype(np.int8),
            "segment.origin": [("EWR", "JFK")[i % 2] for i in range(n)],
        }
        | {dataset.FEATURE + feature.name: made[feature.kind] for feature in of.features}
    )


def artifact(store: Store, of: ModelSpec, path: Path) -> str:
    rows = dataset.features_only(snapshot(of), of.features)
    save_model(fit(rows, FeaturePlan.of(of.features), seed=1, threads=1), path)
    return store.put(path.read_bytes())


def judged(tmp_path: Path, now: ModelSpec) -> Finding:
    """A candidate of the spec ``now`` against a champion that was fitted on the features before."""
    store = Store(tmp_path / "store")
    champion = Contender("1", artifact(store, spec(**BEFORE), tmp_path / "1.skops"), "", "bootstrap")
    asked = request(day(10), 2, "schedule", holdout_days=5)
    candidate = msgspec.convert(
        {
            "id": "c", "request_id": asked.id, "namespace": "default", "model": "toy", "version": "2",
            "status": "ready", "error": "", "manifest": "", "artifact": artifact(store, now, tmp_path / "2.skops"),
            "snapshot": store.put(dataset.to_parquet(snapshot(now))), "probe": "", "rows": 500, "holdout_rows": 500,
            "metrics": {},
        },
        Candidate,
    )  # fmt: skip
    return examine(store, now, asked, candidate, champion)


def test_a_champion_that_misses_a_feature_is_an_error_that_says_so(tmp_path: Path) -> None:
    found = judged(tmp_path, spec(x="number", carrier="string"))
    assert found.outcome == "error"
    assert "champion 1 was fitted on the columns carrier, weekend, x" in found.text
    assert "generation 1 (no column for weekend; the table has x, carrier, label)" in found.text


def test_a_feature_of_another_kind_is_an_error_that_says_so(tmp_path: Path) -> None:
    found = judged(tmp_path, spec(x="string", carrier="string", weekend="boolean"))
    assert found.outcome == "error"
    assert "champion 1 was fitted on the columns carrier, weekend, x" in found.text


@pytest.mark.parametrize("gained", [{}, {"y": "number"}])
def test_a_champion_needs_no_feature_that_came_later(tmp_path: Path, gained: dict[str, str]) -> None:
    found = judged(tmp_path, spec(**BEFORE, **gained))
    assert found.outcome == "pass", found.text
