"""``raw.ttl``: rows outlive whatever looks back at them, and the error says what to write instead."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from app.cli import app
from schemas.spec import ModelSpec


def spec(**parts: Any) -> ModelSpec:
    base = {"positive_class": "late", "features": [{"name": "x", "kind": "number"}]}
    return ModelSpec.model_validate(base | parts)


def test_the_default_is_enough_for_the_defaults() -> None:
    assert spec().raw.days == 90


def test_whole_days_are_rounded_up() -> None:
    assert spec(raw={"ttl": "P60DT1H"}).raw.days == 61


@pytest.mark.parametrize(
    ("parts", "least"),
    [
        # the horizon, a window and the 14 days that Kafka keeps what is not counted yet
        ({"retraining": {"enabled": False}}, "raw.ttl: P45D, or shorten windows.label_horizon"),
        (
            {"retraining": {"enabled": False}, "windows": {"label_horizon": "P2D"}},
            "raw.ttl: P22D, or shorten windows.dedupe_horizon",
        ),
        ({}, "raw.ttl: P46D, or shorten retraining.collect"),
        ({"gate": {"shadow_max": "P40D"}}, "raw.ttl: P56D, or shorten gate.shadow_max"),
    ],
    ids=["labels", "duplicates", "first training", "shadow"],
)
def test_rows_that_are_still_needed_must_be_there(parts: dict[str, Any], least: str) -> None:
    with pytest.raises(ValidationError, match=least):
        spec(raw={"ttl": "P20D"}, **parts)
    enough = least.split()[1].rstrip(",")
    assert spec(raw={"ttl": enough}, **parts).raw.days == int(enough[1:-1])


def test_no_row_outlives_clickhouse_s_dates() -> None:
    with pytest.raises(ValidationError, match="3650 days"):
        spec(raw={"ttl": "P100000D"})


def test_a_history_that_is_longer_than_the_rows_are_kept_is_said() -> None:
    assert "a training sees at most those" in spec().notes()[0]
    assert spec(raw={"ttl": "P365D"}).notes() == []
    assert spec(retraining={"enabled": False}).notes() == []


def test_validate_says_so(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    features = [{"name": "x", "kind": "number"}]
    for ttl, says in (("P90D", True), ("P365D", False)):
        parts = {"positive_class": "late", "features": features, "raw": {"ttl": ttl}}
        document = {"apiVersion": "driftline/v1", "kind": "Model", "metadata": {"name": "delays"}, "spec": parts}
        path.write_text(yaml.safe_dump(document))
        found = CliRunner().invoke(app, ["validate", str(path)])
        assert found.exit_code == 0, found.output
        assert "is valid" in found.output
        assert ("note: retraining.history is 365 days" in found.output) == says
