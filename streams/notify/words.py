"""What every channel says about an incident: one notice, made once, put into each system's own form elsewhere. Pure."""

from dataclasses import dataclass

from schemas.ids import content_id
from schemas.lifecycle import Severity
from streams.notify.book import Change

INSTALLATION = "*"
"""Namespace and model of what concerns the whole installation; no model can be called so."""

_SUMMARY = 300


@dataclass(frozen=True, slots=True)
class Notice:
    """A change in words.

    Attributes:
        summary: one line.
        description: all that a person needs, in plain text.
        runbook: address of the part of the on-call guide that is about this kind of incident.
    """

    change: Change
    summary: str
    description: str
    runbook: str

    @property
    def firing(self) -> bool:
        """Whether it lasts."""
        return self.change.incident.state != "resolved"

    @property
    def title(self) -> str:
        """Severity, event and model in one short line: ``CRITICAL default/flights: ModelPerformance``."""
        incident, event = self.change.incident, self.change.event
        word = incident.severity.upper() if event == "opened" else f"{incident.severity.upper()} {event}"
        return f"{'RESOLVED' if event == 'resolved' else word} {where(incident.namespace, incident.model)}: {self.name}"

    @property
    def name(self) -> str:
        """The alert's name."""
        return self.change.alertname

    def labels(self, severity: Severity | None = None) -> dict[str, str]:
        """What the alert is identified by, in Prometheus' words."""
        incident = self.change.incident
        return {
            "alertname": self.name,
            "severity": severity or incident.severity,
            "namespace": incident.namespace,
            "model": incident.model,
            "team": incident.team,
            "incident": incident.id,
        }

    def annotations(self) -> dict[str, str]:
        """What the alert says, in Prometheus' words."""
        return {"summary": self.summary, "description": self.description, "runbook_url": self.runbook}

    def fingerprint(self) -> str:
        """16 hex digits that name the alert."""
        return content_id("alert", self.labels())[-16:]


def notice(change: Change, runbook_url: str) -> Notice:
    """Put a change into words.

    Args:
        change: what happened.
        runbook_url: address of the on-call guide; the alert's name is its anchor.
    """
    incident = change.incident
    newest = max(incident.conditions, key=lambda condition: (condition.last, condition.key), default=None)
    summary = incident.summary or (newest.text if newest else "an incident without a condition")
    text = incident.text or "\n".join(condition.text for condition in incident.conditions)
    if change.was is not None:
        change_of_severity = f"Severity was {change.was}, and is {incident.severity} now."
        text = f"{change_of_severity}\n{text}"
    if change.note:
        text = f"{change.note}\n{text}"
    return Notice(change, shortened(summary, _SUMMARY), text, f"{runbook_url}#{change.alertname.lower()}")


def where(namespace: str, model: str) -> str:
    """A model as people write it."""
    return "the installation" if namespace == INSTALLATION else f"{namespace}/{model}"


def shortened(text: str, longest: int) -> str:
    """At most so many characters; the end says that there is more."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
