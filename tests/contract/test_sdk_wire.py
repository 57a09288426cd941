"""The SDK shares no code with the service: these tests hold its bytes to ``schemas.events``."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
from driftline import wire
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import CE_SPECVERSION, CE_TYPES, Outcome, Prediction, Progress

names = st.text(min_size=1, max_size=200).filter(lambda text: text.isprintable())
instants = st.datetimes(
    min_value=datetime(1971, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-5)), timezone(timedelta(hours=5, minutes=30))]),
)
values = st.none() | st.booleans() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
labels = st.booleans() | st.text() | st.floats(allow_nan=False, allow_infinity=False)


events = st.fixed_dictionaries(
    {
        "prediction_id": names,
        "version": names,
        "event_time": instants,
        "features": st.dictionaries(st.text(), values),
        "prediction": st.none() | labels,
        "scores": st.dictionaries(st.text(), st.floats(0, 1)),
        "latency_ms": st.none() | st.floats(0, 1e9),
        "segments": st.dictionaries(st.text(), st.text()),
        "role": st.sampled_from(["champion", "canary", "shadow"]),
    }
)


@given(events)
def test_a_prediction_arrives_as_it_was_said(event: dict[str, Any]) -> None:
    said = {name: value for name, value in event.items() if name != "prediction_id"}
    read = msgspec.json.decode(wire.prediction("team", "model", event["prediction_id"], **said), type=Prediction)
    assert read == Prediction(namespace="team", model="model", **event)


@given(prediction_id=names, event_time=instants, label=labels)
def test_an_outcome_arrives_as_it_was_said(prediction_id: str, event_time: datetime, label: wire.Label) -> None:
    body = wire.outcome("team", "model", prediction_id, event_time=event_time, label=label)
    read = msgspec.json.decode(body, type=Outcome)
    expected = Outcome(namespace="team", model="model", prediction_id=prediction_id, event_time=event_time, label=label)
    assert read == expected


@given(event_time=instants)
def test_progress_arrives_as_it_was_said(event_time: datetime) -> None:
    read = msgspec.json.decode(wire.progress("team", "model", event_time=event_time), type=Progress)
    assert read == Progress(namespace="team", model="model", event_time=event_time)


def test_every_kind_has_the_declared_cloud_event_type() -> None:
    kinds: tuple[wire.Kind, ...] = ("prediction", "outcome", "progress")
    headers = [dict(wire.cloud_event_headers(kind, "team", "model", b"{}")) for kind in kinds]
    assert {head["ce_type"].decode() for head in headers} == set(CE_TYPES)
    assert {head["ce_specversion"].decode() for head in headers} == {CE_SPECVERSION}
