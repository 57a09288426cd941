"""Commands say what of a model pages nobody for want of data."""

import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace
from rich.console import Console
from typer.testing import CliRunner

from app import declare, get
from app.cli import app
from app.declare import Owner
from detectors.reference import profile_number
from schemas.models import ModelRecord, Reference
from schemas.settings import Settings
from schemas.spec import Metadata, Model, ModelSpec

GAP = "not enough data: 0 of the reference's 2 windows have 100 rows, 2 are needed"
SPEC: dict[str, Any] = {
    "positive_class": "late",
    "features": [{"name": "temp", "kind": "number"}],
    "alerts": {"labelled_loss": False},
    "retraining": {"enabled": False},
}


class Warehouse:
    """Nothing is counted."""

    def rows(self, sql: str, _parameters: object = None) -> list[tuple[Any, ...]]:
        return [] if "reports" in sql else [(0, 0, 0)]

    def insert(self, _table: object, _rows: object) -> None:
        """The audit log."""


def record() -> ModelRecord:
    """A model whose reference has windows of three rows."""
    profile = profile_number("temp", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0, 0, 0, 1, 1, 1])
    reference = Reference(0, 1, 6, {"": [profile]}, [], [], [], "log_loss", [], [])
    return replace(ModelRecord.first(model()), reference=reference)


def model() -> Model:
    return Model(metadata=Metadata(name="m"), spec=ModelSpec.model_validate(SPEC))


def test_get_models() -> None:
    printed = io.StringIO()
    get.show_models([record()], Warehouse(), Console(file=printed, width=80))  # type: ignore[arg-type]
    assert f"default/m: {GAP}" in printed.getvalue()
    assert get.state(Warehouse(), record())["not_judged"][0].startswith(GAP)  # type: ignore[arg-type]


def test_apply_warns_also_when_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declare, "read_teams", lambda _settings: {})
    monkeypatch.setattr("bus.generations.append", lambda _settings, _namespace, _model, make: make([record()]))
    applied = Owner(Settings(), Warehouse(), 0).model(model())  # type: ignore[arg-type]
    assert applied.action == "unchanged"
    assert [note for note in applied.notes if note.startswith(f"warning: {GAP}")]


@pytest.mark.parametrize(("collect", "said"), [("P7D", False), ("P1D", True)])
def test_validate_says_what_the_document_foretells(tmp_path: Path, collect: str, said: bool) -> None:
    path = tmp_path / "model.yaml"
    spec = SPEC | {"reference": {"collect": collect}}
    document = {"apiVersion": "driftline/v1", "kind": "Model", "metadata": {"name": "m"}, "spec": spec}
    path.write_text(yaml.safe_dump(document))
    found = CliRunner().invoke(app, ["validate", str(path)])
    assert found.exit_code == 0, found.output
    assert ("note: not enough data: reference.collect (P1D) will hold 1 windows" in found.output) is said
