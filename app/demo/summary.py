"""``summary.json``: what happened, counted from driftline's own tables, and whether the injector agrees.

Nothing here knows what was sent. :func:`compare` holds the summary against ``injected.json``, the injector's books:
what it does to each event is a function of its seed and the event's id, so they are made from the flights and the
public record of who answered when, whatever was killed. One difference fails the demo.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from schemas.windows import to_ms
from warehouse.client import Warehouse

COMPARED = ("events_in", "counted", "late", "duplicate", "correction", "dead_lettered")
"""What the injector must agree on; whatever else it tallies under a name of the summary is compared too."""

LOSS_CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 in the log-loss, as everywhere in driftline."""

ARMS = ("frozen", "always_promote", "loop")
"""Version 1 for ever; retrained monthly and always promoted; driftline."""

_TALLIES = "SELECT tally, sum(events) FROM tallies GROUP BY tally"

_ROWS = """
SELECT (SELECT count() FROM predictions) + (SELECT count() FROM outcomes) + (SELECT count() FROM dead_letters FINAL)
"""

_PAIRS = "SELECT sum(n) FROM partials FINAL WHERE view IN ('matured', 'overdue') AND segment = ''"

_UNMATCHED = """
SELECT count() FROM outcomes
WHERE verdict = 'counted' AND (namespace, model, prediction_id) NOT IN (
    SELECT namespace, model, prediction_id FROM raw_predictions)
"""

_UNLABELLED = "SELECT countIf(label IS NULL) FROM served"

_DECISIONS = """
SELECT
    (SELECT count() FROM reports FINAL),
    (SELECT count() FROM incidents FINAL),
    (SELECT countIf(kind = 'request') FROM audit_log),
    (SELECT countIf(kind = 'candidate' AND JSONExtractString(body, 'status') = 'ready') FROM audit_log),
    (SELECT uniqExactIf(version, kind = 'verdict' AND JSONExtractString(body, 'stage') IN ('judge', 'shadow')
        AND JSONExtractString(body, 'outcome') != 'pass') FROM audit_log)
"""

_ROLLOUTS = "SELECT namespace, model, body FROM rollouts FINAL ORDER BY namespace, model, at"

# The three arms side by side on the same flights: an answer that was served, stored and labelled.
SCORES = """
SELECT s.event_time AS event_time, toUInt8(s.label) AS label,
    s.score AS loop, b.frozen AS frozen, b.always_promote AS always_promote
FROM (SELECT * FROM served WHERE label IS NOT NULL AND score IS NOT NULL
    AND event_time >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
    AND event_time < fromUnixTimestamp64Milli({until:Int64}, 'UTC')) AS s
INNER JOIN demo_baselines AS b ON b.prediction_id = s.prediction_id
"""


def quality(arm: str) -> str:
    """SQL of AUC (ties count half) and mean log-loss of one column of scores beside ``label``."""
    p = f"least(greatest({arm}, {LOSS_CLIP}), {1 - LOSS_CLIP})"
    return (
        f"if(uniqExact(label) < 2, NULL, arrayROCAUC(groupArray({arm}), groupArray(label))) AS auc_{arm}, "
        f"if(count() = 0, NULL, -avg(if(label = 1, log({p}), log(1 - {p})))) AS logloss_{arm}"
    )


