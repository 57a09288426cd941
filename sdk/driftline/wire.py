"""The JSON bodies and CloudEvents headers of what a service sends. Pure functions: no I/O, no clock.

Bodies are flat JSON. The CloudEvents headers (Kafka binary mode, ``ce_*``) are optional for every reader.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

FeatureValue = float | str | bool | None
Label = float | str | bool
ServingRole = Literal["champion", "canary", "shadow"]
Kind = Literal["prediction", "outcome", "progress"]

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode


def instant(event_time: datetime) -> str:
    """RFC 3339 text of an instant.

    Raises:
        ValueError: the ``datetime`` is naive: nobody could say which instant it means.
    """
    if event_time.tzinfo is None:
        raise ValueError(
            f"event_time {event_time.isoformat()} has no time zone; "
            "pass an aware datetime, e.g. datetime.now(timezone.utc)"
        )
    return event_time.isoformat()


def _missing_is_null(value: FeatureValue) -> FeatureValue:
    return None if isinstance(value, float) and math.isnan(value) else value


def _body(fields: dict[str, Any]) -> bytes:
    try:
        return _encode(fields).encode()
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"cannot encode event {fields.get('prediction_id', '')!r} of {fields['namespace']}/{fields['model']}: "
            f"{error}; values are str, bool, int, finite float or None (numpy scalars: call .item())"
        ) from error


def key(namespace: str, model: str, prediction_id: str) -> bytes:
    """Kafka key of a prediction and of its outcome: by it they meet in one partition."""
    return f"{namespace}/{model}/{prediction_id}".encode()


def prediction(
    namespace: str,
    model: str,
    prediction_id: str,
    *,
    version: str,
    event_time: datetime,
    features: Mapping[str, FeatureValue],
    prediction: Label | None = None,
    scores: Mapping[str, float] | None = None,
    latency_ms: float | None = None,
    segments: Mapping[str, str] | None = None,
    role: ServingRole = "champion",
) -> bytes:
    """Body of one prediction; a ``nan`` among the features becomes ``null``, a missing value.

    Args:
        namespace: team that owns the model.
        model: its name.
        prediction_id: names the request; the outcome carries the same id.
        version: model version that answered.
        event_time: when the prediction was asked for (aware).
        features: the inputs as the model saw them.
        prediction: what the service decided.
        scores: class -> probability in [0, 1].
        latency_ms: time the model took, in milliseconds, >= 0.
        segments: tag -> value.
        role: ``champion`` (served), ``canary`` (served to some) or ``shadow`` (not served).

    Raises:
        ValueError: naive ``event_time``, or a value that JSON cannot hold.
    """
    fields: dict[str, Any] = {
        "namespace": namespace,
        "model": model,
        "version": version,
        "prediction_id": prediction_id,
        "event_time": instant(event_time),
        "features": {name: _missing_is_null(value) for name, value in features.items()},
        "role": role,
    }
    if prediction is not None:
        fields["prediction"] = prediction
    if scores:
        fields["scores"] = dict(scores)
    if latency_ms is not None:
        fields["latency_ms"] = latency_ms
    if segments:
        fields["segments"] = dict(segments)
    return _body(fields)


def outcome(namespace: str, model: str, prediction_id: str, *, event_time: datetime, label: Label) -> bytes:
    """Body of one outcome: what really happened to ``prediction_id``, known since ``event_time``.

    Raises:
        ValueError: naive ``event_time``, or a label that JSON cannot hold.
    """
    return _body(
        {
            "namespace": namespace,
            "model": model,
            "prediction_id": prediction_id,
            "event_time": instant(event_time),
            "label": label,
        }
    )


def progress(namespace: str, model: str, *, event_time: datetime) -> bytes:
    """Body of the promise that all events of this model before ``event_time`` are in the partition already.

    Raises:
        ValueError: naive ``event_time``.
    """
    return _body({"type": "progress", "namespace": namespace, "model": model, "event_time": instant(event_time)})


def cloud_event_headers(kind: Kind, namespace: str, model: str, body: bytes) -> list[tuple[str, bytes]]:
    """CloudEvents 1.0 attributes in Kafka's binary mode; ``ce_id`` is a hash of the body, so a repeat keeps its id."""
    return [
        ("ce_specversion", b"1.0"),
        ("ce_type", f"io.driftline.{kind}.v1".encode()),
        ("ce_source", f"/{namespace}/{model}".encode()),
        ("ce_id", hashlib.sha256(body).hexdigest()[:32].encode()),
        ("content-type", b"application/json"),
    ]


def batch_headers(
    topic: Literal["predictions", "outcomes"], namespace: str, model: str, value: bytes, *, cloud_events: bool
) -> list[tuple[str, bytes]]:
    """Headers of a batch (docs/batches.md): what it is, and on demand CloudEvents attributes."""
    kind = ("content-type", b"application/vnd.apache.arrow.stream")
    if not cloud_events:
        return [kind]
    one: Kind = "prediction" if topic == "predictions" else "outcome"
    attributes = dict(cloud_event_headers(one, namespace, model, value))
    return [*(attributes | {"ce_type": f"io.driftline.{topic}.v1+arrow".encode()} | dict([kind])).items()]
