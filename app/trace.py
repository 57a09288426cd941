"""``driftline trace PREDICTION_ID``: from one answer back to why the version that gave it exists.

Every audit row names its cause. From a prediction's version the walk goes up (candidate, snapshot, request,
incident) and down (verdicts, rollout steps), along ``cause_id`` only.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

from schemas.windows import iso
from warehouse.client import Warehouse


class UnknownPrediction(LookupError):
    """No prediction with this id is stored."""


@dataclass(frozen=True, slots=True)
class Node:
    """One thing in the chain: what it is, when (event time), a line about it, and what belongs to it."""

    kind: str
    id: str
    at: str
    text: str
    body: dict[str, Any] = field(default_factory=dict)
    children: list["Node"] = field(default_factory=list)


_PREDICTIONS = """
SELECT namespace, model, version, role, verdict, toUnixTimestamp64Milli(event_time), score, partition, offset, row,
    features
FROM predictions WHERE prediction_id = {id:String} ORDER BY namespace, model, role, version, partition, offset, row
"""

_OUTCOMES = """
SELECT label, verdict, toUnixTimestamp64Milli(event_time), partition, offset, row
FROM outcomes WHERE prediction_id = {id:String} AND namespace = {namespace:String} AND model = {model:String}
ORDER BY partition, offset, row
"""

_AUDIT = """
SELECT kind, id, cause_id, version, toUnixTimestamp64Milli(at), body FROM audit_log
WHERE namespace = {namespace:String} AND model = {model:String} ORDER BY at, kind, id
"""

_DEAD = """
SELECT topic, partition, offset, row, reason FROM dead_letters FINAL
WHERE position(tryBase64Decode(original), {id:String}) > 0 ORDER BY topic, partition, offset, row LIMIT 3
"""


@dataclass(frozen=True, slots=True)
class _Row:
    """One audit row."""

    kind: str
    id: str
    cause_id: str
    version: str
    at: int
    body: dict[str, Any]


def _describe(row: _Row) -> str:
    """One line about an audit row, from the fields that its kind has."""
    body = row.body
    match row.kind:
        case "incident":
            text = "; ".join(
                str(condition.get("text", ""))
                + (f", since {iso(condition['since'])}" if condition.get("since") is not None else "")
                for condition in body.get("conditions", [])
            )
        case "request":
            text = f"{body.get('reason', '?')}: {body.get('evidence', '')}"
        case "candidate" if body.get("status") == "error":
            text = f"error: {body.get('error', '')}"
        case "candidate":
            metrics = ", ".join(f"{name} {value:.4f}" for name, value in sorted(body.get("metrics", {}).items()))
            rows = f"{body.get('rows', 0):,} rows, {body.get('holdout_rows', 0):,} held out"
            text = f"version {row.version}, {rows}: {metrics}"
        case "snapshot":
            rows = f"{body.get('rows', 0):,} rows, {body.get('holdout_rows', 0):,} held out"
            text = f"{rows}, at {body.get('address', '?')} in the store"
        case "verdict":
            text = f"{body.get('stage', '?')} {body.get('outcome', '?')}: {body.get('text', '')}"
        case "rollout" if body.get("champion"):
            text = (
                f"{body.get('step', '')}: version {body['champion']['version']} serves, phase {body.get('phase', '')}"
            )
        case "generation":
            reference = body.get("reference")
            rows = f"a reference of {reference['rows']:,} rows" if reference else "no reference"
            text = f"generation {body.get('generation', '?')}, windows from {iso(row.at)} on, {rows}"
        case _:
            text = ", ".join(f"{k} {v}" for k, v in sorted(body.items()) if isinstance(v, str | int | float))
    return text


def _node(row: _Row, children: list[Node]) -> Node:
    return Node(row.kind, row.id, iso(row.at), _describe(row), row.body, children)


class Chain:
    """The audit log of one model as a graph of causes."""

    def __init__(self, rows: list[_Row]) -> None:
        self.rows = {row.id: row for row in rows}
        self.effects: dict[str, list[_Row]] = {}
        for row in rows:
            self.effects.setdefault(row.cause_id, []).append(row)

    def candidate(self, version: str) -> _Row | None:
        """The candidate that became ``version``."""
        return next((r for r in self.rows.values() if r.kind == "candidate" and r.version == version), None)

    def up(self, cause_id: str) -> list[Node]:
        """The causes of a row, nearest first, each the child of its effect; data hangs beside its request."""
        row = self.rows.get(cause_id)
        if row is None:
            # What is not an incident is the passing of time (``schedule-...``), or a loss that called nobody.
            loss = cause_id.startswith("performance-")
            why = "no incident: the labelled loss left its band" if loss else "no record: the passing of time"
            return [Node("cause", cause_id, "", why)] if cause_id else []
        data = [_node(r, []) for r in self.effects.get(row.id, []) if r.kind == "snapshot"]
        return [_node(row, data + self.up(row.cause_id))]

    def down(self, row: _Row) -> list[Node]:
        """Verdicts on a row and the rollout steps that they led to."""
        return [_node(r, self.down(r)) for r in self.effects.get(row.id, []) if r.kind in ("verdict", "rollout")]


def _version(chain: Chain, version: str) -> Node:
    candidate = chain.candidate(version)
    if candidate is None:
        return Node("version", version, "", "no candidate of this version is in the audit log: it was made elsewhere")
    return Node(
        "version",
        version,
        iso(candidate.at),
        f"probe {candidate.body.get('probe', '')}",
        {},
        [_node(candidate, [*chain.up(candidate.cause_id), *chain.down(candidate)])],
    )


def trace(warehouse: Warehouse, prediction_id: str) -> list[Node]:
    """All stored answers to one request, each with its label, version and the chain of causes behind it.

    Returns:
        One tree per stored row: the same id may have been answered by a champion and a shadow, and sent twice.

    Raises:
        UnknownPrediction: when no row has this id; the message says where else to look.
    """
    found = warehouse.rows(_PREDICTIONS, {"id": prediction_id})
    if not found:
        raise UnknownPrediction(_where_else(warehouse, prediction_id))
    chains: dict[tuple[str, str], tuple[Chain, list[Node]]] = {}
    roots = []
    for namespace, model, version, role, verdict, at, score, *place, features in found:
        key = (namespace, model)
        scope = {"namespace": namespace, "model": model}
        if key not in chains:
            audit = [
                _Row(kind, name, cause, version, int(at), json.loads(body))
                for kind, name, cause, version, at, body in warehouse.rows(_AUDIT, scope)
            ]
            labels = [
                Node("outcome", _place(*at), iso(when), f"label {label}, {state}")
                for label, state, when, *at in warehouse.rows(_OUTCOMES, {"id": prediction_id, **scope})
            ]
            chains[key] = Chain(audit), labels or [Node("outcome", "", "", "none: no label has arrived")]
        chain, outcomes = chains[key]
        shown = "no score" if score is None else f"score {score:.4f}"
        text = f"{namespace}/{model}, {role} version {version}, {shown}, {verdict}, predictions/{_place(*place)}"
        body = {"namespace": namespace, "model": model, "role": role, "score": score, "features": json.loads(features)}
        roots.append(Node("prediction", prediction_id, iso(at), text, body, [*outcomes, _version(chain, version)]))
    return roots


def _place(partition: int, offset: int, row: int) -> str:
    """Where an event is; the row is said where a message holds many."""
    return f"{partition}/{offset}/{row}" if row else f"{partition}/{offset}"


def _where_else(warehouse: Warehouse, prediction_id: str) -> str:
    lines = [f"no prediction with id {prediction_id!r} is stored."]
    dead = warehouse.rows(_DEAD, {"id": prediction_id})
    lines += [f"A dead letter holds this id: {topic}/{_place(*at)}, {reason}." for topic, *at, reason in dead]
    if not dead:
        known = warehouse.rows("SELECT prediction_id FROM raw_predictions ORDER BY prediction_id LIMIT 1")
        if known:
            lines.append(f"Ids look like {known[0][0]!r}; the view `predictions` has them all (`driftline sql`).")
        else:
            lines.append("No prediction is stored at all: is this the database that the service's events go to?")
    return " ".join(lines)


_STYLE = {
    "prediction": "bold",
    "incident": "red",
    "request": "yellow",
    "candidate": "cyan",
    "version": "bold cyan",
    "verdict": "magenta",
    "rollout": "green",
}


def _branch(node: Node, parent: Tree | None) -> Tree:
    style = _STYLE.get(node.kind, "default")
    label = f"[{style}]{node.kind}[/] {escape(node.id)}  [dim]{node.at}[/]\n{escape(node.text)}"
    branch = Tree(label) if parent is None else parent.add(label)
    for child in node.children:
        _branch(child, branch)
    return branch


def command(warehouse: Warehouse, prediction_id: str, *, as_json: bool = False) -> int:
    """Print the chain behind a prediction; exit code 0, or 1 when nobody knows the id."""
    console = Console(highlight=False, markup=True, emoji=False)
    try:
        roots = trace(warehouse, prediction_id)
    except UnknownPrediction as error:
        Console(stderr=True, highlight=False).print(str(error), markup=False)
        return 1
    if as_json:
        print(json.dumps([asdict(root) for root in roots], indent=2))
    else:
        for root in roots:
            console.print(_branch(root, None))
    return 0
