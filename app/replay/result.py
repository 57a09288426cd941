"""What a replay came to, read back from ClickHouse: counts, incidents, performance by window, what moved most."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from app.replay.plan import Plan
from schemas.models import FeatureReference
from schemas.partials import ALL
from schemas.tasks import Loss
from schemas.windows import iso, to_ms
from warehouse.client import Warehouse

MOVED = 10
"""So many features are named as those that moved most."""

LOSSES: dict[Loss, str] = {"log_loss": "log-loss", "error_rate": "share of wrong answers", "mae": "mean absolute error"}

CHANCE = 0.01
"""Chance that any feature is named although none has moved."""

_TALLIES = """
SELECT tally, sum(events) FROM tallies WHERE namespace = {namespace:String} AND model = {model:String} GROUP BY tally
"""

# A letter knows its key, whatever is wrong with its body.
_DEAD = """
SELECT reason, count(), argMin(detail, (topic, `partition`, `offset`, `row`)) FROM dead_letters FINAL
WHERE startsWith(base64Decode(ifNull(key, '')), {key:String}) GROUP BY reason ORDER BY reason
"""

_INCIDENTS = """
SELECT body FROM incidents FINAL WHERE namespace = {namespace:String} AND model = {model:String} ORDER BY opened, id
"""

_REPORTS = """
SELECT body FROM reports FINAL WHERE namespace = {namespace:String} AND model = {model:String} ORDER BY `at`
"""

_SHOWN = ("psi", "jensenshannon", "chisquare_p_value", "mean", "null_rate")

_METRICS = """
SELECT view, name, metric, version, window_start, value, n, coverage FROM metric_values
WHERE namespace = {namespace:String} AND model = {model:String} AND segment = '' AND value IS NOT NULL
    AND (view = 'performance' OR view = 'tested' AND metric = {loss:String}
        OR view = 'feature' AND metric IN {shown:Array(String)})
ORDER BY view, name, metric, version, window_start
"""


@dataclass(frozen=True, slots=True)
class Dead:
    """Events that could not be used, for one reason; ``example`` is what was said of the first."""

    reason: str
    events: int
    example: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Where every event that was sent has gone."""

    sent: int
    counted: int
    late: int
    duplicate: int
    correction: int
    dead: int

    @property
    def adds_up(self) -> bool:
        """Whether in = counted + late + duplicate + correction + dead."""
        return self.sent == self.counted + self.late + self.duplicate + self.correction + self.dead


@dataclass(frozen=True, slots=True)
class Moved:
    """A feature and the window in which it was furthest from the reference.

    Attributes:
        psi: population stability index of that window, >= 0.
        usual: mean of a number in the reference, null rate of the other kinds; ``value`` the same in the window.
        measure: ``mean`` or ``null_rate``.
    """

    feature: str
    window_start: int
    psi: float
    measure: str
    usual: float | None
    value: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """All of it. Times are ms of event time.

    Attributes:
        incidents: records of ``schemas.lifecycle.Incident`` as they stand at the end, oldest first.
        windows: reports of every window that was decided, in order.
        performance: (window start, version) -> numbers with every label that came.
        losses: version -> (window start, labelled loss of the task) of every window that was tested, in order.
        distances: feature -> window start -> Jensen-Shannon distance from the reference, in [0, 1].
    """

    plan: Plan
    counts: Counts
    dead: list[Dead]
    incidents: list[dict[str, Any]]
    windows: list[dict[str, Any]]
    performance: dict[tuple[int, str], dict[str, float]]
    losses: dict[str, list[tuple[int, float]]]
    distances: dict[str, dict[int, float]]
    moved: list[Moved]

    @property
    def loss_name(self) -> str:
        """What the labelled loss of the task is called."""
        return LOSSES[self.plan.reference.loss]

    @property
    def judged(self) -> list[dict[str, Any]]:
        """Windows that had a reference and predictions."""
        return [w for w in self.windows if w["window_start"] >= self.plan.judged_from and w["counted"]]


