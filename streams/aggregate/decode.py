"""From the bytes of a record to an event, or to the reason why it can never be one.

Everything here is a function of the record alone. What also needs the model's spec is checked in ``classify``.
"""

import re
from collections.abc import Collection
from typing import Final, Literal

import msgspec
from msgspec import Struct

from schemas import columnar
from schemas.events import (
    CE_SPECVERSION,
    CE_TYPES,
    MAX_EVENT_BYTES,
    SOURCE_EVENTS,
    Outcome,
    Prediction,
    Progress,
    SourceTopic,
)
from streams.aggregate import diagnose, explain

Reason = Literal[
    "undecodable",  # not JSON, or not UTF-8; no Arrow, where the headers promise a batch
    "invalid",  # JSON or Arrow, but not the event or the batch that the topic or the headers promise
    "too_large",  # more than MAX_EVENT_BYTES, or more rows or columns than a batch may have
    "unknown_model",  # no spec for (namespace, model)
    "wrong_kind",  # a feature's value is not of the kind that the spec declares
    "missing_score",  # no probability of the positive class, or of some of several classes
    "wrong_prediction",  # no prediction, one that is no class of the spec, or no number for a regression
    "unknown_label",  # no class of the spec, or no number for a regression
    "from_future",  # event time further ahead of the broker's timestamp than the spec's future_skew
    "too_old",  # event time further behind it than the spec's max_age
]
"""Why an event is dead."""

MAX_DEPTH: Final = 500
"""Deepest nesting of objects and lists: events are flat, and the decoder recurses as deep as Python's stack allows."""

Headers = list[tuple[str, bytes | None]] | None
Event = Prediction | Outcome | Progress


# Structs without garbage collection, here and wherever there is one object per event: there are no cycles to find, and
# the collector would walk through all of them again and again, for half of the time.
class Record(Struct, frozen=True, gc=False):
    """A record of a source topic as it is in the log; ``log_ts`` is the broker's timestamp in milliseconds.

    ``key`` and ``headers`` are kept for dead letters, so that one can be sent again as it was. ``row`` is its
    place in a batch (see ``rows_of``).
    """

    topic: SourceTopic
    partition: int
    offset: int
    log_ts: int
    value: bytes | None
    headers: Headers = None
    key: bytes | None = None
    row: int = 0

    @property
    def place(self) -> str:
        """``partition/offset``, and ``/row`` where it is not 0."""
        return f"{self.partition}/{self.offset}" + (f"/{self.row}" if self.row else "")


class Dead(Struct, frozen=True, gc=False):
    """A record that can never be processed; ``detail`` names the field."""

    record: Record
    reason: Reason
    detail: str


class Refused(Exception):
    """An event is dead, for this reason; ``detail`` has the place, the value and the way out."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_BRACKETS = re.compile(rb"[][{}]")

_DECODERS: dict[type, msgspec.json.Decoder[Event]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Prediction, Outcome, Progress)
}


class _Untyped(msgspec.Struct, tag="", tag_field="type"):
    """Nothing; a union makes msgspec ask for the tag, which it takes for granted when there is one type only."""


_PROGRESS = msgspec.json.Decoder(Progress | _Untyped)


def decode(record: Record) -> Event:
    """The event of a record: bare JSON, or CloudEvents 1.0 in Kafka's binary mode.

    Raises:
        Refused: it is none; with the reason and the field.
    """
    value = record.value
    if record.headers and columnar.is_batch(record.headers):
        # The rows of a batch that can be read come as records of their own: of this one, the reason is wanted.
        batch_of(record)
    if not value:
        raise Refused("undecodable", explain.empty())
    if len(value) > MAX_EVENT_BYTES:
        raise Refused("too_large", explain.too_large(len(value), MAX_EVENT_BYTES))
    if len(value) > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise Refused("invalid", explain.too_deep(MAX_DEPTH))
    if not value.isascii():
        _check_utf8(value)
    kind: type = SOURCE_EVENTS[record.topic]
    promised = _promised(record) if record.headers else None
    try:
        return _DECODERS[promised or kind].decode(value)
    except msgspec.DecodeError as error:
        if promised is None and (progress := _progress(value)) is not None:
            return progress
        wrong = isinstance(error, msgspec.ValidationError) and diagnose.invalid(value, promised or kind, error)
        if wrong:
            raise Refused("invalid", wrong) from error
        raise Refused("undecodable", diagnose.undecodable(value, error)) from error


def plain(record: Record) -> bool:
    """Whether the headers of a record promise nothing else than an event of its topic."""
    try:
        return not record.headers or _promised(record) in (None, SOURCE_EVENTS[record.topic])
    except Refused:
        return False


def batch_of(record: Record) -> columnar.Batch:
    """The batch that a record says it is.

    Raises:
        Refused: it is none.
    """
    _check_ce(record, [columnar.CE_BATCHES[record.topic]])
    if not record.value:
        raise Refused("undecodable", explain.empty())
    try:
        return columnar.read(record.topic, record.value)
    except columnar.BadBatch as bad:
        raise Refused(bad.reason, str(bad)) from bad


def row_of(record: Record, batch: columnar.Batch, row: int) -> Record:
    """One row of a batch, as the record of an event that came alone."""
    [body] = columnar.bodies(batch, [row])
    # What was said of the batch is not true of the event.
    headers = [(n, v) for n, v in record.headers or () if n != "content-type" and not n.startswith("ce_")]
    identity = batch.columns["prediction_id"].values[row].as_py()
    key = f"{batch.namespace}/{batch.model}/{identity}".encode() if identity else None
    return Record(record.topic, record.partition, record.offset, record.log_ts, body, headers or None, key, row)


def rows_of(record: Record) -> list[Record]:
    """A record as the events that it holds: itself, or every row of a batch.

    Raises:
        Refused: it says that it is a batch, and is none.
    """
    if not columnar.is_batch(record.headers):
        return [record]
    batch = batch_of(record)
    return [row_of(record, batch, row) for row in range(batch.rows)]


def _check_utf8(value: bytes) -> None:
    """The decoder would pass over what stands in fields that it does not need."""
    try:
        value.decode()
    except UnicodeDecodeError as error:
        raise Refused("undecodable", diagnose.undecodable(value, error)) from error


def _depth(value: bytes) -> int:
    """How deep the brackets outside of strings are nested at most, or more, up to the limit."""
    if (brackets := value.count(b"{") + value.count(b"[")) <= MAX_DEPTH:
        return brackets
    depth = deepest = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", value)):
        depth += 1 if bracket in b"{[" else -1
        deepest = max(deepest, depth)
    return deepest


def _promised(record: Record) -> type | None:
    """The event type that CloudEvents headers promise; None without such headers."""
    fitting = {n: t for n, t in CE_TYPES.items() if t in (SOURCE_EVENTS[record.topic], Progress)}
    name = _check_ce(record, fitting)
    return fitting[name] if name else None


def _check_ce(record: Record, fitting: Collection[str]) -> str:
    """The ``ce_type`` of a record; empty without CloudEvents headers."""
    headers = {name: value for name, value in record.headers or () if name.startswith("ce_")}
    if not headers:
        return ""
    version = (headers.get("ce_specversion") or b"").decode(errors="replace")
    if version != CE_SPECVERSION:
        raise Refused("invalid", explain.header("ce_specversion", version, [CE_SPECVERSION]))
    name = (headers.get("ce_type") or b"").decode(errors="replace")
    if name not in fitting:
        raise Refused("invalid", explain.header("ce_type", name, fitting))
    return name


def _progress(value: bytes) -> Progress | None:
    try:
        found = _PROGRESS.decode(value)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, Progress) else None
