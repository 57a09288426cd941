"""Models of every task, and the law of the native decoder: what it says, the careful decoder says too, bit for bit."""

import struct
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
from driftline_native import Decoder, Outcomes, Plan, Predictions

from detectors.sketch import encode
from schemas.events import FeatureValue, Outcome, Prediction, SourceTopic, class_name, record_key
from schemas.models import ModelRecord
from schemas.spec import FeatureSpec, ModelSpec, WindowSpec
from streams.aggregate.accept import Accepted, accept
from streams.aggregate.decode import Record, Refused
from streams.aggregate.models import Generation, Models
from streams.aggregate.routing import partitions_of

CATEGORIES = {"origin": ("EWR", "JFK", "Nürnberg", ""), "wet": ("false", "true"), "half": ("true",)}
ROLES = ("champion", "canary", "shadow")
LONG_AFTER = 10**15
"""A broker's timestamp from which no event is in the future: that is judged later, by whoever has the record."""

_FEATURES = [
    FeatureSpec(name="x", kind="number"),
    FeatureSpec(name="höhe", kind="number"),
    FeatureSpec(name='quo"ted', kind="number"),
    FeatureSpec(name="origin", kind="string"),
    FeatureSpec(name="wet", kind="boolean"),
    FeatureSpec(name="half", kind="boolean"),
]
_WINDOWS = WindowSpec(label_horizon=timedelta(days=3), max_age=timedelta(milliseconds=LONG_AFTER))
_SPECS = {
    "delay": ModelSpec(
        positive_class="late", features=tuple(_FEATURES), segments=("origin", "cabin"), windows=_WINDOWS
    ),
    "animal": ModelSpec(
        task="multiclass", classes=("cat", "3", "true"), features=tuple(_FEATURES[:4]), windows=_WINDOWS
    ),
    "price": ModelSpec(task="regression", features=tuple(_FEATURES[:1]), segments=("origin",), windows=_WINDOWS),
}
_texts = msgspec.json.Decoder(dict[str, FeatureValue])


def _models() -> Models:
    models = Models()
    for name, spec in _SPECS.items():
        models.learn(ModelRecord("demo", name, 1, 0, spec.model_dump(mode="json"), None, "test"))
    return models


MODELS = _models()


def plan(generation: Generation) -> Plan:
    """The plan of a model with one generation."""
    spec = generation.spec
    return Plan(
        generation.record.namespace,
        generation.record.model,
        tuple(feature.name for feature in spec.features if feature.kind == "number"),
        tuple((f.name, f.kind, CATEGORIES[f.name]) for f in spec.features if f.kind != "number"),
        spec.segments,
        spec.task,
        (spec.positive_class,) if spec.task == "binary" else spec.classes,
    )


PLANS = [plan(MODELS.generations(key)[0]) for key in MODELS.names()]


def careful(topic: SourceTopic, value: bytes) -> Accepted | None:
    """What the careful decoder accepts; None: a dead letter, or a progress record."""
    try:
        item = accept(Record(topic, 0, 0, LONG_AFTER, value), MODELS)
    except Refused:
        return None
    return item if isinstance(item, Accepted) else None


def check(decoder: Decoder, topic: SourceTopic, values: Sequence[bytes | None]) -> list[int]:
    """Decode a batch both ways and compare every row that the native decoder is sure of; which ones these are."""
    batch = getattr(decoder, topic)(values, True)
    places = np.frombuffer(batch.model, np.int32)
    assert len(places) == len(values)
    sure: list[int] = np.flatnonzero(places >= 0).tolist()
    assert (np.diff(np.frombuffer(batch.keys[0], np.int32)) > 0).tolist() == (places >= 0).tolist()
    for offsets, _ in batch.texts.values():
        assert not np.diff(np.frombuffer(offsets, np.int32))[places < 0].any()
    for row in sure:
        value = values[row]
        assert value is not None
        item = careful(topic, value)
        assert item is not None, (topic, value)
        said = _prediction(decoder, batch, row) if topic == "predictions" else _outcome(batch, row)
        assert said == _expected(item), value
    return sure


