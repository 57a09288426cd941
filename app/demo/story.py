"""What the report tells, read from ClickHouse once: months, drift and the time line. No drawing here."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.demo.summary import ARMS, SCORES, is_change, is_rollback, quality
from detectors.distances import jensen_shannon
from schemas.models import ModelRecord
from schemas.partials import ALL
from schemas.windows import from_ms, to_ms
from warehouse.client import Warehouse

DAY_BEGINS_UTC = 5
"""Hour (UTC) at which a day of the demo begins: midnight in New York, winter time."""


@dataclass(frozen=True, slots=True)
class Month:
    """Quality of the three arms on the same labelled flights of one month; None where it has only one class."""

    start: date
    flights: int
    auc: dict[str, float | None]
    logloss: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Drift:
    """Jensen-Shannon distance in [0, 1] from the reference: ``values[feature, week]``, NaN where there were no rows.

    A week's rows are pooled: day by day, what differs between the days of *any* week (the weekday, the weather) would
    hide what has changed.
    """

    features: list[str]
    weeks: list[date]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted: a version serving or shadowing, an incident."""

    label: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at an instant of event time. ``sign`` is the outcome, e.g. ``pass`` or ``schedule``."""

    kind: str
    label: str
    at: datetime
    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class Story:
    """All that the report shows. A candidate is *shadowing*, a former champion *guarding*: both answer unseen."""

    until: datetime
    summary: Mapping[str, Any]
    months: list[Month]
    drift: Drift
    serving: list[Span]
    shadowing: list[Span]
    guarding: list[Span]
    incidents: list[Span]
    marks: list[Mark]


DAYS_OF_A_WEEK = 7

_MONTHS = """
SELECT toStartOfMonth(event_time - INTERVAL {begins:UInt8} HOUR) AS month, count(), {columns}
FROM ({scores}) GROUP BY month ORDER BY month
"""

_WEEKS = """
SELECT generation, name, toMonday(window_start - INTERVAL {begins:UInt8} HOUR) AS week,
    sumForEach(counts), uniqExact(window_start)
FROM partials FINAL
WHERE namespace = {namespace:String} AND model = {model:String} AND view = 'feature' AND segment = ''
GROUP BY generation, name, week ORDER BY name, week, generation
"""

_ROLLOUTS = """
SELECT toUnixTimestamp64Milli(at), body FROM rollouts FINAL
WHERE namespace = {namespace:String} AND model = {model:String} ORDER BY at
"""

_INCIDENTS = """
SELECT toUnixTimestamp64Milli(opened), toUnixTimestamp64Milli(updated), state, body FROM incidents FINAL
WHERE namespace = {namespace:String} AND model = {model:String} ORDER BY opened
"""

_AUDIT = """
SELECT kind, id, version, toUnixTimestamp64Milli(at), body FROM audit_log
WHERE namespace = {namespace:String} AND model = {model:String} AND kind IN ('request', 'candidate', 'verdict')
ORDER BY at, kind, id
"""


def months(warehouse: Warehouse, since: datetime, until: datetime) -> list[Month]:
    """AUC and log-loss of each arm by month of departure, on the same flights."""
    sql = _MONTHS.replace("{columns}", ", ".join(quality(arm) for arm in ARMS)).replace("{scores}", SCORES)
    rows = warehouse.rows(sql, {"since": to_ms(since), "until": to_ms(until), "begins": DAY_BEGINS_UTC})
    return [
        Month(
            date.fromisoformat(str(month)[:10]),
            int(flights),
            {arm: values[2 * i] for i, arm in enumerate(ARMS)},
            {arm: values[2 * i + 1] for i, arm in enumerate(ARMS)},
        )
        for month, flights, *values in rows
    ]


def drift(warehouse: Warehouse, namespace: str, model: str, records: Iterable[ModelRecord]) -> Drift:
    """Distance of every feature by week from the reference of its generation, the furthest feature first."""
    profiles = {
        (record.generation, profile.name): profile.counts
        for record in records
        if record.reference is not None and (record.namespace, record.model) == (namespace, model)
        for profile in record.reference.features[ALL]
    }
    found: dict[tuple[str, date], list[tuple[int, float]]] = {}
    days: Counter[date] = Counter()
    scope = {"namespace": namespace, "model": model, "begins": DAY_BEGINS_UTC}
    for generation, name, monday, counts, windows in warehouse.rows(_WEEKS, scope):
        reference, week = profiles.get((generation, name)), date.fromisoformat(str(monday)[:10])
        if reference is not None and sum(counts) and sum(reference):
            found.setdefault((name, week), []).append((sum(counts), jensen_shannon(reference, counts)))
            days[week] = max(days[week], windows)
    # Three days of a week differ from a month by their weekdays alone; they count only when there is nothing else.
    whole = {week for week, windows in days.items() if windows >= DAYS_OF_A_WEEK} or set(days)
    found = {(name, week): parts for (name, week), parts in found.items() if week in whole}
    names, weeks = sorted({name for name, _ in found}), sorted({week for _, week in found})
    values = np.full((len(names), len(weeks)), np.nan)
    for (name, week), parts in found.items():
        # A week in which the generation changed has two distances, each of its own rows.
        values[names.index(name), weeks.index(week)] = np.average([d for _, d in parts], weights=[n for n, _ in parts])
    order = np.argsort(-np.nanmean(values, axis=1), kind="stable") if names else np.array([], np.int64)
    return Drift([names[i] for i in order], weeks, values[order])


def spans(records: list[tuple[datetime, list[str]]]) -> list[Span]:
    """Unbroken stretches of each version: a record holds from its instant until the next record's."""
    found: list[Span] = []
    open_: dict[str, datetime] = {}
    for at, versions in [*records, (records[-1][0], [])] if records else []:
        found += [Span(v, open_.pop(v), at) for v in list(open_) if v not in versions]
        for version in versions:
            open_.setdefault(version, at)
    return sorted(found, key=lambda span: (span.start, span.label))


