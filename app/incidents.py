"""``driftline incidents``: what is wrong now and was before, and what people did about it."""

import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from app.names import NotOne, NotThere, pick_model
from schemas.ids import content_id
from schemas.tables import INCIDENT_ACTIONS
from schemas.windows import iso, to_ms
from streams.notify.words import where
from warehouse.client import Warehouse

Action = Literal["ack", "silence", "unsilence"]

LONGEST = timedelta(days=30)
"""A silence that outlives the memory of who asked for it hides the next fault."""

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_STATES = {"open": 0, "updated": 0, "acknowledged": 1, "resolved": 2}

_LIST = """
SELECT id, namespace, model, state, severity, team, summary, conditions, toUnixTimestamp64Milli(opened),
    toUnixTimestamp64Milli(updated), toUnixTimestamp64Milli(resolved), acknowledged_by,
    toUnixTimestamp64Milli(silenced_until)
FROM incident_list
WHERE ({everything:Bool} OR state != 'resolved')
    AND ({model:String} = '' OR namespace = {namespace:String} AND model = {model:String})
    AND ({id:String} = '' OR startsWith(id, {id:String}) OR startsWith(splitByChar('-', id)[-1], {id:String}))
ORDER BY opened DESC, id LIMIT {limit:UInt32}
"""

_TEXT = """
SELECT text, body FROM incidents FINAL
WHERE namespace = {namespace:String} AND model = {model:String} AND id = {id:String}
"""

_ACTIONS = """
SELECT action, by, note, toUnixTimestamp64Milli(until), toUnixTimestamp64Milli(at), incident_id
FROM incident_actions FINAL
WHERE namespace = {namespace:String} AND model = {model:String} AND incident_id IN ({id:String}, '') ORDER BY at, id
"""

_MODELS = "SELECT DISTINCT namespace, model FROM reports UNION DISTINCT SELECT DISTINCT namespace, model FROM incidents"


@dataclass(frozen=True, slots=True)
class Entry:
    """One incident, as ``incident_list`` has it; times in ms since the epoch."""

    id: str
    namespace: str
    model: str
    state: str
    severity: str
    team: str
    summary: str
    conditions: int
    opened: int
    updated: int
    resolved: int | None
    acknowledged_by: str
    silenced_until: int | None

    def silenced(self, now: int) -> bool:
        """Whether nobody is rung for it at ``now``."""
        return self.silenced_until is not None and self.silenced_until > now


@dataclass(frozen=True, slots=True)
class Done:
    """What somebody did; ``incident_id`` is empty when it was meant for the whole model."""

    action: str
    by: str
    note: str
    until: int
    at: int
    incident_id: str


def entries(
    warehouse: Warehouse, *, everything: bool = False, model: tuple[str, str] | None = None, limit: int = 50
) -> list[Entry]:
    """Incidents, open ones first, those that were acknowledged after those that were not, then the newest first."""
    namespace, name = model or ("", "")
    found = _rows(warehouse, everything=everything, namespace=namespace, model=name, id="", limit=limit)
    return sorted(found, key=lambda e: (_STATES[e.state], e.severity != "critical", -e.opened, e.id))


def find(warehouse: Warehouse, prefix: str) -> Entry:
    """The incident whose id starts with ``prefix``, with or without ``incident-``.

    Raises:
        NotThere: there is none.
        NotOne: there are several.
    """
    found = _rows(warehouse, everything=True, namespace="", model="", id=prefix, limit=4) if prefix else []
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotThere(f"no incident has an id that starts with {prefix!r}; see them: driftline incidents list --all")
    shown = ", ".join(entry.id for entry in found[:3]) + (", ..." if len(found) > 3 else "")
    raise NotOne(f"several incidents have an id that starts with {prefix!r}: {shown}; type one more character")


def find_model(warehouse: Warehouse, name: str) -> tuple[str, str]:
    """(namespace, model) of ``namespace/model``, or of a model's name where it is the only one.

    Raises:
        NotThere: no such model has been reported on.
        NotOne: several namespaces have it.
    """
    return pick_model(((str(row[0]), str(row[1])) for row in warehouse.rows(_MODELS)), name)


