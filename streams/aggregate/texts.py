"""What raw rows keep in words, of events that were read the careful way."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa

from schemas.events import Label, Outcome, Prediction, class_name
from streams.aggregate.accept import Accepted


def prediction_texts(items: Sequence[Accepted]) -> dict[str, pa.Array]:
    """Columns ``prediction_id``, ``prediction``, ``scores``, ``features`` and ``segments`` of raw_predictions."""
    events = [item.event for item in items if isinstance(item.event, Prediction)]
    return {
        "prediction_id": pa.array([event.prediction_id for event in events], pa.string()),
        "prediction": pa.array([_text(event.prediction) for event in events], pa.string()),
        "scores": pa.array([_json(event.scores) for event in events], pa.string()),
        "features": pa.array([_json(event.features) for event in events], pa.string()),
        "segments": pa.array([_json(event.segments) for event in events], pa.string()),
    }


def outcome_texts(items: Sequence[Accepted]) -> dict[str, pa.Array]:
    """Columns ``prediction_id`` and ``label`` of raw_outcomes."""
    events = [item.event for item in items if isinstance(item.event, Outcome)]
    return {
        "prediction_id": pa.array([event.prediction_id for event in events], pa.string()),
        "label": pa.array([_text(event.label) for event in events], pa.string()),
    }


def _text(value: Label | None) -> str:
    """A prediction or a label as people write it: ``late``, ``true``, ``1``."""
    return "" if value is None else class_name(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
