"""From a customer's record to driftline's event, or to a refusal that a person can act on."""

import json
from typing import Any

import msgspec
import pytest
from ingest_world import chargeback, decision, model

from schemas.events import Outcome, Prediction
from schemas.settings import Settings
from streams.ingest.formats import Formats
from streams.ingest.mapping import Mapped, map_record, rules_of
from streams.ingest.values import Source, Unmappable

VERSION: list[tuple[str, bytes | None]] = [("model-version", b"7")]
FORMATS = Formats(Settings())


def mapped(document: dict[str, Any], topic: str = "shop.decisions", **source: Any) -> Mapped:
    spec = model(**source).spec
    rules = [rule for rule in rules_of("payments", "fraud", [spec]) if rule.topic == topic]
    body = FORMATS.decode("json", topic, json.dumps(document).encode())
    return map_record(rules, Source(body, VERSION))


def prediction(document: dict[str, Any], **source: Any) -> Prediction:
    found = mapped(document, **source)
    assert found.refused == []
    (event,) = found.events
    assert event.topic == "predictions"
    return msgspec.json.decode(event.body, type=Prediction)


def refusal(document: dict[str, Any], topic: str = "shop.decisions", **source: Any) -> str:
    found = mapped(document, topic, **source)
    assert found.events == []
    (refused,) = found.refused
    assert refused.reason == "unmapped"
    return refused.detail


def test_a_decision_becomes_a_prediction() -> None:
    found = mapped(decision(3))
    assert found.events[0].key == b"payments/fraud/3"
    event = msgspec.json.decode(found.events[0].body)
    assert event == {
        "namespace": "payments",
        "model": "fraud",
        "version": "7",
        "prediction_id": "3",
        "event_time": "2026-03-01T12:03:00Z",
        "features": {"amount": 13.0, "country": "DE", "returning": True},
        "prediction": "ok",
        "scores": {"fraud": 0.03},
        "latency_ms": 3.5,
        "segments": {"shop": "de"},
    }


def test_a_chargeback_becomes_an_outcome_in_the_banks_time_zone() -> None:
    (event,) = mapped(chargeback(5), "shop.chargebacks").events
    found = msgspec.json.decode(event.body, type=Outcome)
    assert (event.topic, event.key) == ("outcomes", b"payments/fraud/5")
    assert (found.label, found.event_time.isoformat()) == (True, "2026-03-02T13:30:00+00:00")


def test_records_that_nobody_means_become_nothing() -> None:
    found = mapped(decision(1, type="page-view"))
    assert (found.events, found.refused) == ([], [])


@pytest.mark.parametrize("value", [1, "true", None])
def test_true_is_not_one(value: Any) -> None:
    when = {"when": {"path": "live", "equals": True}}
    assert mapped(decision(1, live=True), predictions=when).events
    assert not mapped(decision(1, live=value), predictions=when).events


def test_one_topic_may_hold_both_kinds() -> None:
    outcomes = {
        "topic": "shop.decisions",
        "when": {"path": "type", "equals": ["booked", "refunded"]},
        "time": {"path": "booked", "format": "%d.%m.%Y %H:%M", "zone": "UTC"},
    }
    (event,) = mapped(chargeback(5) | {"type": "booked"}, outcomes=outcomes).events
    assert event.topic == "outcomes"
    (event,) = mapped(decision(5), outcomes=outcomes).events
    assert event.topic == "predictions"


def test_a_feature_that_is_not_there_is_a_missing_value() -> None:
    document = decision(1)
    document["request"]["customer"] = {"home.country": None, "orders": []}
    assert prediction(document).features == {"amount": 11.0, "country": None, "returning": None}


def test_a_whole_object_gives_its_scalars() -> None:
    document = decision(1, payload={"amount": 5, "country": "FR", "returning": False, "raw": {"a": 1}, "note": "x"})
    found = prediction(document, predictions={"features": "payload"})
    assert found.features == {"amount": 5.0, "country": "FR", "returning": False, "note": "x"}


def test_the_whole_record_may_be_the_features() -> None:
    document = decision(1, amount=5, country="FR")
    found = prediction(document, predictions={"features": "$"})
    assert found.features == {"amount": 5.0, "country": "FR", "type": "scored"}


