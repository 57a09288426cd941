"""What happened to each incident, as the ``alerts`` topic tells it: opened, updated, resolved. Pure.

The topic is read from its beginning by whoever is assigned it, so what is known is a function of the log: it needs no
table, and works while ClickHouse is away.
"""

from dataclasses import dataclass
from typing import Literal

from schemas.ids import content_id
from schemas.lifecycle import Incident, Severity

Event = Literal["opened", "updated", "acknowledged", "resolved"]

_ALERT_NAMES = {
    "dead_man": "ModelSilent",
    "labelled_loss": "ModelPerformance",
    "estimate": "ModelPerformanceEstimate",
    "latency": "ModelLatency",
    "quality": "ModelDataQuality",
    "rule": "ModelOwnRule",
    "score": "ModelScoreDrift",
    "drift": "ModelInputDrift",
}
"""Kind of a condition -> ``alertname``, the most telling first; a dead-man rule has a name of its own."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that people are told.

    Attributes:
        offset: of the record on ``alerts`` that made it so.
        incident: as it is since then.
        alertname: what the incident is called as long as it lasts, after what opened it.
        severities: all that it has had, so that whoever was called hears of the end.
        was: the severity before, if it is another now.
        note: said beside the incident's own words, e.g. by whom it was acknowledged.
    """

    offset: int
    event: Event
    incident: Incident
    alertname: str
    severities: frozenset[Severity]
    was: Severity | None = None
    note: str = ""

    def key(self, channel: str) -> str:
        """Names one ring for good: whoever repeats it sends the same ``Idempotency-Key``."""
        revision = (self.incident.changed or self.incident.updated) if self.event == "updated" else 0
        return content_id("delivery", self.incident.id, self.event, revision, channel)


@dataclass(slots=True)
class _Life:
    incident: Incident
    alertname: str
    severities: frozenset[Severity]
    offset: int


class Book:
    """Every open incident, and the ids of those that are over."""

    def __init__(self) -> None:
        self._open: dict[str, _Life] = {}
        self._over: set[str] = set()

    def learn(self, offset: int, incident: Incident) -> Change | None:
        """Read the next record.

        Returns:
            What people are told of it; None for a record that repeats, or that only refreshes values.
        """
        life = self._open.get(incident.id)
        if incident.id in self._over or (life is not None and incident.updated < life.incident.updated):
            return None
        if life is None:
            if incident.state == "resolved":
                self._over.add(incident.id)
                return None
            life = _Life(incident, alert_name(incident), frozenset({incident.severity}), offset)
            self._open[incident.id] = life
            return self._change(life, "opened")
        before = life.incident
        known = {condition.key for condition in before.conditions}
        life.incident, life.offset = incident, offset
        life.severities |= {incident.severity}
        if incident.state == "resolved":
            del self._open[incident.id]
            self._over.add(incident.id)
            return self._change(life, "resolved")
        was = before.severity if before.severity != incident.severity else None
        if was is None and all(condition.key in known for condition in incident.conditions):
            return None
        return self._change(life, "updated", was)

    def open(self) -> list[Change]:
        """Every open incident as it is now, oldest record first; ``opened``, whatever happened since."""
        return sorted((self._change(life, "opened") for life in self._open.values()), key=lambda change: change.offset)

    def find(self, incident_id: str) -> Change | None:
        """An open incident."""
        life = self._open.get(incident_id)
        return self._change(life, "opened") if life else None

    def is_over(self, incident_id: str) -> bool:
        """Whether an incident was resolved: nobody hears of it again."""
        return incident_id in self._over

    @staticmethod
    def _change(life: _Life, event: Event, was: Severity | None = None) -> Change:
        return Change(life.offset, event, life.incident, life.alertname, life.severities, was)


def alert_name(incident: Incident) -> str:
    """``alertname`` of an incident, in CamelCase, after the most telling of the conditions that it was opened with."""
    found = {condition.kind: condition for condition in incident.conditions}
    for kind, name in _ALERT_NAMES.items():
        if kind in found:
            return found[kind].name if kind == "dead_man" and found[kind].name else name
    return "ModelIncident"
