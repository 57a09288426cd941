"""What an owner declares, on real Kafka: applied, changed in the middle of a stream, got and deleted."""

import json
import threading
from typing import Any

import yaml
from owner_world import DAY, T0, Owned, send

from bus import generations
from schemas.models import ModelRecord
from schemas.windows import from_ms, iso

V1 = """
apiVersion: driftline/v1
kind: Model
metadata: {name: churn}
spec:
  positive_class: "yes"
  team: growth
  features:
    - {name: age, kind: number}
    - {name: plan, kind: number}
    - {name: gone, kind: boolean}
  windows: {label_maturity: P1D, allowed_lateness: PT0S}
  alerts: {min_rows: 10}
  retraining: {enabled: false}
"""
V2 = V1.replace("plan, kind: number", "plan, kind: string").replace("gone, kind: boolean", "wind, kind: number")
TEAM = "---\napiVersion: driftline/v1\nkind: Team\nmetadata: {name: growth}\nspec: {channels: [pager]}\n"


SMALL = "warning: alerts.min_rows is 10, but features are judged in windows of 100 rows or more only"


def news(said: str) -> list[str]:
    """What was said, but for the warning about small windows, which is always there."""
    return [line for line in said.splitlines() if SMALL not in line]


def events(day: int, half: int, *kinds: str, rows: int = 40) -> list[tuple[str, int, dict[str, Any]]]:
    """Half a day of a service: the old one sends plan as a number and gone, the new one plan as text and wind."""
    features: dict[str, dict[str, Any]] = {
        "old": {"age": 30.0, "plan": 2.0, "gone": False},
        "new": {"age": 40.0, "plan": "gold", "wind": 5.0},
    }
    start = T0 + day * DAY + half * DAY // 2
    return [
        (f"{kind}-{day}-{half}-{row}", start + row * DAY // 2 // rows, features[kind])
        for row in range(rows)
        for kind in kinds
    ]


def test_documents_come_and_go(owned: Owned) -> None:
    """Kubectl's words; a repeat changes nothing; what was got can be applied."""
    said = owned.apply(V1)
    assert "model default/churn created (generation 0, all windows)" in said
    assert "collecting its reference: the first 7 days or 20,000 predictions, whichever is full first" in said
    assert "warning: team default/growth is not declared" in said
    assert SMALL in said
    assert news(owned.apply(V1 + TEAM)) == [
        "team default/growth created",
        "model default/churn unchanged (generation 0, all windows)",
    ]
    assert "team default/growth configured" in owned.apply(TEAM.replace("pager", "chat"))
    got = owned.command("get", "models", "churn", "-o", "yaml")
    usual = {"collect": "P7D", "rows": 20_000, "timezone": "UTC", "holidays": []}
    assert yaml.safe_load(got)["spec"]["reference"] == usual
    assert "unchanged" in owned.apply(got)
    assert "unchanged" in owned.apply(owned.command("get", "team", "default/growth", "-o", "yaml"))
    (state,) = json.loads(owned.command("get", "models", "-o", "json"))
    assert (state["status"]["state"], state["status"]["collecting"]["share"]) == ("collecting", 0.0)

    before = owned.command("get", "models")
    assert "generation 1" in owned.apply(V2, "--dry-run")
    assert owned.command("get", "models") == before
    # Nothing is counted yet, so the change is for all windows, and nothing is fixed that a stream would fix.
    assert news(owned.apply(V2.replace("offset: PT5H", ""))) == [
        "model default/churn configured (generation 1, all windows)",
        "  + feature wind (number)",
        "  - feature gone",
        "  ~ feature plan: number -> string",
    ]
    audit = owned.rows("SELECT id, cause_id, JSONExtractInt(body, 'generation') FROM audit FINAL ORDER BY 3")
    assert [row[2] for row in audit] == [0, 1]

    assert "team default/growth deleted" in owned.command("delete", "team", "growth")
    assert "declared: none" in owned.command("delete", "team", "growth", code=1)
    assert "(2 generations)" in owned.command("delete", "model", "churn")
    assert "model default/churn is not declared; declared: none" in owned.command("delete", "model", "churn", code=1)
    assert "declared: none" in owned.command("get", "models", "churn", code=1)
    assert "created (generation 0" in owned.apply(V2)


def test_a_wrong_document_changes_nothing(owned: Owned) -> None:
    said = owned.apply(V1 + TEAM.replace("channels", "chanels"), code=1)
    assert "-:19: spec.chanels: unknown key (did you mean channels?)" in said
    assert "no model is declared" in owned.command("get", "models")
    assert "no team is declared" in owned.command("get", "teams")
    assert "No such file" in owned.command("apply", "-f", str(owned.folder / "none.yaml"), code=2)


def test_two_writers_of_one_model_lose_nothing(owned: Owned) -> None:
    """Eight at once: eight generations, one after the other, each made from the one before it."""
    owned.apply(V1)

    def write(cause: str) -> None:
        def make(known: list[ModelRecord]) -> ModelRecord:
            return known[-1].next(reference=None, effective_from=0, cause_id=cause)

        generations.append(owned.settings, "default", "churn", make)

    writers = [threading.Thread(target=write, args=(f"writer-{number}",)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = generations.read_declared(owned.settings).generations("default", "churn")
    assert [record.generation for record in found] == list(range(9))
    assert sorted(record.cause_id for record in found[1:]) == [f"writer-{number}" for number in range(8)]


def test_a_spec_changed_in_the_middle_of_a_stream(owned: Owned) -> None:
    """Windows in flight keep the old generation, later ones have the new one, old and new services all the time."""
    owned.apply(V1)
    owned.start("aggregate", "monitor")
    service = owned.service("churn")
    send(service, [*events(0, 0, "old"), *events(0, 1, "old"), *events(1, 0, "old")], label=1)
    # Raw rows are there before it is decided that they count.
    counted = "SELECT sum(events) FROM tallies WHERE tally = 'predictions.counted'"
    owned.until("the first half is counted", lambda: owned.rows(counted) == [(120,)])

    # Without a time of its own a change waits for what is "now" to the brokers, which a simulated stream never reaches.
    warned = owned.apply(V2, "--dry-run")
    assert f"for a simulated time give --from {iso(T0 + 2 * DAY)}" in warned
    refused = owned.apply(V2, "--from", iso(T0 + DAY), code=1)
    assert f"events up to {iso(T0 + 2 * DAY)} are counted already" in refused
    for change in (
        ('positive_class: "yes"', 'positive_class: "no"'),
        ("{label_maturity", "{width: PT1H, label_maturity"),
    ):
        assert "declare a model of another name" in owned.apply(V2.replace(*change), code=1)
    said = owned.apply(V2, "--from", iso(T0 + 2 * DAY))
    assert f"model default/churn configured (generation 1, windows from {iso(T0 + 2 * DAY)} on)" in said

    # The new service is rolled out while the old one still runs; both go on in the next window.
    send(service, events(1, 1, "old", "new"), label=1)
    send(service, [*events(2, 0, "old", "new"), *events(2, 1, "new")], label=0)
    service.progress(from_ms(T0 + 5 * DAY))
    owned.decided("churn", T0 + 4 * DAY)

    values = {
        (day, name): (generation, n, rate)
        for day, name, generation, n, rate in owned.rows(
            "SELECT intDiv(toUnixTimestamp64Milli(window_start) - {t0:Int64}, 86400000), name, generation, n, value "
            "FROM metric_values WHERE view = 'feature' AND metric = 'null_rate' AND n > 0",
            t0=T0,
        )
    }
    assert values == {
        (0, "age"): (0, 80, 0.0),
        (0, "plan"): (0, 80, 0.0),
        (0, "gone"): (0, 80, 0.0),
        # plan as text is of the wrong kind by the generation in force; wind is not declared in it and is left alone.
        (1, "age"): (0, 80, 0.0),
        (1, "plan"): (0, 80, 0.0),
        (1, "gone"): (0, 80, 0.0),
        (2, "age"): (1, 80, 0.0),
        (2, "plan"): (1, 80, 0.0),
        (2, "wind"): (1, 80, 0.0),
    }
    tested = owned.rows(
        "SELECT intDiv(toUnixTimestamp64Milli(window_start) - {t0:Int64}, 86400000) AS day, generation, n FROM "
        "metric_values WHERE view = 'tested' AND metric = 'log_loss' AND segment = '' AND n > 0 ORDER BY day",
        t0=T0,
    )
    assert tested == [(0, 0, 80), (1, 0, 80), (2, 1, 80)], "each window is tested once, with all its labels"
    dead = owned.rows("SELECT reason, detail, count() FROM dead_letters FINAL GROUP BY 1, 2 ORDER BY 3")
    assert [(reason, n) for reason, _, n in dead] == [("wrong_kind", 40), ("wrong_kind", 40)]
    assert all("$.features.plan" in detail for _, detail, _ in dead)
    reports = owned.rows("SELECT JSONExtractInt(body, 'generation') FROM reports FINAL ORDER BY `at` LIMIT 3")
    assert reports == [(0,), (0,), (1,)]


def test_a_model_that_is_deleted_and_declared_again(owned: Owned) -> None:
    """Later events are dead letters, what is counted stays, nothing stops; a new beginning is a new generation."""
    owned.apply(V1 + V2.replace("churn", "other").replace("apiVersion", "---\napiVersion", 1))
    owned.start("aggregate", "monitor")
    churn, other = owned.service("churn"), owned.service("other")
    send(churn, events(0, 0, "old"))
    counted = "SELECT count() FROM predictions WHERE model = {model:String} AND verdict = 'counted'"
    owned.until("counted", lambda: owned.rows(counted, model="churn") == [(40,)])

    owned.command("delete", "model", "churn")
    send(churn, events(0, 1, "old"))
    send(other, events(0, 0, "new"))
    other.progress(from_ms(T0 + 2 * DAY))
    owned.decided("other", T0 + DAY)
    dead = "SELECT count() FROM dead_letters FINAL WHERE reason = 'unknown_model'"
    owned.until("dead", lambda: owned.rows(dead) == [(40,)])
    assert owned.rows(counted, model="churn") == [(40,)]

    assert "left out, since no spec says how to count it: default/churn" in owned.command("reconcile")
    assert "everything agrees" in owned.command("reconcile", "--source", "rows")

    # Who takes over finds rows of a model that nobody knows, and goes on.
    for role in ("aggregate", "monitor"):
        owned.kill(role)
    owned.start("aggregate", "monitor")
    assert "created (generation 1" in owned.apply(V2)
    send(churn, events(1, 0, "new"))
    churn.progress(from_ms(T0 + 3 * DAY))
    owned.decided("churn", T0 + 2 * DAY)
    assert owned.rows("SELECT generation, count() FROM predictions WHERE model = 'churn' GROUP BY 1 ORDER BY 1") == [
        (0, 40),
        (1, 40),
    ]
