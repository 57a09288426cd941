"""``driftline reference build`` and ``show`` on real Kafka, from counted rows and from a file; what it says is kept."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from owner_world import DAY, T0, Owned, send

from bus.generations import read_declared
from schemas.models import ModelRecord
from schemas.windows import from_ms, iso

DOCUMENT = """
apiVersion: driftline/v1
kind: Model
metadata: {name: churn}
spec:
  positive_class: "yes"
  features:
    - {name: age, kind: number}
    - {name: plan, kind: string}
  windows: {label_maturity: P1D, allowed_lateness: PT0S}
  reference: {collect: P90D, rows: 1000000}
  retraining: {enabled: false}
"""
DAYS, ROWS = 30, 110


def day(number: int) -> list[tuple[str, int, dict[str, Any]]]:
    """The requests of a day."""
    ages = np.random.default_rng(number).normal(40, 10, ROWS)
    return [
        (f"{number}-{row}", T0 + number * DAY + row * 600_000, {"age": float(age), "plan": "ab"[row % 2]})
        for row, age in enumerate(ages)
    ]


def newest(owned: Owned) -> ModelRecord:
    return read_declared(owned.settings).generations("default", "churn")[-1]


def test_rows_that_were_counted_become_the_reference(owned: Owned) -> None:
    owned.apply(DOCUMENT)
    owned.start("aggregate", "monitor")
    show = ("reference", "show", "--model", "churn")
    assert "model default/churn has no reference yet" in owned.command(*show, code=1)
    service = owned.service("churn")
    for number in range(DAYS):
        send(service, day(number), label=number % 2)
    service.progress(from_ms(T0 + (DAYS + 1) * DAY))
    owned.decided("churn", T0 + (DAYS + 1) * DAY)

    def build(until: int, *words: str, code: int = 0) -> str:
        between = ("--since", iso(T0 + 3_600_000), "--until", iso(until))
        effect = ("--from", iso(T0 + (DAYS + 1) * DAY))
        return owned.command("reference", "build", "--model", "churn", *between, *effect, *words, code=code)

    assert f"decided up to {iso(T0 + (DAYS + 1) * DAY)}" in build(T0 + (DAYS + 30) * DAY, code=1)
    assert "name the rows one way" in owned.command("reference", "build", "--model", "churn", code=2)
    end = T0 + DAYS * DAY
    said = build(end, "--dry-run")
    assert f"reference of version 7: {(DAYS - 1) * ROWS:,} rows from {iso(T0 + DAY)} to {iso(end)}" in said
    assert newest(owned).reference is None
    made = json.loads(build(end, "--json"))
    assert (made["action"], made["generation"]) == ("configured", 1)
    assert "unchanged" in build(end)

    record = newest(owned)
    assert record.reference is not None
    assert (record.effective_from, record.reference.rows) == (T0 + (DAYS + 1) * DAY, (DAYS - 1) * ROWS)
    assert len(record.reference.window_losses) == DAYS - 1
    streams = {one["stream"]: one for one in made["streams"]}
    assert list(streams) == ["loss", "estimate", "score", "feature.age", "feature.plan"]
    assert (streams["feature.age"]["windows"], streams["feature.age"]["blocks"]) == (DAYS - 1, DAYS - 1)
    assert streams["feature.plan"]["claim"] == "within budget on held-out reference"

    assert json.loads(owned.command(*show, "--json")) == made["streams"]
    assert "feature.plan" in owned.command(*show)
    ((body, cause),) = owned.rows(
        "SELECT r.body, g.cause_id FROM audit AS r FINAL INNER JOIN (SELECT cause_id FROM audit FINAL "
        "WHERE kind = 'generation') AS g ON g.cause_id = r.id WHERE r.kind = 'registration'"
    )
    kept = json.loads(body)
    assert cause == record.cause_id
    assert (kept["counted_from"], kept["counted_to"], kept["versions"]) == (T0 + DAY, end, ["7"])
    assert kept["streams"] == made["streams"]


def test_a_file_becomes_the_reference(owned: Owned, tmp_path: Path) -> None:
    rows = [row for number in range(DAYS) for row in day(number)]
    table = {
        "event_time": pa.array([at for _, at, _ in rows], pa.timestamp("ms", "UTC")),
        "score": [row % 10 / 10 for row in range(len(rows))],
        "age": [features["age"] for *_, features in rows],
        "plan": [features["plan"] for *_, features in rows],
    }
    file, document = tmp_path / "ref.parquet", tmp_path / "model.yaml"
    pq.write_table(pa.table(table), file)
    document.write_text(DOCUMENT)
    said = owned.command("reference", "build", str(file), "--model", str(document))
    assert "model default/churn created (generation 0, all windows)" in said
    assert "loss: the reference has 0 windows in 0 days, 20 in 3 are needed" in said
    stored = owned.command("reference", "show", "--model", "default/churn", "--json")
    assert stored == owned.command("reference", "show", str(file), "--model", "churn", "--json")
    assert "is not declared" in owned.command("reference", "show", "--model", "other", code=1)
