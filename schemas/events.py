"""What services send: predictions, outcomes and progress records.

The body is flat JSON. A record may carry CloudEvents 1.0 headers (Kafka binary mode, ``ce_*``); a bare JSON value is
accepted too. Decoding is strict about types and bounds and tolerant of unknown fields, so that a newer producer does
not break an older consumer.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

Name = Annotated[str, Meta(min_length=1, max_length=200)]
"""1-200 characters. That namespace and model are known, and so well-formed, is checked against the specs."""

Instant = Annotated[datetime, Meta(tz=True)]
Score = Annotated[float, Meta(ge=0.0, le=1.0)]
FeatureValue = float | str | bool | None
Label = float | str | bool
Role = Literal["champion", "canary", "shadow"]
SourceTopic = Literal["predictions", "outcomes"]


class Prediction(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One answer of one model version, identified by (namespace, model, version, prediction_id).

    Attributes:
        event_time: when the prediction was asked for; RFC 3339 with an offset.
        features: the model's inputs as it saw them; ``null`` is a missing value.
        prediction: what the service decided (a class or a number).
        scores: class -> probability in [0, 1].
        latency_ms: time that the model took, in milliseconds.
        segments: tag -> value; each tag named in the spec gets windows of its own.
        role: ``shadow`` answers are scored but never served.
    """

    namespace: Name
    model: Name
    version: Name
    prediction_id: Name
    event_time: Instant
    features: dict[str, FeatureValue]
    prediction: Label | None = None
    scores: dict[str, Score] = {}
    latency_ms: Annotated[float, Meta(ge=0.0)] | None = None
    segments: dict[str, str] = {}
    role: Role = "champion"


class Outcome(Struct, frozen=True, kw_only=True, gc=False):
    """What really happened; it joins every version that predicted the same ``prediction_id``."""

    namespace: Name
    model: Name
    prediction_id: Name
    event_time: Instant
    label: Label


class Progress(Struct, frozen=True, kw_only=True, gc=False, tag="progress", tag_field="type"):
    """A source's promise: "all my events of this model before ``event_time`` are in this partition, before me".

    It raises the watermark to ``event_time`` itself, without waiting for allowed lateness to pass.
    """

    namespace: Name
    model: Name
    event_time: Instant


SOURCE_EVENTS: dict[SourceTopic, type[Prediction] | type[Outcome]] = {
    "predictions": Prediction,
    "outcomes": Outcome,
}

MAX_EVENT_BYTES: Final = 500_000
"""Largest event, in bytes: a dead letter carries it whole, with its headers, below Kafka's usual limit of 1 MB."""

CE_SPECVERSION = "1.0"
CE_TYPES: dict[str, type[Prediction] | type[Outcome] | type[Progress]] = {
    "io.driftline.prediction.v1": Prediction,
    "io.driftline.outcome.v1": Outcome,
    "io.driftline.progress.v1": Progress,
}
"""CloudEvents ``ce_type`` values; the version in the name changes only when a body stops being readable."""


def encode(event: Prediction | Outcome | Progress) -> bytes:
    """The JSON body of an event."""
    return msgspec.json.encode(event)


def class_name(value: Label) -> str:
    """The class that a prediction or a label names: ``3``, ``3.0`` and ``"3"`` are one, and so are true and "true"."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if abs(value) < 2**53 and value == int(value) else str(value)


def record_key(event: Prediction | Outcome) -> bytes:
    """Kafka key of an event, by which an outcome lands in the partition of its predictions."""
    return f"{event.namespace}/{event.model}/{event.prediction_id}".encode()
