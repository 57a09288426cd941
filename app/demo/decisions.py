"""``decisions.jsonl``: everything that driftline decided, one line each, the same bytes for the same decisions.

What may differ between two runs that decide alike is left out: wall times (there are none in the records), the
bytes of a model file (skops stamps them, so ``probe`` speaks for the model), and log offsets (a process that was
killed may send an event twice). Real numbers are rounded, because their last digits depend on the machine. An answer
that is due after the last decision is none yet, however fast the trainer was.
"""

import json
from pathlib import Path
from typing import Any

from schemas.ids import canonical_json
from schemas.windows import iso
from warehouse.client import Warehouse

KINDS = ("incident", "request", "candidate", "verdict", "rollout")
"""Kinds of decisions, in the order in which they cause each other at one instant."""

DIGITS = 9
"""Significant digits of a real number in ``decisions.jsonl``."""

_PER_RUN = frozenset({"artifact", "manifest", "as_of"})

_SQL = """
SELECT kind, id, cause_id, version, toUnixTimestamp64Milli(at), body FROM audit_log
WHERE namespace = {namespace:String} AND model = {model:String} AND kind IN {kinds:Array(String)} AND kind != 'incident'
UNION ALL
SELECT 'incident', id, '', '', toUnixTimestamp64Milli(opened), body FROM incidents FINAL
WHERE namespace = {namespace:String} AND model = {model:String}
"""

_THROUGH = """
SELECT toUnixTimestamp64Milli(max(at)) FROM rollouts WHERE namespace = {namespace:String} AND model = {model:String}
"""


def stable(value: Any) -> Any:
    """``value`` without what may differ between equal runs, numbers rounded to :data:`DIGITS` significant digits."""
    if isinstance(value, dict):
        return {key: stable(item) for key, item in value.items() if key not in _PER_RUN}
    if isinstance(value, list):
        return [stable(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    return value


def decisions(warehouse: Warehouse, namespace: str, model: str) -> list[dict[str, Any]]:
    """All decisions about a model as JSON-able records, in one total order: event time, kind, id."""
    rows = warehouse.rows(_SQL, {"namespace": namespace, "model": model, "kinds": list(KINDS)})
    through = warehouse.rows(_THROUGH, {"namespace": namespace, "model": model})[0][0]
    due = {name: json.loads(body)["due"] for kind, name, *_, body in rows if kind == "request"}
    found = [row for row in rows if row[0] != "candidate" or due[row[2]] <= through]
    ordered = sorted(found, key=lambda row: (row[4], KINDS.index(row[0]), row[1]))
    return [
        {
            "at": iso(at),
            "kind": kind,
            "id": name,
            "cause_id": cause_id,
            "version": version,
            "body": stable(json.loads(body)),
        }
        for kind, name, cause_id, version, at, body in ordered
    ]


def write_decisions(warehouse: Warehouse, namespace: str, model: str, path: Path) -> int:
    """Write ``decisions.jsonl`` and return how many decisions there are."""
    records = decisions(warehouse, namespace, model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(canonical_json(record) + b"\n" for record in records))
    return len(records)
