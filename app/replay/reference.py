"""The reference of a replay, from rows of a table."""

from app.table import Predictions
from retrain.baseline import build_reference
from schemas.models import Reference
from schemas.spec import ModelSpec


def build(spec: ModelSpec, table: Predictions, rows: int) -> Reference:
    """What was normal in the first ``rows`` rows."""
    return build_reference(
        spec,
        event_time=table.event_time[:rows],
        features={name: column.slice(0, rows) for name, column in table.features.items()},
        segments={name: column.slice(0, rows) for name, column in table.segments.items()},
        prediction=None if table.prediction is None else table.prediction.slice(0, rows),
        scores={name: column.slice(0, rows) for name, column in table.scores.items()},
        label=None if table.label is None else table.label.slice(0, rows),
        latency_ms=None if table.latency_ms is None else table.latency_ms.slice(0, rows),
    )
