"""The life of an incident: one per model while open, which gathers all that is wrong until it has been quiet."""

from msgspec.structs import replace

from schemas.ids import content_id
from schemas.lifecycle import Condition, Incident, Severity
from streams.monitor.conditions import Findings

QUIET_TICKS = 2
"""Ticks in a row without a condition that resolve an incident."""


def update(
    incident: Incident | None, quiet: int, found: Findings, *, namespace: str, model: str, team: str, at: int
) -> tuple[Incident | None, int]:
    """The incident after a tick, and how many ticks it has been quiet for; its words are somebody else's.

    ``changed`` becomes ``at`` when people are to be told: it opened, resolved, became more severe or met a condition
    that is new to it.
    """
    if found.active:
        known = {condition.key: condition for condition in incident.conditions} if incident else {}
        conditions = known | {c.key: _since(c, known.get(c.key)) for c in found.active}
        ordered = [conditions[key] for key in sorted(conditions)]
        severity = worst(*(condition.severity for condition in ordered), *([incident.severity] if incident else []))
        if incident is None:
            name = content_id("incident", namespace, model, at)
            return Incident(name, namespace, model, at, at, "open", ordered, severity, team, changed=at), 0
        news = severity != incident.severity or conditions.keys() != known.keys()
        changed = at if news else incident.changed
        return replace(incident, updated=at, conditions=ordered, severity=severity, team=team, changed=changed), 0
    if incident is None or any(condition.key in found.unknown for condition in incident.conditions):
        return incident, quiet
    if quiet + 1 < QUIET_TICKS:
        return incident, quiet + 1
    return replace(incident, updated=at, state="resolved", changed=at), 0


def worst(*severities: Severity) -> Severity:
    """``critical`` if one of them is."""
    return "critical" if "critical" in severities else "warning"


def _since(condition: Condition, before: Condition | None) -> Condition:
    """A condition that holds, as old as it is; where it is worst is kept when it cannot be told anew."""
    since = min(condition.since, before.since) if before else condition.since
    where = condition.where or (before.where if before else "")
    return replace(condition, since=since, where=where)
