"""The row of an incident, whoever raises it: the monitor at a tick, or what watches the wall clock."""

from typing import Any

from schemas.ids import canonical_json
from schemas.lifecycle import Incident


def row(incident: Incident, revision: int) -> tuple[Any, ...]:
    """Values of ``schemas.tables.INCIDENTS``, in order.

    Args:
        incident: as it stands.
        revision: the row of the larger one is how it stands; it grows with every change.
    """
    return (
        incident.namespace,
        incident.model,
        incident.id,
        incident.opened,
        incident.updated,
        incident.changed or incident.updated,
        incident.state,
        incident.severity,
        incident.team,
        incident.summary,
        len(incident.conditions),
        incident.text,
        canonical_json(incident).decode(),
        revision,
    )
