"""Bytes to events: what is accepted, and the reason that each refusal gives."""

import pytest

from schemas.events import MAX_EVENT_BYTES, Outcome, Prediction, Progress, SourceTopic
from streams.aggregate.decode import Headers, Record, Refused, decode

PREDICTION = (
    b'{"namespace":"default","model":"delay","version":"1","prediction_id":"f1","event_time":"2013-01-01T05:00:00-05:00",'
    b'"features":{"x":1,"origin":"JFK","wet":true,"gone":null},"scores":{"late":0.25},"unknown":{"field":1}}'
)
OUTCOME = (
    b'{"namespace":"default","model":"delay","prediction_id":"f1","event_time":"2013-01-01T12:00:00Z","label":"late"}'
)
PROGRESS = b'{"type":"progress","namespace":"default","model":"delay","event_time":"2013-01-02T05:00:00Z"}'


def record(value: bytes | None, topic: SourceTopic = "predictions", headers: Headers = None) -> Record:
    return Record(topic, 0, 0, 0, value, headers)


def cloud(kind: str, version: str = "1.0") -> Headers:
    return [("ce_specversion", version.encode()), ("ce_type", kind.encode()), ("ce_id", b"1"), ("traceparent", b"x")]


@pytest.mark.parametrize(
    ("value", "topic", "headers", "kind"),
    [
        (PREDICTION, "predictions", None, Prediction),
        (PREDICTION, "predictions", [("traceparent", b"00-1")], Prediction),
        (PREDICTION, "predictions", cloud("io.driftline.prediction.v1"), Prediction),
        (OUTCOME, "outcomes", None, Outcome),
        (OUTCOME, "outcomes", cloud("io.driftline.outcome.v1"), Outcome),
        (PROGRESS, "predictions", None, Progress),
        (PROGRESS, "outcomes", None, Progress),
        (PROGRESS, "outcomes", cloud("io.driftline.progress.v1"), Progress),
    ],
)
def test_accepted(value: bytes, topic: SourceTopic, headers: Headers, kind: type) -> None:
    assert type(decode(record(value, topic, headers))) is kind


@pytest.mark.parametrize(
    ("value", "topic", "headers", "reason", "names"),
    [
        (None, "predictions", None, "undecodable", "empty"),
        (b"", "predictions", None, "undecodable", "empty"),
        (b"{", "predictions", None, "undecodable", "the end"),
        (b"\xff\xfe", "outcomes", None, "undecodable", ""),
        (PREDICTION.replace(b"JFK", b"\xff"), "predictions", None, "undecodable", ""),
        (b"[]", "predictions", None, "invalid", "object"),
        (OUTCOME, "predictions", None, "invalid", "topic of outcomes"),
        (PREDICTION, "outcomes", None, "invalid", "topic of predictions"),
        (PREDICTION.replace(b"-05:00", b""), "predictions", None, "invalid", "$.event_time"),
        (PREDICTION.replace(b"0.25", b"1.5"), "predictions", None, "invalid", "$.scores"),
        (PREDICTION.replace(b'"f1"', b'""'), "predictions", None, "invalid", "$.prediction_id"),
        (PROGRESS.replace(b"2013", b"year"), "outcomes", None, "invalid", ""),
        (b"[" * 1_000, "predictions", None, "invalid", "500 levels"),
        (b'{"version":' + b"[" * 985, "predictions", None, "invalid", "500 levels"),
        (b'{"version":' + b"[" * 400, "predictions", None, "undecodable", "the end"),
        (b'{"features":{"q":' + b"1" * 5_000 + b"}", "predictions", None, "undecodable", "the end"),
        (b" " * (MAX_EVENT_BYTES + 1), "predictions", None, "too_large", f"{MAX_EVENT_BYTES:,}"),
        (PREDICTION, "predictions", cloud("io.driftline.prediction.v1", "0.3"), "invalid", "ce_specversion"),
        (PREDICTION, "predictions", [("ce_type", b"io.driftline.prediction.v1")], "invalid", "ce_specversion"),
        (PREDICTION, "predictions", cloud("io.driftline.outcome.v1"), "invalid", "ce_type"),
        (PREDICTION, "predictions", cloud("com.example"), "invalid", "io.driftline.prediction.v1"),
        (PREDICTION, "predictions", [("ce_specversion", None), ("ce_type", None)], "invalid", "ce_specversion"),
        (PROGRESS, "predictions", cloud("io.driftline.prediction.v1"), "invalid", "version"),
    ],
)
def test_refused(value: bytes | None, topic: SourceTopic, headers: Headers, reason: str, names: str) -> None:
    with pytest.raises(Refused) as refused:
        decode(record(value, topic, headers))
    assert refused.value.reason == reason
    assert names in refused.value.detail
