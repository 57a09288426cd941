"""``driftline replay`` on real Kafka: by itself, on a running stack, twice, and with rows that nobody can use."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from rich.progress import Progress

from app import wiring
from app.demo import example
from app.documents import model_of
from app.propose import document
from app.replay import plan, result, run, shared
from app.replay.shared import Installation
from app.stack import Stack
from app.table import read
from schemas.spec import REPLAYS, Model

pytestmark = pytest.mark.timeout(300)

ROWS = 9_000
TWICE = 5
"""So many rows are in the table twice, and one of them with another label."""


@dataclass(frozen=True, slots=True)
class World:
    """A table, its document, and a stack with the roles that a replay needs."""

    table: Path
    model: Path
    reference: Path
    stack: Stack

    def replay(self, *options: str, stack: bool = False) -> dict[str, Any]:
        """What the command prints."""
        command = [sys.executable, "-m", "app.cli", *(["--stack", str(self.stack.root)] if stack else [])]
        command += ["replay", str(self.table), "--model", str(self.model), "--json", *options]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
        assert ran.returncode == 0, ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    def here(self, planned: plan.Plan, installation: Installation) -> result.Result:
        """A replay in this process."""
        document = model_of(self.model)
        return run.replay(planned, read(self.table, document.spec), installation, Progress(disable=True))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, kafka_cache: Path) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("replay")
    rows = example.table(ROWS)
    again = rows.slice(ROWS // 2, TWICE)
    label = ["left" if name == "stayed" else "stayed" for name in again["label"].to_pylist()[:1]]
    other = again.slice(0, 1).set_column(rows.column_names.index("label"), "label", pa.array(label))
    nameless = rows.slice(ROWS - 1, 1).set_column(1, "prediction_id", pa.array(["x" * 300]))
    pq.write_table(pa.concat_tables([rows, other, again.slice(1), nameless]), folder / "predictions.parquet")
    pq.write_table(example.table(3_000, seed=11).slice(0, 1_000), folder / "reference.parquet")
    text, _ = document(folder / "predictions.parquet", {}, ["region"])
    declared = yaml.safe_load(text)
    declared["spec"]["windows"] = {"width": "P1D", "label_maturity": "P3D"}  # init finds days too short for so few rows
    declared["spec"]["reference"]["collect"] = "P7D"
    (folder / "model.yaml").write_text(yaml.safe_dump(declared))
    with Stack(folder / "stack", cache=kafka_cache) as stack:
        stack.start_roles()  # all four, as in production: a replay must wake neither trainer nor rollout
        yield World(folder / "predictions.parquet", folder / "model.yaml", folder / "reference.parquet", stack)


@pytest.fixture(scope="module")
def alone(world: World, kafka_cache: Path) -> dict[str, Any]:
    """The answer of a replay that starts what it needs."""
    return world.replay("--cache", str(kafka_cache), "--report", str(world.table.with_name("report.html")))


def test_it_says_what_would_have_paged(alone: dict[str, Any]) -> None:
    """The two faults that the example has on purpose, and nothing else."""
    assert alone["paged"] is True
    kinds = [{condition["kind"] for condition in incident["conditions"]} for incident in alone["incidents"]]
    assert kinds == [{"quality"}, {"labelled_loss"}]
    charge, loss = alone["incidents"]
    assert (charge["opened_at"], charge["state"]) == ("2024-04-07T00:00:00Z", "resolved")
    assert "monthly_charge" in charge["summary"]
    assert loss["opened_at"] >= "2024-04-16T00:00:00Z"
    assert [moved["feature"] for moved in alone["moved"]] == ["monthly_charge"]


def test_every_row_is_accounted_for(alone: dict[str, Any], world: World) -> None:
    events = alone["events"]
    rows = pq.read_table(world.table)
    assert events["sent"] == len(rows) + len(rows["label"].drop_null())
    assert events["adds_up"] is True
    assert events["duplicate"] + events["correction"] == TWICE + len(rows.slice(ROWS, TWICE)["label"].drop_null())
    assert events["correction"] == 1
    assert [(dead["reason"], dead["events"]) for dead in alone["dead_letters"]] == [("invalid", events["dead"])]
    assert events["dead"] >= 1
    assert events["late"] == 0


def test_another_stack_gives_the_same_bytes(alone: dict[str, Any], world: World) -> None:
    model = model_of(world.model)
    planned = plan.plan(model, read(world.table, model.spec), None, path=world.table)
    found = world.here(planned, Installation(world.stack.settings, world.stack.warehouse, lambda: None))
    assert json.dumps(result.as_json(found, world.table.name)) == json.dumps(alone)
    assert world.stack.warehouse.rows("SELECT kind, count() FROM audit WHERE kind = 'request' GROUP BY kind") == []


def test_on_a_running_stack_it_has_a_name_of_its_own_and_is_not_counted_twice(
    alone: dict[str, Any], world: World
) -> None:
    first = world.replay("--reference", str(world.reference), stack=True)
    assert first["model"].startswith(f"{REPLAYS}/predictions.")
    assert first["windows"]["judged"] > alone["windows"]["judged"]
    assert first["events"]["adds_up"] is True
    before = _rows(world)
    assert world.replay("--reference", str(world.reference), stack=True) == first
    assert _rows(world) == before


def test_a_replay_that_was_broken_off_is_not_in_the_way(world: World) -> None:
    model = model_of(world.model)
    planned = plan.plan(model, read(world.table, model.spec), None, path=world.table)
    there = Installation(world.stack.settings, world.stack.warehouse, lambda: None)
    broken = shared.free(planned, "c0ffee", there)
    wiring.publish_model(there.settings, broken.records[0])
    assert (broken.namespace, broken.model) == (REPLAYS, "predictions.c0ffee")
    assert shared.free(planned, "c0ffee", there).model == "predictions.c0ffee.2"


def test_the_report_stands_alone_and_speaks(alone: dict[str, Any], world: World) -> None:
    page = world.table.with_name("report.html").read_text()
    assert f"<h1>{len(alone['incidents'])} incidents would have paged you.</h1>" in page
    assert re.findall(r"""(?:src|href)=["'](?!#|data:)([^"']*)""", page) == []
    assert "url(http" not in page
    assert "<script" not in page
    pictures = re.findall(r'role="img" aria-label="([^"]{40,})"', page)
    assert len(pictures) == page.count("<svg") == page.count('<svg aria-hidden="true"') == 2


def _rows(world: World) -> int:
    found = world.stack.warehouse.rows("SELECT count() FROM raw_predictions")
    return int(found[0][0])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"spec": {"features": [{"name": "nothing", "kind": "number"}], "positive_class": "left"}}, "column 'nothing'"),
        ({"spec": {"features": [], "positive_class": "left"}}, "spec.features"),
    ],
)
def test_what_cannot_be_answered_ends_with_2_and_starts_nothing(
    world: World, tmp_path: Path, document: dict[str, Any], message: str
) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(
        yaml.safe_dump({"apiVersion": "driftline/v1", "kind": "Model", "metadata": {"name": "m"}} | document)
    )
    command = [sys.executable, "-m", "app.cli", "replay", str(world.table), "--model", str(path)]
    command += ["--root", str(tmp_path / "stack")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 2
    assert message in ran.stderr
    assert not (tmp_path / "stack").exists()


def test_the_document_is_one_that_can_be_applied(world: World) -> None:
    assert Model.model_validate(yaml.safe_load(world.model.read_text())).spec.task == "binary"


@pytest.mark.parametrize(("task", "metric"), [("multiclass", "accuracy"), ("regression", "mae")])
def test_other_tasks_are_replayed_as_well(world: World, tmp_path: Path, task: str, metric: str) -> None:
    """Proposed from a table and replayed; on the last five of twenty days the answers are wrong."""
    path = tmp_path / f"{task}.parquet"
    pq.write_table(_answers(task), path)
    text, _ = document(path, {}, [])
    declared = yaml.safe_load(text)
    assert declared["spec"]["task"] == task
    declared["spec"]["windows"] = {"width": "P1D", "label_maturity": "P1D"}
    declared["spec"]["reference"]["collect"] = "P7D"
    model = tmp_path / "model.yaml"
    model.write_text(yaml.safe_dump(declared))
    found = World(path, model, world.reference, world.stack).replay("--report", str(tmp_path / "r.html"), stack=True)
    assert found["events"] == found["events"] | {"adds_up": True, "sent": 2 * 20 * 150, "dead": 0}
    assert [{condition["kind"] for condition in incident["conditions"]} for incident in found["incidents"]] == [
        {"labelled_loss"}
    ]
    assert found["incidents"][0]["opened_at"] == "2024-03-19T00:00:00Z"
    values = [window[metric] for window in found["performance"]]
    assert len(values) == 20
    assert (max(values[:15]) < min(values[15:])) == (task == "regression")


def _answers(task: str) -> pa.Table:
    """Twenty days of 150 predictions, and what happened a second later."""
    random = np.random.default_rng(3)
    day = np.repeat(np.arange(20), 150)
    at = example.START_MS + day * 86_400_000 + np.tile(np.arange(150), 20) * 500_000
    wrong = day >= 15
    columns = {"event_time": pa.array(at, pa.timestamp("ms", "UTC"))}
    columns["label_time"] = pa.array(at + 1_000, pa.timestamp("ms", "UTC"))
    columns["size"] = pa.array(random.normal(10.0, 2.0, len(day)))
    if task == "regression":
        happened = random.normal(50.0, 10.0, len(day))
        columns["prediction"] = pa.array(happened + random.normal(0.0, 2.0, len(day)) + 20.0 * wrong)
        columns["label"] = pa.array(happened)
        return pa.table(columns)
    names = np.array(["cat", "dog", "owl"])
    truth = random.integers(0, 3, len(day))
    shown = np.where((random.random(len(day)) < 0.1) | wrong, (truth + 1) % 3, truth)
    for place, name in enumerate(names):
        columns[f"score_{name}"] = pa.array(np.where(shown == place, 0.8, 0.1))
    columns["prediction"], columns["label"] = pa.array(names[shown].tolist()), pa.array(names[truth].tolist())
    return pa.table(columns)
