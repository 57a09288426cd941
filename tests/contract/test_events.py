"""Golden messages: what services may send, what they may not, and the reason that they are then given.

Each message is judged twice, by the aggregator and by the decoder of ``driftline reconcile``, which share no code.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import recount
from schemas.events import CE_TYPES, SOURCE_EVENTS, Outcome, Prediction, Progress, encode, record_key
from schemas.models import ModelRecord
from schemas.windows import from_ms
from streams.aggregate.accept import accept
from streams.aggregate.decode import Record, Refused, decode
from streams.aggregate.models import Models

GOLDEN = Path(__file__).parent / "golden"
MODEL = msgspec.json.decode((GOLDEN / "model.json").read_bytes(), type=ModelRecord)
LOG_TS = 1_359_698_400_000
"""The broker's timestamp of every golden message: 2013-02-01T06:00:00Z."""


def messages() -> list[Any]:
    """(topic, message) of every golden message; progress records go to both topics."""
    return [
        pytest.param(topic, message, id=f"{topic}: {path.stem}: {message['name']}")
        for path in (GOLDEN / "predictions.json", GOLDEN / "outcomes.json", GOLDEN / "progress.json")
        for topic in (("predictions", "outcomes") if path.stem == "progress" else (path.stem,))
        for message in json.loads(path.read_text())
    ]


def body(message: dict[str, Any]) -> bytes:
    if "hex" in message:
        return bytes.fromhex(message["hex"])
    return str(message["text"]).encode() if "text" in message else json.dumps(message["value"]).encode()


def headers(message: dict[str, Any]) -> list[tuple[str, bytes | None]] | None:
    return [(name, value.encode()) for name, value in message["headers"].items()] if "headers" in message else None


@pytest.mark.parametrize(("topic", "message"), messages())
def test_the_aggregator_gives_the_expected_reason(topic: Any, message: dict[str, Any]) -> None:
    models = Models()
    models.learn(MODEL)
    record = Record(topic, 0, 0, LOG_TS, body(message), headers(message))
    if "reason" not in message:
        accept(record, models)
        return
    with pytest.raises(Refused) as refused:
        accept(record, models)
    assert refused.value.reason == message["reason"]
    assert message.get("detail", "") in refused.value.detail


@pytest.mark.parametrize(("topic", "message"), messages())
def test_the_second_decoder_agrees(topic: str, message: dict[str, Any]) -> None:
    count = recount.Recount([MODEL])
    count.record((topic, 0), recount.Row(0), LOG_TS, value=body(message), headers=headers(message))
    assert bool(count.dead) == ("reason" in message)


@pytest.mark.parametrize("topic", sorted(SOURCE_EVENTS))
def test_more_than_half_a_megabyte_is_too_large(topic: Any) -> None:
    value = b'{"a": "' + b"x" * 500_000 + b'"}'
    with pytest.raises(Refused, match="too_large"):
        decode(Record(topic, 0, 0, LOG_TS, value))
    with pytest.raises(recount.Dead, match="too_large"):
        recount.decode(topic, value, None)


names = st.text(min_size=1, max_size=20)
instants = st.integers(0, 4_000_000_000_000).map(from_ms)
numbers = st.floats(allow_nan=False, allow_infinity=False)
predictions = st.builds(
    Prediction,
    namespace=names,
    model=names,
    version=names,
    prediction_id=names,
    event_time=instants,
    features=st.dictionaries(names, st.none() | st.booleans() | numbers | st.text(max_size=9), max_size=4),
    prediction=st.none() | st.booleans() | numbers | st.text(max_size=9),
    scores=st.dictionaries(names, st.floats(0, 1), max_size=3),
    latency_ms=st.none() | st.floats(0, 1e6),
    segments=st.dictionaries(names, st.text(max_size=9), max_size=2),
    role=st.sampled_from(["champion", "canary", "shadow"]),
)
outcomes = st.builds(
    Outcome, namespace=names, model=names, prediction_id=names, event_time=instants,
    label=st.booleans() | numbers | st.text(max_size=9),
)  # fmt: skip
progress = st.builds(Progress, namespace=names, model=names, event_time=instants)


@given(event=predictions | outcomes | progress, promise=st.booleans())
def test_every_event_survives_the_wire(event: Prediction | Outcome | Progress, promise: bool) -> None:
    topic: Any = "outcomes" if isinstance(event, Outcome) else "predictions"
    name = next(name for name, kind in CE_TYPES.items() if kind is type(event))
    sent: list[tuple[str, bytes | None]] | None = (
        [("ce_specversion", b"1.0"), ("ce_type", name.encode())] if promise else None
    )
    value = encode(event)
    assert decode(Record(topic, 0, 0, LOG_TS, value, sent)) == event
    again = recount.decode(topic, value, sent)
    assert from_ms(again.event_time) == event.event_time
    assert again.kind == name.split(".")[2]


@given(prediction=predictions, outcome=outcomes)
def test_an_outcome_has_the_key_of_its_prediction(prediction: Prediction, outcome: Outcome) -> None:
    same = msgspec.structs.replace(outcome, prediction_id=prediction.prediction_id)
    same = msgspec.structs.replace(same, namespace=prediction.namespace, model=prediction.model)
    whose = f"{prediction.namespace}/{prediction.model}"
    assert record_key(prediction) == record_key(same) == f"{whose}/{prediction.prediction_id}".encode()