def read(warehouse: Warehouse, plan: Plan, sent: int) -> Result:
    """Read what the processors have recorded of a replay that is decided to its end.

    Args:
        warehouse: where.
        plan: of the replay.
        sent: predictions and outcomes that were sent.
    """
    who = {"namespace": plan.namespace, "model": plan.model}
    tallies = {str(name): int(events) for name, events in warehouse.rows(_TALLIES, who)}
    dead = [Dead(*row) for row in warehouse.rows(_DEAD, {"key": f"{plan.namespace}/{plan.model}/"})]

    def tally(verdict: str) -> int:
        return sum(tallies.get(f"{topic}.{verdict}", 0) for topic in ("predictions", "outcomes"))

    features: dict[str, dict[str, dict[int, float]]] = {}
    performance: dict[tuple[int, str], dict[str, float]] = {}
    losses: dict[str, list[tuple[int, float]]] = {}
    for view, name, metric, version, window, value, n, coverage in warehouse.rows(
        _METRICS, who | {"shown": list(_SHOWN), "loss": plan.reference.loss}
    ):
        start = to_ms(window)
        if view == "performance":
            numbers = performance.setdefault((start, version), {"n": n, "coverage": coverage})
            numbers[metric] = value
        elif view == "tested":
            losses.setdefault(version, []).append((start, value))
        elif start >= plan.judged_from:
            features.setdefault(name, {}).setdefault(metric, {})[start] = value
    whole = {feature.name: feature for feature in plan.reference.features[ALL]}
    # What one window in so many would show by chance is no news.
    surprising = CHANCE / max(1, sum(len(metrics.get("psi", ())) for metrics in features.values()))
    moved = [_moved(whole[name], metrics, surprising) for name, metrics in features.items() if name in whole]
    return Result(
        plan=plan,
        counts=Counts(
            sent=sent,
            counted=tally("counted"),
            late=tally("late"),
            duplicate=tally("duplicate"),
            correction=tally("correction"),
            dead=sum(letters.events for letters in dead),
        ),
        dead=dead,
        incidents=[json.loads(body) for (body,) in warehouse.rows(_INCIDENTS, who)],
        windows=[json.loads(body) for (body,) in warehouse.rows(_REPORTS, who)],
        performance=performance,
        losses=losses,
        distances={name: metrics.get("jensenshannon", {}) for name, metrics in features.items()},
        moved=sorted((found for found in moved if found), key=lambda found: (-found.psi, found.feature))[:MOVED],
    )


def _moved(reference: FeatureReference, metrics: dict[str, dict[int, float]], surprising: float) -> Moved | None:
    """Where a feature was furthest, among windows that chance does not explain; None when there is none."""
    psi, p_value = metrics.get("psi", {}), metrics.get("chisquare_p_value", {})
    windows = [start for start in psi if p_value.get(start, 1.0) < surprising]
    if not windows:
        return None
    window = max(windows, key=lambda start: (psi[start], -start))
    measure = "mean" if reference.kind == "number" else "null_rate"
    usual = reference.mean if reference.kind == "number" else reference.nulls / max(reference.n, 1)
    return Moved(reference.name, window, psi[window], measure, usual, metrics.get(measure, {}).get(window))


def as_json(result: Result, table: str) -> dict[str, Any]:
    """Everything for a machine; equal replays give equal values."""
    plan, judged = result.plan, result.judged
    return {
        "model": f"{plan.namespace}/{plan.model}",
        "table": table,
        "paged": any(incident["severity"] == "critical" for incident in result.incidents),
        "incidents": [
            incident | {"opened_at": iso(incident["opened"]), "updated_at": iso(incident["updated"])}
            for incident in result.incidents
        ],
        "events": asdict(result.counts) | {"adds_up": result.counts.adds_up},
        "dead_letters": [asdict(dead) for dead in result.dead],
        "reference": {
            "from": plan.reference_from,
            "start": iso(plan.reference.start),
            "end": iso(plan.reference.end),
            "rows": plan.reference.rows,
        },
        "windows": {
            "decided": len(result.windows),
            "judged": len(judged),
            "width": plan.spec.model_dump(mode="json")["windows"]["width"],
            "first_judged": iso(judged[0]["window_start"]) if judged else None,
            "last_judged": iso(judged[-1]["window_start"]) if judged else None,
        },
        "performance": [
            {"window_start": iso(start), "version": version, **numbers}
            for (start, version), numbers in sorted(result.performance.items())
        ],
        "tested": [
            tested | {"window_start": iso(tested["window_start"])}
            for report in result.windows
            for tested in report["tested"]
        ],
        "moved": [asdict(moved) | {"window_start": iso(moved.window_start)} for moved in result.moved],
    }