def act(
    warehouse: Warehouse,
    target: Entry | tuple[str, str],
    action: Action,
    *,
    by: str,
    at: datetime,
    note: str = "",
    until: datetime | None = None,
) -> None:
    """Write down what somebody did about an incident or, for a pair of namespace and model, about all of a model's.

    Raises:
        NotThere: the incident is resolved.
    """
    if isinstance(target, Entry):
        if target.state == "resolved":
            raise NotThere(f"{target.id} was resolved at {iso(target.resolved or target.updated)}; nothing was changed")
        who = target.namespace, target.model, target.id
    else:
        who = *target, ""
    done = action, by[:100], note[:1000], to_ms(until) if until else 0, to_ms(at)
    warehouse.insert(INCIDENT_ACTIONS, [(*who, content_id("action", *who, *done), *done)])


def actions(warehouse: Warehouse, entry: Entry) -> list[Done]:
    """What people did about an incident or its model, in order."""
    scope = {"namespace": entry.namespace, "model": entry.model, "id": entry.id}
    return [Done(*row) for row in warehouse.rows(_ACTIONS, scope)]


def duration(text: str) -> timedelta:
    """A span as people type it: ``30m``, ``2h``, ``1d``.

    Raises:
        NotOne: it is none, or longer than :data:`LONGEST`.
    """
    match = re.fullmatch(r"(\d{1,6})([mhd])", text.strip())
    span = int(match[1]) * _UNITS[match[2]] if match else timedelta(0)
    if not timedelta(0) < span <= LONGEST:
        raise NotOne(f"{text!r} is no span; write a number and m, h or d, up to {LONGEST.days}d, as in 30m, 2h, 1d")
    return span


def line(entry: Entry, now: int) -> str:
    """An incident in two lines of at most 80 columns, but for a long summary."""
    state = entry.state + (f" by {entry.acknowledged_by}" if entry.state == "acknowledged" else "")
    silenced = f", silent until {minute(entry.silenced_until or 0)}" if entry.silenced(now) else ""
    ended = f" to {minute(entry.resolved)}" if entry.resolved else ""
    return (
        f"{short(entry.id)}  {entry.severity:<8}  {where(entry.namespace, entry.model)}, "
        f"since {minute(entry.opened)}{ended}\n"
        f"          {printable(entry.summary)}\n          {printable(state)}{silenced}"
    )


def show(warehouse: Warehouse, entry: Entry, now: int) -> str:
    """All that is known of an incident, for a person."""
    text, _ = _told(warehouse, entry)
    head = [f"{entry.id}: {entry.state}, opened {minute(entry.opened)}, team {entry.team}"]
    if entry.silenced(now):
        head.append(f"silent until {minute(entry.silenced_until or 0)}")
    done = [f"  {_describe(action)}" for action in actions(warehouse, entry)]
    return "\n".join([*head, "", printable(text).rstrip(), *(["", "What people did", *done] if done else [])])


def as_json(warehouse: Warehouse, entry: Entry) -> dict[str, Any]:
    """The same for a machine."""
    text, body = _told(warehouse, entry)
    return listed(entry) | {
        "text": text,
        "body": body,
        "actions": [
            asdict(done) | {"until": iso(done.until) if done.until else None, "at": iso(done.at)}
            for done in actions(warehouse, entry)
        ],
    }


def listed(entry: Entry) -> dict[str, Any]:
    """An entry of the list for a machine: times as ISO-8601."""
    times = ("opened", "updated", "resolved", "silenced_until")
    return {name: iso(value) if name in times and value is not None else value for name, value in asdict(entry).items()}


def short(name: str) -> str:
    """Enough of an id to type: eight of its hex digits."""
    return name.rpartition("-")[2][:8]


def minute(ms: int) -> str:
    """``2013-02-01 05:00Z``."""
    return f"{iso(ms)[:16].replace('T', ' ')}Z"


def printable(text: str) -> str:
    """Text without what would steer a terminal: names and notes are other people's."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


def _rows(warehouse: Warehouse, **scope: Any) -> list[Entry]:
    return [Entry(*row) for row in warehouse.rows(_LIST, scope)]


def _told(warehouse: Warehouse, entry: Entry) -> tuple[str, dict[str, Any]]:
    scope = {"namespace": entry.namespace, "model": entry.model, "id": entry.id}
    ((text, body),) = warehouse.rows(_TEXT, scope)
    return text, json.loads(body)


def _describe(done: Done) -> str:
    target = "" if done.incident_id else " (the whole model)"
    what = {"ack": "acknowledged", "silence": f"silenced until {minute(done.until)}", "unsilence": "ended the silence"}
    note = f": {done.note}" if done.note else ""
    return printable(f"{minute(done.at)}  {done.by} {what[done.action]}{target}{note}".replace("\n", " "))