def _bits(number: float | None) -> bytes | None:
    """A number that is equal to its like only, -0.0 to -0.0; null as NaN or None."""
    return None if number is None or np.isnan(number) else struct.pack("<d", number)


def _text(batch: Predictions | Outcomes, name: str, row: int) -> str:
    return _part(batch.texts[name], row).decode()


def _part(texts: tuple[bytearray, bytearray], row: int) -> bytes:
    offsets, data = texts
    start, end = np.frombuffer(offsets, np.int32)[row : row + 2].tolist()
    return bytes(data[start:end])


def _common(batch: Predictions | Outcomes, row: int) -> dict[str, Any]:
    key, partitions = _part(batch.keys, row), 1_009
    hashed = int(np.frombuffer(batch.hash, np.uint32)[row])
    assert hashed < 2**31
    assert hashed % partitions == partitions_of([key], partitions)[0]
    return {
        "model": int(np.frombuffer(batch.model, np.int32)[row]),
        "event_time": int(np.frombuffer(batch.event_time, np.int64)[row]),
        "key": key,
        "prediction_id": _text(batch, "prediction_id", row),
    }


def _prediction(decoder: Decoder, batch: Predictions, row: int) -> dict[str, Any]:
    common = _common(batch, row)
    planned = PLANS[common["model"]]
    rows, numbers, codes, scores = batch.blocks[common["model"]]
    at = np.flatnonzero(np.frombuffer(rows, np.int32) == row)
    assert len(at) == 1
    shaped = {
        "numbers": np.frombuffer(numbers).reshape(-1, len(planned.numbers))[at[0]].tolist(),
        "probabilities": np.frombuffer(scores).reshape(-1, len(planned.classes) or 1)[at[0]].tolist() if scores else [],
    }
    return common | {
        "version": decoder.versions[np.frombuffer(batch.version, np.int32)[row]],
        "role": ROLES[np.frombuffer(batch.role, np.int8)[row]],
        "segments": decoder.segments[np.frombuffer(batch.segment, np.int32)[row]],
        "score": _bits(np.frombuffer(batch.score)[row]),
        "place": int(np.frombuffer(batch.place, np.int32)[row]),
        "latency": _bits(np.frombuffer(batch.latency)[row]),
        **{name: [_bits(number) for number in column] for name, column in shaped.items()},
        "codes": np.frombuffer(codes, np.int32).reshape(-1, len(planned.categories) or 1)[at[0]].tolist()
        if codes
        else [],
        "prediction": _text(batch, "prediction", row),
        "features": _texts.decode(_text(batch, "features", row)),
        "scores": _texts.decode(_text(batch, "scores", row)),
        "tags": _texts.decode(_text(batch, "segments", row)),
    }


def _outcome(batch: Outcomes, row: int) -> dict[str, Any]:
    target = _bits(np.frombuffer(batch.target)[row])
    return _common(batch, row) | {"target": target, "label": _text(batch, "label", row)}


def _expected(item: Accepted) -> dict[str, Any]:
    event = item.event
    common: dict[str, Any] = {
        "model": MODELS.names().index(item.key),
        "event_time": item.event_time,
        "key": record_key(event),
        "prediction_id": event.prediction_id,
    }
    if isinstance(event, Outcome):
        return common | {"target": _bits(item.target), "label": class_name(event.label)}
    assert isinstance(event, Prediction)
    planned = PLANS[common["model"]]
    choice, multiclass = item.choice, planned.task == "multiclass"
    return common | {
        "version": event.version,
        "role": event.role,
        "segments": item.segments,
        "score": _bits(item.score),
        "place": choice.predicted if choice else -1,
        "latency": _bits(event.latency_ms),
        "numbers": [_bits(event.features.get(name)) for name in planned.numbers],  # type: ignore[arg-type]
        "probabilities": [_bits(event.scores.get(name)) for name in planned.classes] if multiclass else [],
        "codes": [
            int(encode([event.features.get(name)], known)[0])  # type: ignore[list-item]
            for name, _, known in planned.categories
        ],
        "prediction": "" if event.prediction is None else class_name(event.prediction),
        "features": event.features,
        "scores": event.scores,
        "tags": event.segments,
    }


def decoder() -> Decoder:
    """A decoder of the world's models."""
    return Decoder(PLANS)
