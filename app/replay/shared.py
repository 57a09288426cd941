"""A replay on an installation that others use: under a name of its own, so that nobody meets its events."""

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace as changed

from app.replay.follow import Follower
from app.replay.plan import Plan
from bus import generations
from schemas.settings import Settings
from schemas.spec import REPLAYS
from warehouse.client import Warehouse

_NAME = 80
"""Characters of the model's own name that are kept."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where a replay runs; ``check`` raises :class:`SystemExit` when a role is beyond help."""

    settings: Settings
    warehouse: Warehouse
    check: Callable[[], None]


def free(planned: Plan, content: str, there: Installation) -> Plan:
    """The plan under a name that is either new or whose replay came to its end.

    The name says the content: who replays the same thing again is answered from what is recorded, with the same ids.
    One that was broken off, or that runs now, keeps its name: what was counted of it would be a duplicate for us.

    Args:
        planned: the plan under the owner's name.
        content: hash of all that the answer depends on.
        there: the installation.
    """
    declared = generations.read_declared(there.settings)
    attempt = 1
    while True:
        name = f"{planned.model[:_NAME]}.{content[:12]}" + (f".{attempt}" if attempt > 1 else "")
        follower = Follower(there.warehouse, REPLAYS, name, check=there.check, told=lambda _: None)
        if not declared.generations(REPLAYS, name) or follower.reported() >= planned.end:
            return named(planned, name)
        attempt += 1


def named(planned: Plan, name: str) -> Plan:
    """The same plan for another model, in the namespace of replays."""
    records = tuple(changed(record, namespace=REPLAYS, model=name) for record in planned.records)
    return planned.renamed(REPLAYS, name, records)
