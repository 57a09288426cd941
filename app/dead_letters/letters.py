"""Dead letters as they are kept: what was refused, why, with its original bytes, and whether it was sent again."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.events import SOURCE_EVENTS
from warehouse.client import Warehouse

_PLACE = re.compile(r"([A-Za-z0-9._-]+)/(\d{1,5})/(\d{1,19})(?:/(\d{1,9}))?")
_SPAN = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

Place = tuple[str, int, int, int]
"""(topic, partition, offset, row) of a dead letter; the row is 0 where a message is one event, or dead as a whole."""


class Unclear(Exception):
    """The question cannot be answered as it was asked; the text says how to ask."""


@dataclass(frozen=True)
class Letter:
    """One dead letter.

    Attributes:
        model: ``namespace/model`` as far as it can be read from the bytes; else empty.
        replayed: where it was sent again (partition, offset) and when; None: never.
    """

    place: Place
    log_ts: int
    reason: str
    detail: str
    model: str
    prediction_id: str
    value: bytes
    key: bytes | None
    headers: list[tuple[str, bytes | None]]
    replayed: tuple[int, int, int] | None

    @property
    def name(self) -> str:
        """``topic/partition/offset``, and ``/row`` of a batch."""
        return place_name(self.place)

    @property
    def state(self) -> str:
        """``waiting``, or ``replayed`` when it was sent again."""
        return "replayed" if self.replayed else "waiting"


def place_name(place: Place) -> str:
    """``topic/partition/offset``, and ``/row`` where it is not 0."""
    return "/".join(map(str, place if place[3] else place[:3]))


def place(text: str) -> Place:
    """``topic/partition/offset`` or ``topic/partition/offset/row``, as the list shows it.

    Raises:
        Unclear: it is no such place.
    """
    found = _PLACE.fullmatch(text)
    if not found:
        raise Unclear(
            f"{text!r} is no place; write TOPIC/PARTITION/OFFSET, and /ROW in a batch, as in predictions/0/17"
        )
    return found[1], int(found[2]), int(found[3]), int(found[4] or 0)


def since(text: str, now: datetime) -> datetime:
    """An instant as people say it: ``30m``, ``2h``, ``1d`` ago, or RFC 3339.

    Raises:
        Unclear: it is neither.
    """
    if span := _SPAN.fullmatch(text):
        return now - int(span[1]) * _UNITS[span[2]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Unclear(f"{text!r} is no time; write a span (30m, 2h, 1d) or an instant (2026-01-31T12:00:00Z)") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def where(
    *, model: str = "", reason: str = "", topic: str = "", after: datetime | None = None
) -> tuple[str, dict[str, Any]]:
    """The SQL condition, and its parameters, of what people ask for; empty: everything."""
    conditions, parameters = ["1"], dict[str, Any]()
    namespace, _, name = model.rpartition("/")
    for column, value in (("namespace", namespace), ("model", name), ("reason", reason), ("topic", topic)):
        if value:
            conditions.append(f"{column} = {{{column}:String}}")
            parameters[column] = value
    if after is not None:
        conditions.append("log_ts >= fromUnixTimestamp64Milli({after:Int64}, 'UTC')")
        parameters["after"] = int(after.timestamp() * 1000)
    return " AND ".join(conditions), parameters


_COLUMNS = (
    "topic, `partition`, `offset`, `row`, toUnixTimestamp64Milli(log_ts), reason, detail, namespace, model, "
    "prediction_id, original, key, headers, new_partition, new_offset, toUnixTimestamp64Milli(replayed_at)"
)


def letters(
    warehouse: Warehouse, condition: str, parameters: Mapping[str, Any], *, order: str = "log_ts DESC", limit: int
) -> list[Letter]:
    """Dead letters that fulfil a condition (see :func:`where`), at most ``limit``."""
    rows = warehouse.rows(
        f"SELECT {_COLUMNS} FROM dead_letter_list WHERE {condition} "  # noqa: S608  all parts are ours
        f"ORDER BY {order}, topic, `partition`, `offset`, `row` LIMIT {limit}",
        parameters,
    )
    return [_letter(*row) for row in rows]


def _letter(*row: Any) -> Letter:
    topic, partition, offset, place_row, log_ts, reason, detail, namespace, model = row[:9]
    prediction_id, original, key, headers, new_partition, new_offset, replayed_at = row[9:]
    return Letter(
        place=(topic, partition, offset, place_row),
        log_ts=log_ts,
        reason=reason,
        detail=detail,
        model=f"{namespace}/{model}" if namespace and model else "",
        prediction_id=prediction_id,
        value=base64.b64decode(original),
        key=None if key is None else base64.b64decode(key),
        headers=[(name, None if value is None else base64.b64decode(value)) for name, value in json.loads(headers)],
        replayed=None if replayed_at is None else (new_partition, new_offset, replayed_at),
    )


def find(warehouse: Warehouse, wanted: Place) -> Letter | None:
    """The letter at a place; None when there is none."""
    condition = (
        "topic = {topic:String} AND `partition` = {p:UInt32} AND `offset` = {offset:UInt64} AND `row` = {row:UInt32}"
    )
    parameters = dict(zip(("topic", "p", "offset", "row"), wanted, strict=True))
    return next(iter(letters(warehouse, condition, parameters, limit=1)), None)


def counts(warehouse: Warehouse, condition: str, parameters: Mapping[str, Any]) -> dict[str, int]:
    """Reason -> letters that fulfil a condition, the most frequent first."""
    rows = warehouse.rows(
        f"SELECT reason, count() AS n FROM dead_letter_list WHERE {condition} "  # noqa: S608  all parts are ours
        "GROUP BY reason ORDER BY n DESC, reason",
        parameters,
    )
    return {reason: int(n) for reason, n in rows}


def became(warehouse: Warehouse, letter: Letter) -> str:
    """What stage 1 made of a letter that was sent again: a verdict, ``dead`` again, or ``not read yet``."""
    topic = letter.place[0]
    scope: dict[str, Any] = {"topic": topic, "id": letter.prediction_id}
    if letter.replayed is None or topic not in SOURCE_EVENTS or not letter.model:
        return ""
    scope |= dict(zip(("namespace", "model"), letter.model.split("/", 1), strict=True))
    scope |= {"p": letter.replayed[0], "offset": letter.replayed[1]}
    at = "`partition` = {p:UInt32} AND `offset` = {offset:UInt64}"
    rows = warehouse.rows(
        f"SELECT toString(verdict) FROM raw_{topic} FINAL WHERE namespace = {{namespace:String}} "  # noqa: S608
        f"AND model = {{model:String}} AND prediction_id = {{id:String}} AND {at} "
        f"UNION ALL SELECT 'dead again: ' || reason FROM dead_letters WHERE topic = {{topic:String}} AND {at}",
        scope,
    )
    return str(rows[0][0]) if rows else "not read yet"
