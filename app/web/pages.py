"""What the pages show, read from ClickHouse's public tables and views: one function a page, one dataclass a thing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from app import status
from app.collecting import Progress, audited
from schemas.lifecycle import Incident
from schemas.partials import model_key
from schemas.windows import NEVER, from_ms
from streams.notify.words import INSTALLATION, where
from warehouse.client import Warehouse

HEADLINE = ("auc", "accuracy", "mae")
"""The metric that stands for a model's performance: the first of these that its task has."""

HIGHER_IS_BETTER = {"auc", "accuracy"}

WORDS = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "mae": "mean absolute error",
    "none": "not trained here, or not yet",
    "steady": "one version serves",
    "shadow": "a candidate runs in shadow",
    "guard": "a new version serves, the former one stands by",
}

FEATURES_SHOWN = 10
_MOST_OPEN = 1_000
MOVED_MUCH, MOVED = 0.25, 0.1
"""The usual words for a PSI; they inform, nobody is called for them."""

_PERFORMANCE_NOW = """
SELECT namespace, model, metric, argMax((value, coverage, window_start, n), window_start)
FROM metric_values INNER JOIN serving USING (namespace, model, window_start, version)
WHERE {which} AND view = 'performance' AND segment = '' AND metric IN {metrics:Array(String)} AND value IS NOT NULL
GROUP BY namespace, model, metric
"""

_ANSWERS = """
SELECT namespace, model, argMax(version, window_start) FROM serving WHERE {which} GROUP BY namespace, model
"""

_INCIDENTS = """
SELECT i.body, l.state, l.acknowledged_by, l.silenced_until
FROM incident_list AS l INNER JOIN (SELECT * FROM incidents FINAL) AS i USING (namespace, model, id)
WHERE {where} ORDER BY l.state = 'resolved', l.severity != 'critical', l.opened DESC LIMIT {limit:UInt32}
"""

_PERFORMANCE = """
SELECT window_start, metric, value, n, coverage
FROM metric_values INNER JOIN serving USING (namespace, model, window_start, version)
WHERE namespace = {namespace:String} AND model = {model:String} AND view = 'performance' AND segment = ''
    AND metric IN {metrics:Array(String)} AND window_start >= {since:DateTime64(3, 'UTC')}
ORDER BY window_start
"""

_FEATURES = """
SELECT
    name, window_start,
    anyIf(value, metric = 'psi'), anyIf(value, metric = 'null_rate'), anyIf(value, metric = 'mean')
FROM metric_values
WHERE namespace = {namespace:String} AND model = {model:String} AND view = 'feature' AND segment = ''
    AND metric IN ('psi', 'null_rate', 'mean') AND window_start >= {since:DateTime64(3, 'UTC')}
GROUP BY name, window_start ORDER BY name, window_start
"""

_STEPS = """
SELECT `at`, kind, version, JSONExtractString(body, 'stage'), JSONExtractString(body, 'outcome'),
    JSONExtractString(body, 'reason'), JSONExtractString(body, 'status'), JSONExtractString(body, 'phase')
FROM audit_log
WHERE namespace = {namespace:String} AND model = {model:String}
    AND kind IN ('request', 'candidate', 'verdict', 'rollout')
ORDER BY `at` DESC, kind DESC LIMIT 30
"""


@dataclass(frozen=True, slots=True)
class Performance:
    """A version's labelled performance in one window; ``coverage`` is the share of predictions that have a label."""

    metric: str
    value: float | None
    coverage: float | None
    window: datetime
    n: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """An incident, and what people did about it.

    Attributes:
        record: what the system says.
        state: open, updated, acknowledged or resolved.
        acknowledged_by: who; empty.
        silenced_until: None when nobody silenced it; it may be over.
    """

    record: Incident
    state: str
    acknowledged_by: str
    silenced_until: datetime | None

    @property
    def path(self) -> str:
        """Where its page is."""
        return f"/incidents/{self.record.id}"

    @property
    def of(self) -> str:
        """Whose it is: a model, or the installation."""
        return where(self.record.namespace, self.record.model)

    @property
    def model_path(self) -> str:
        """Where its model's page is; empty when it is of the whole installation."""
        return "" if self.record.model == INSTALLATION else f"/models/{self.record.namespace}/{self.record.model}"

    @property
    def headline(self) -> str:
        """What is wrong, in a line."""
        conditions = self.record.conditions
        return self.record.summary or (conditions[0].text if conditions else "an incident without a condition")


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A model in the list.

    Attributes:
        serving: the version that gave most of the newest window's answers, or that the rollout says.
        phase: of the rollout, in words.
        decided: end of the last decided window; None before the first.
        rows: counted predictions of that window.
        collecting: how far a model is whose first rows become its reference; None for the others.
        not_judged: what pages nobody for want of data in the reference, and what to do.
        claim: what the last report says of false pages; ``budget`` how many in 30 days the model may have.
    """

    namespace: str
    name: str
    serving: str
    phase: str
    decided: datetime | None
    rows: int
    performance: Performance | None
    incidents: list[Standing]
    collecting: Progress | None = None
    not_judged: Sequence[str] = ()
    claim: str = ""
    budget: float = 0.0

    @property
    def path(self) -> str:
        """Where its page is."""
        return f"/models/{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Feature:
    """How far a feature is from the reference: PSI of each window (None: too few rows), newest last."""

    name: str
    windows: list[datetime]
    psi: list[float | None]
    null_rate: float | None
    mean: float | None

    @property
    def now(self) -> float | None:
        """PSI of the newest window."""
        return self.psi[-1] if self.psi else None

    @property
    def word(self) -> str:
        """The same for a reader."""
        if self.now is None:
            return "too few rows to tell"
        return "moved much" if self.now > MOVED_MUCH else "moved" if self.now > MOVED else "as before"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that the circle did: a request, a candidate, a verdict, a change of who serves."""

    at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class ModelPage:
    """Everything about one model over the last weeks of its own event time."""

    line: ModelLine
    weeks: int
    performance: list[Performance]
    features: list[Feature]
    incidents: list[Standing]
    steps: list[Step] = field(default_factory=list)


