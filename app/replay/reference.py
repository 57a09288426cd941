"""The reference of a replay, from rows of a table."""

import numpy as np
import pyarrow as pa

from app.table import Predictions
from retrain import baseline
from schemas.models import Reference
from schemas.spec import ModelSpec


def build(spec: ModelSpec, table: Predictions, rows: int) -> Reference:
    """What was normal in the first ``rows`` rows."""
    grid = spec.grid()
    labels = [None] * rows if table.label is None else table.label.slice(0, rows).to_pylist()
    columns = {"window_start": pa.array([grid.start(int(at)) for at in table.event_time[:rows]])}
    for name, column in table.features.items():
        columns["feature." + name] = column.slice(0, rows)
    for name, column in table.segments.items():
        columns["segment." + name] = column.slice(0, rows)
    columns["label"] = pa.array([label in (1, spec.positive_class) for label in labels])
    keep = pa.array(np.array([label is not None for label in labels]))
    scores = table.scores[spec.positive_class].slice(0, rows).filter(keep).to_numpy()
    return baseline.build(pa.table(columns).filter(keep), spec, scores)
