"""A model that is trained elsewhere gets its reference from its first rows, once, whoever is killed; or from a file."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
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
  reference: {collect: P3D}
  alerts: {min_rows: 10}
  retraining: {enabled: false}
"""
ROWS = 40


def day(number: int) -> list[tuple[str, int, dict[str, object]]]:
    """The requests of a day."""
    random = np.random.default_rng(number)
    ages = random.normal(40, 10, ROWS)
    return [
        (
            f"{number}-{row}",
            T0 + number * DAY + row * 20 * 3_600_000 // ROWS,
            {"age": float(age), "plan": "ab"[row % 2]},
        )
        for row, age in enumerate(ages)
    ]


def generations(owned: Owned) -> list[ModelRecord]:
    return read_declared(owned.settings).generations("default", "churn")


def test_the_first_rows_become_the_reference(owned: Owned) -> None:
    owned.apply(DOCUMENT)
    owned.start("aggregate", "monitor")
    service = owned.service("churn")

    def play(number: int) -> None:
        send(service, day(number), label=number % 2)
        service.progress(from_ms(T0 + (number + 1) * DAY))
        owned.decided("churn", T0 + (number + 1) * DAY)

    play(0)
    (state,) = json.loads(owned.command("get", "models", "churn", "-o", "json"))
    assert (state["status"]["state"], state["status"]["collecting"]["rows"]) == ("collecting", ROWS)
    assert "collecting, 33%: 40 of 20,000 rows, 1.0 of 3 days" in owned.command("get", "models")
    assert "default/churn: reference collecting, 33%" in owned.command("status")
    play(1)
    play(2)

    # Both are killed after they have decided, before they have told.
    owned.start("trainer", die="committed")
    owned.start("rollout", die="recorded")
    owned.dies("trainer")
    owned.start("trainer")
    owned.dies("rollout")
    owned.start("rollout")
    owned.until("there is a reference", lambda: len(generations(owned)) == 2)

    play(3)
    owned.until("the labels are in it too", lambda: len(generations(owned)) == 3)
    play(4)
    first, second, third = generations(owned)
    assert first.reference is None
    assert second.reference is not None
    assert third.reference is not None
    assert (second.effective_from, third.effective_from) == (T0 + 3 * DAY, T0 + 4 * DAY)
    assert (second.reference.start, second.reference.end, second.reference.rows) == (T0, T0 + 3 * DAY, 3 * ROWS)
    assert second.reference.features == third.reference.features, "the same bins"
    assert len(second.reference.window_losses) == 2, "labels of the third day were not mature"
    assert len(third.reference.window_losses) == 3
    ages = np.array([features["age"] for number in range(3) for _, _, features in day(number)])
    profile = second.reference.features[""][0]
    assert profile.mean == pytest.approx(ages.mean())
    assert (profile.low, profile.high) == (ages.min(), ages.max())

    metrics = owned.rows(
        "SELECT generation, toUnixTimestamp64Milli(window_start) FROM metric_values "
        "WHERE metric = 'psi' AND name = 'age' AND value IS NOT NULL ORDER BY 2"
    )
    assert metrics == [(1, T0 + 3 * DAY), (2, T0 + 4 * DAY)]
    audit = owned.rows("SELECT kind, id, cause_id FROM audit FINAL ORDER BY kind, id")
    causes = {identity: (kind, cause) for kind, identity, cause in audit}
    of_second = second.audit()
    candidate = causes[causes[of_second.id][1]]
    assert (candidate[0], causes[candidate[1]][0]) == ("candidate", "request"), "why, back to the evidence"
    assert [kind for kind, *_ in audit].count("candidate") == 2
    assert f"120 rows from {iso(T0)} to {iso(T0 + 3 * DAY)}" in owned.command("get", "models")


def test_a_registered_reference(owned: Owned, tmp_path: Path) -> None:
    """From a file for a document, and again for a model that is declared; the same file changes nothing."""
    rows = [row for number in range(6) for row in day(number)]
    table = {
        "at": [from_ms(at) for _, at, _ in rows],
        "score": [row % 10 / 10 for row in range(len(rows))],
        "age": [features["age"] for *_, features in rows],
        "plan": [features["plan"] for *_, features in rows],
        "label": [row % 2 for row in range(len(rows))],
    }
    file, document = tmp_path / "ref.parquet", tmp_path / "model.yaml"
    pq.write_table(pa.table(table), file)
    document.write_text(DOCUMENT)
    words: tuple[str, ...] = ("model", "register", "--version", "7", "--reference", str(file))
    missing = owned.command(*words, "-f", str(document), code=2)
    assert "column 'event_time': not in the table" in missing
    assert "--column event_time=NAME" in missing
    words += ("--column", "event_time=at")
    assert "is not declared (declared: none)" in owned.command(*words, "--model", "churn", code=1)
    said = owned.command(*words, "-f", str(document))
    assert "model default/churn created (generation 0, all windows)" in said
    assert f"reference of version 7: 240 rows from {iso(T0)} to {iso(T0 + 6 * DAY)}" in said
    assert "unchanged (generation 0" in owned.command(*words, "--model", "churn")
    assert "240 rows" in owned.command("get", "models")

    # A feature changes its kind: its reference is dropped, until one is registered.
    changed = DOCUMENT.replace("age, kind: number", "age, kind: string")
    assert "no reference for age" in owned.apply(changed)
    assert "none for age: register one" in owned.command("get", "models")
    table["age"] = ["old" if features["age"] > 40 else "young" for *_, features in rows]  # type: ignore[operator]
    pq.write_table(pa.table(table), file)
    assert "configured (generation 2" in owned.command(*words, "--model", "default/churn")
    assert "none for" not in owned.command("get", "models")
    record = generations(owned)[-1]
    assert record.reference is not None
    assert [profile.categories for profile in record.reference.features[""]] == [["young", "old"], ["a", "b"]]
    kinds = owned.rows("SELECT kind, count() FROM audit FINAL GROUP BY kind ORDER BY kind")
    assert kinds == [("generation", 3), ("registration", 2)]