def open_incidents(warehouse: Warehouse) -> list[Standing]:
    """All that is not resolved, the critical ones first; also what is of no model that has been counted."""
    return _incidents(warehouse, "l.state != 'resolved'", limit=_MOST_OPEN)


def fleet(warehouse: Warehouse, standings: Sequence[Standing], only: status.Name | None = None) -> list[ModelLine]:
    """Every model: those with an open incident first, then by name.

    Args:
        warehouse: asked for all but the incidents.
        standings: the open incidents.
        only: of this model alone.
    """
    performance: dict[str, dict[str, Performance]] = defaultdict(dict)
    newest = status.rows_of(warehouse, _PERFORMANCE_NOW, only, metrics=list(HEADLINE))
    for namespace, model, metric, found in newest:
        performance[model_key(namespace, model)][metric] = Performance(metric, *found)
    still_open: dict[str, list[Standing]] = defaultdict(list)
    for standing in standings:
        still_open[model_key(standing.record.namespace, standing.record.model)].append(standing)
    answers = {model_key(*row[:2]): row[2] for row in status.rows_of(warehouse, _ANSWERS, only)}
    collecting = audited(warehouse, only)
    lines = []
    for found in status.models(warehouse, only):
        key = model_key(found.namespace, found.model)
        known = performance.get(key, {})
        lines.append(
            ModelLine(
                namespace=found.namespace,
                name=found.model,
                serving=found.serving or answers.get(key, ""),
                phase=WORDS[found.phase],
                decided=None if found.reported_through == NEVER else from_ms(found.reported_through),
                rows=found.last_window.get("predictions.counted", 0),
                performance=next((known[metric] for metric in HEADLINE if metric in known), None),
                incidents=still_open.get(key, []),
                collecting=collecting.get(key),
                not_judged=found.not_judged,
                claim=found.claim,
                budget=found.pages,
            )
        )
    return sorted(lines, key=lambda line: (not line.incidents, line.namespace, line.name))


def model_page(warehouse: Warehouse, namespace: str, model: str, weeks: int) -> ModelPage | None:
    """One model; None when nobody knows it."""
    who: dict[str, Any] = {"namespace": namespace, "model": model}
    incidents = _incidents(warehouse, "l.namespace = {namespace:String} AND l.model = {model:String}", who)
    still_open = [standing for standing in incidents if standing.state != "resolved"]
    line = next(iter(fleet(warehouse, still_open, (namespace, model))), None)
    if line is None:
        return None
    since = (line.decided or from_ms(0)) - timedelta(weeks=weeks)
    rows = warehouse.rows(_PERFORMANCE, {**who, "metrics": list(HEADLINE), "since": since})
    metrics = {row[1] for row in rows}
    headline = next((metric for metric in HEADLINE if metric in metrics), None)
    return ModelPage(
        line=line,
        weeks=weeks,
        performance=[
            Performance(metric, value, coverage, window, n)
            for window, metric, value, n, coverage in rows
            if metric == headline
        ],
        features=_features(warehouse.rows(_FEATURES, {**who, "since": since})),
        incidents=incidents,
        steps=[Step(row[0], _step(*row[1:])) for row in warehouse.rows(_STEPS, who)],
    )


def incident(warehouse: Warehouse, name: str) -> Standing | None:
    """One incident by its id."""
    return next(iter(_incidents(warehouse, "l.id = {id:String}", {"id": name})), None)


def _incidents(
    warehouse: Warehouse, which: str, parameters: Mapping[str, Any] | None = None, *, limit: int = 50
) -> list[Standing]:
    rows = warehouse.rows(_INCIDENTS.replace("{where}", which), {**(parameters or {}), "limit": limit})
    return [Standing(msgspec.json.decode(body, type=Incident), *standing) for body, *standing in rows]


def _features(rows: list[tuple[Any, ...]]) -> list[Feature]:
    """Those that moved most in the newest window first."""
    by_name: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        by_name[row[0]].append(row)
    found = [
        Feature(name, [row[1] for row in windows], [row[2] for row in windows], windows[-1][3], windows[-1][4])
        for name, windows in by_name.items()
    ]
    found = [feature for feature in found if any(value is not None for value in feature.psi)]
    return sorted(found, key=lambda feature: (-(feature.now or 0.0), feature.name))[:FEATURES_SHOWN]


def _step(kind: str, version: str, *about: str) -> str:
    stage, outcome, reason, state, phase = about
    match kind:
        case "request":
            return f"asked for a training ({reason})"
        case "candidate":
            return f"version {version} was trained" if state == "ready" else f"the training of {version} failed"
        case "verdict":
            return f"version {version}: the {stage} says {outcome}"
        case _:
            return f"version {version}: {WORDS.get(phase, phase)}"