def changes(records: list[tuple[datetime, Mapping[str, Any]]]) -> list[Mark]:
    """Promotions and roll-backs, each where the champion changed."""
    marks = []
    for (_, last), (at, record) in pairwise(records):
        if is_change(last, record):
            version = record["champion"]["version"]
            back = is_rollback(last, record)
            sign, text = ("rollback", f"back to version {version}") if back else ("promotion", f"version {version}")
            marks.append(Mark("rollout", version, at, sign, text))
    return marks


def tell(
    warehouse: Warehouse,
    namespace: str,
    model: str,
    summary: Mapping[str, Any],
    *,
    records: Iterable[ModelRecord],
    since: datetime,
    until: datetime,
) -> Story:
    """Read all that the report shows about one model; ``records`` are its generations, for their references."""
    scope = {"namespace": namespace, "model": model}
    rollouts = [(from_ms(int(at)), json.loads(body)) for at, body in warehouse.rows(_ROLLOUTS, scope)]
    served = [(at, [r["champion"]["version"]] if r["champion"] else []) for at, r in rollouts]

    def beside(phase: str) -> list[Span]:
        return spans([(at, [r["version"] for r in x["shadows"]] if x["phase"] == phase else []) for at, x in rollouts])

    incidents = [
        Span(_conditions(json.loads(body)), from_ms(int(opened)), until if state == "open" else from_ms(int(updated)))
        for opened, updated, state, body in warehouse.rows(_INCIDENTS, scope)
    ]
    audit = [
        (kind, name, version, int(at), json.loads(body))
        for kind, name, version, at, body in warehouse.rows(_AUDIT, scope)
    ]
    # A candidate's row has the time of its evidence; it exists when its request is due.
    due = {name: body["due"] for kind, name, _, _, body in audit if kind == "request"}
    marks = [_mark(kind, version, due.get(body.get("request_id"), at), body) for kind, _, version, at, body in audit]
    return Story(
        until,
        summary,
        months(warehouse, since, until),
        drift(warehouse, namespace, model, records),
        spans(served),
        beside("shadow"),
        beside("guard"),
        incidents,
        [*marks, *changes(rollouts)],
    )


def _conditions(incident: Mapping[str, Any]) -> str:
    return "; ".join(condition["text"] for condition in incident["conditions"])


def _mark(kind: str, version: str, at: int, body: Mapping[str, Any]) -> Mark:
    sign, text = {
        "request": (body.get("reason", ""), body.get("evidence", "")),
        "candidate": (body.get("status", ""), body.get("error", "")),
        "verdict": (body.get("outcome", ""), f"{body.get('stage', '')}: {body.get('text', '')}"),
    }[kind]
    label = str(body["ordinal"]) if kind == "request" else version
    return Mark(kind, label, from_ms(at), sign, text)