def is_change(last: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether the champion changed between two public records; the first version is installed, which is no change."""
    if not last["champion"] or not record["champion"]:
        return False
    return bool(last["champion"]["version"] != record["champion"]["version"])


def is_rollback(last: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether a change of champion went back to the former one, the shadow of a guarded roll-out."""
    return last["phase"] == "guard" and record["champion"]["version"] in [r["version"] for r in last["shadows"]]


def promotions(records: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """(promoted, rolled back) in the public records (``schemas.lifecycle.Rollout``) of one model, in order of time."""
    changed = [is_rollback(last, record) for last, record in pairwise(records) if is_change(last, record)]
    return changed.count(False), changed.count(True)


def counts(warehouse: Warehouse) -> dict[str, Any]:
    """What was counted and decided, from ClickHouse.

    Returns:
        The fields of the summary that are counts. They are of events on both source topics. ``events_in`` is rows by
        log position, independent of the tallies: ``events_in == counted + late + duplicate + correction +
        dead_lettered`` is a finding, not a definition.
    """
    tallies = {str(name): int(n) for name, n in warehouse.rows(_TALLIES)}

    def total(*names: str) -> int:
        return sum(tallies.get(name, 0) for name in names)

    windows, incidents, requests, candidates, rejected = warehouse.rows(_DECISIONS)[0]
    records: dict[str, list[dict[str, Any]]] = {}
    for namespace, model, body in warehouse.rows(_ROLLOUTS):
        records.setdefault(f"{namespace}/{model}", []).append(json.loads(body))
    changed = [promotions(history) for history in records.values()]
    return {
        "events_in": int(warehouse.rows(_ROWS)[0][0]),
        "counted": total("predictions.counted", "outcomes.counted"),
        "late": total("predictions.late"),
        "duplicate": total("predictions.duplicate", "outcomes.duplicate"),
        "correction": total("outcomes.correction"),
        "dead_lettered": total("predictions.dead", "outcomes.dead"),
        "tallies": dict(sorted(tallies.items())),
        "pairs_joined": int(warehouse.rows(_PAIRS)[0][0]),
        "outcomes_unmatched": int(warehouse.rows(_UNMATCHED)[0][0]),
        "predictions_unlabelled": int(warehouse.rows(_UNLABELLED)[0][0]),
        "windows_closed": int(windows),
        "incidents": int(incidents),
        "retrainings": int(requests),
        "candidates": int(candidates),
        "promoted": sum(promoted for promoted, _ in changed),
        "rejected": int(rejected),
        "rolled_back": sum(rolled_back for _, rolled_back in changed),
    }


def summarise(
    warehouse: Warehouse, *, since: datetime, until: datetime, wall_seconds: float, broker: str
) -> dict[str, Any]:
    """Everything worth a number at the end of the demo, from ClickHouse.

    Args:
        warehouse: the demo's database, with its table ``demo_baselines`` (see :mod:`app.demo.baselines`).
        since: first event time of the comparison of the three arms.
        until: first event time after it.
        wall_seconds: how long the demo took.
        broker: what Kafka it ran on, in words.

    Returns:
        :func:`counts`, and how the three arms did. An AUC is None when there are no labelled flights of both kinds.
    """
    compared = warehouse.rows(
        f"SELECT count(), {', '.join(quality(arm) for arm in ARMS)} FROM ({SCORES})",  # noqa: S608
        {"since": to_ms(since), "until": to_ms(until)},
    )[0]
    names = ["flights_compared", *(f"{metric}_{arm}" for arm in ARMS for metric in ("auc", "logloss"))]
    return {
        **counts(warehouse),
        **dict(zip(names, compared, strict=True)),
        "wall_seconds": round(wall_seconds, 1),
        "broker": broker,
        "clickhouse_version": str(warehouse.command("SELECT version()")),
    }


def compare(summary: Mapping[str, Any], injected: Mapping[str, Any]) -> list[str]:
    """Where driftline and the injector disagree, one line each; an empty list is agreement to the event.

    ``injected`` has at least :data:`COMPARED`, may have ``tallies`` (name of a tally -> events) and any other number
    of the summary.
    """
    differences = [
        f"injected.json has no field {name!r}; it must have {', '.join(COMPARED)}"
        for name in COMPARED
        if name not in injected
    ]
    expected = {name: value for name, value in injected.items() if name != "tallies" and name in summary}
    found = {name: summary[name] for name in expected}
    expected |= {f"tallies.{name}": value for name, value in injected.get("tallies", {}).items()}
    found |= {f"tallies.{name}": summary["tallies"].get(name, 0) for name in injected.get("tallies", {})}
    differences += [
        f"{name}: the injector sent {value:,}, driftline found {found[name]:,} ({found[name] - value:+,})"
        for name, value in expected.items()
        if found[name] != value
    ]
    accounted = sum(summary[name] for name in COMPARED[1:])
    if summary["events_in"] != accounted:
        differences.append(
            f"in = counted + late + duplicate + correction + dead does not hold: {summary['events_in']:,} rows by log "
            f"position, {accounted:,} in the tallies"
        )
    return differences


def write_summary(summary: Mapping[str, Any], path: Path) -> None:
    """Write ``summary.json``, readable by people."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