@pytest.mark.parametrize(
    ("format_", "zone", "written"),
    [
        ("rfc3339", None, "2026-03-01T13:03:00.250+01:00"),
        ("rfc3339", "Europe/Berlin", "2026-03-01T13:03:00.250"),
        ("epoch_s", None, 1772366580.25),
        ("epoch_s", None, "1772366580.25"),
        ("epoch_ms", None, 1772366580250),
        ("epoch_us", None, 1772366580250000),
        ("%Y/%m/%d %H:%M:%S.%f", "Europe/Berlin", "2026/03/01 13:03:00.25"),
        ("%Y/%m/%d %H:%M:%S.%f %z", None, "2026/03/01 14:03:00.25 +0200"),
    ],
)
def test_times_are_read_as_the_spec_says(format_: str, zone: str | None, written: Any) -> None:
    spec = {"path": "at", "format": format_, "zone": zone}
    found = prediction(decision(1, at=written), predictions={"time": spec})
    assert found.event_time.isoformat() == "2026-03-01T12:03:00.250000+00:00"


REFUSALS: list[tuple[dict[str, Any], str]] = [
    (
        {"request": {"uid": 1}},
        "payments/fraud: $.request.id: $.request is an object with uid; "
        "mend the producer or spec.source.predictions.id",
    ),
    (
        {"answer": {"p": None}},
        "payments/fraud: $.answer.p: $.answer.p is null; mend the producer or spec.source.predictions.scores.fraud",
    ),
    (
        {"answer": {"p": "high"}},
        "payments/fraud: $.answer.p: 'high' is no number; mend the producer or spec.source.predictions.scores.fraud",
    ),
    (
        {"answer": {"p": 10**400}},
        f"payments/fraud: $.answer.p: 1{'0' * 79}... does not fit a double; "
        "mend the producer or spec.source.predictions.scores.fraud",
    ),
    (
        {"answer": {"p": 1.5}},
        "payments/fraud: the event that spec.source.predictions makes of the record is not valid: "
        "Expected `float` <= 1.0 - at `$.scores[...]`",
    ),
]


@pytest.mark.parametrize(("given", "said"), REFUSALS)
def test_a_refusal_names_place_value_and_way_out(given: dict[str, Any], said: str) -> None:
    assert refusal(decision(1, **given)) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("yesterday", "$.at: 'yesterday' is no time of the format epoch_ms ("),
        (True, "$.at: True is no time of the format epoch_ms (expected a number)"),
        (10**30, "is no time of the format epoch_ms ("),
        ({"a": 1}, "$.at: {'a': 1} is no time of the format epoch_ms (expected a number)"),
        ([1, 2], "$.at: [1, 2] is no time"),
        ("NaN", "is no time of the format epoch_ms"),
    ],
)
def test_a_time_that_is_none_is_shown(value: Any, said: str) -> None:
    assert said in refusal(decision(1, at=value), predictions={"time": {"path": "at", "format": "epoch_ms"}})


def test_a_feature_that_is_no_longer_declared_is_still_sent_for_windows_that_are_open() -> None:
    before = model().spec
    features = tuple(feature for feature in before.features if feature.name != "country")
    assert before.source is not None
    assert before.source.predictions is not None
    places = {"amount": "answer.ms", "returning": "request.customer.orders[0].paid"}
    part = before.source.predictions.model_copy(update={"features": places})
    after = before.model_copy(
        update={"features": features, "source": before.source.model_copy(update={"predictions": part})}
    )
    (rule, _) = rules_of("payments", "fraud", [before, after])
    (event,) = map_record([rule], Source(decision(1), VERSION)).events
    found = msgspec.json.decode(event.body, type=Prediction)
    assert found.features == {"amount": 3.5, "country": "DE", "returning": True}


def test_a_missing_header_is_named() -> None:
    spec = model().spec
    (refused,) = map_record(rules_of("payments", "fraud", [spec])[:1], Source(decision(1), None)).refused
    assert "header model-version: the record has no such header" in refused.detail


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        (b"\xff\xfe", "undecodable", "not JSON"),
        (b'{"a": NaN}', "undecodable", "not JSON"),
        (b"[1]", "undecodable", "a JSON list, expected an object"),
        (b"[" * 3_000, "undecodable", "not JSON"),
        (b" " * 4_000_001, "too_large", "4000001 bytes, at most 4000000"),
    ],
)
def test_what_is_no_document_is_refused(value: bytes, reason: str, said: str) -> None:
    with pytest.raises(Unmappable) as caught:
        FORMATS.decode("json", "shop.decisions", value)
    assert caught.value.reason == reason
    assert said in caught.value.detail


def test_an_event_that_stage_1_would_refuse_for_its_size_is_refused_here() -> None:
    found = mapped(decision(1, payload={"note": "x" * 600_000}), predictions={"features": "payload"})
    (refused,) = found.refused
    assert refused.reason == "too_large"
