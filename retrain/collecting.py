"""The trainer's answer to a request of reason ``reference``: what normal was, from a model's first rows.

Nothing is fitted. The rows are those of a training (``retrain.dataset``), but with or without a label, and only such as
windows count: a late prediction is in no window.
"""

from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from msgspec.structs import replace

from retrain.baseline import build_reference
from retrain.dataset import FEATURE, LABELS, SEGMENT, SERVED, parameters, to_parquet, typed
from retrain.store import Store
from schemas.events import class_name
from schemas.ids import canonical_json
from schemas.lifecycle import Request
from schemas.models import Reference
from schemas.spec import ModelSpec, milliseconds
from warehouse.client import Warehouse

MOST_ROWS = 1_000_000
"""Of more, every second, third, ... id is taken: by its hash, so that it is the same ids in any run."""

_ROWS = f"""
SELECT
    p.prediction_id AS prediction_id, toUnixTimestamp64Milli(p.event_time) AS event_time, p.version AS version,
    p.score AS score, o.positive AS positive, o.label AS label, p.prediction AS prediction, p.latency_ms AS latency_ms,
    mapKeys(JSONExtract(p.scores, 'Map(String, Float64)')) AS classes,
    mapValues(JSONExtract(p.scores, 'Map(String, Float64)')) AS probabilities,
    JSONExtract(p.segments, {{segment_type:String}}) AS segments,
    JSONExtract(p.features, {{feature_type:String}}) AS features
FROM ({SERVED}) AS p
LEFT JOIN
(
    SELECT * FROM ({LABELS}) WHERE event_time < fromUnixTimestamp64Milli({{at:Int64}}, 'UTC')
) AS o ON o.prediction_id = p.prediction_id
WHERE p.verdict = 'counted' AND sipHash64(p.prediction_id) % {{every:UInt64}} = 0
ORDER BY event_time, prediction_id
SETTINGS join_use_nulls = 1
"""  # noqa: S608  all parts are ours

_COUNT = f"SELECT count() FROM ({SERVED}) WHERE verdict = 'counted'"  # noqa: S608


class NoRows(Exception):
    """There is nothing to make a reference of."""


class Collected(Struct, frozen=True):
    """A reference in the store: the address of its manifest, of its rows, and how many they are."""

    manifest: str
    snapshot: str
    rows: int


def collect(warehouse: Warehouse, store: Store, request: Request, spec: ModelSpec) -> Collected:
    """Make the reference that a request asks for, of rows predicted in [``history_from``, ``holdout_from``).

    Raises:
        NoRows: no prediction was counted in that time.
        ValueError: the rows do not say what the spec needs.
    """
    table, counted = read(warehouse, request, spec)
    reference = build(table, spec, request)
    snapshot = store.put(to_parquet(table))
    files = {"snapshot": snapshot, "reference": store.put(msgspec.json.encode(reference))}
    manifest = {"files": files, "request": request, "rows": len(table), "counted": counted}
    return Collected(store.put(canonical_json(manifest)), snapshot, len(table))


def read(warehouse: Warehouse, request: Request, spec: ModelSpec) -> tuple[pa.Table, int]:
    """The rows that a request asks for, at most :data:`MOST_ROWS` of them, and how many were counted.

    Raises:
        NoRows: no prediction was counted in that time.
        ValueError: raw rows of this model keep no features.
    """
    if not spec.raw.features:
        raise ValueError(
            "raw rows of this model keep no features (raw.features: false), so a reference cannot be collected from "
            "them; give it one with driftline model register"
        )
    given = parameters(request, spec) | {"end": request.holdout_from}
    ((counted,),) = warehouse.rows(_COUNT, given)
    found = warehouse.arrow(_ROWS, given | {"every": max(1, -(-int(counted) // MOST_ROWS))})
    if not len(found):
        raise NoRows("no prediction was counted in the time that the reference was asked for")
    return _typed(found.combine_chunks(), spec), int(counted)


def build(table: pa.Table, spec: ModelSpec, request: Request) -> Reference:
    """The reference of collected rows.

    Labels count for windows only whose labels are mature at ``request.at``: of a later window the quick labels have
    come, and they are not like the others. The reference ends where it was asked to, also when nothing was predicted
    towards the end (at night, on a Sunday): whoever asked knows its answer by that.
    """
    mature = request.at - milliseconds(spec.windows.label_maturity)
    start = table["window_start"]
    label = pc.if_else(pc.less_equal(start, mature - spec.grid().width), table["label"], pa.scalar(None, pa.string()))
    scores = {name: table[name] for name in table.column_names if name.startswith(_SCORE)}
    prediction = table["prediction"]
    if spec.task == "regression":
        prediction, label = prediction.cast(pa.float64()), label.cast(pa.float64())
    elif spec.task == "multiclass":
        prediction, label = _classes(prediction, spec.classes), _classes(label, spec.classes)
    found = build_reference(
        spec,
        event_time=table["event_time"].to_numpy(),
        features={feature.name: table[FEATURE + feature.name] for feature in spec.features},
        segments={tag: table[SEGMENT + tag] for tag in spec.segments},
        prediction=prediction,
        scores={name.removeprefix(_SCORE): column for name, column in scores.items()},
        label=label,
        latency_ms=table["latency_ms"],
    )
    return replace(found, end=request.holdout_from)


_SCORE = "score."


def _typed(found: pa.Table, spec: ModelSpec) -> pa.Table:
    """Rows with columns ``label`` and ``prediction`` (text), ``latency_ms``, and ``score.<class>``."""
    columns: dict[str, Any] = typed(found, spec)
    columns["prediction"] = found["prediction"].cast(pa.string())
    columns["latency_ms"] = found["latency_ms"].cast(pa.float64())
    label = found["label"].cast(pa.string())
    if spec.task == "binary":
        # Labels may be 0, 1, true or the name of a class: what they mean is decided already.
        positive = found["positive"].cast(pa.int8())
        label = pc.if_else(pc.is_null(positive), None, pc.if_else(pc.equal(positive, 1), spec.positive_class, "0"))
        columns[_SCORE + spec.positive_class] = found["score"].cast(pa.float64())
    elif spec.task == "multiclass":
        columns |= _probabilities(found, spec.classes)
    columns["label"] = label
    return pa.table(columns)


def _classes(column: pa.Array, classes: tuple[str, ...]) -> pa.Array:
    """Names of classes from what raw rows have of them: a class 3 may have been sent as the number 3.0."""
    names = {text: text if text in classes else _of_number(text) for text in pc.unique(column).to_pylist() if text}
    return pa.array([names.get(text) for text in column.to_pylist()], pa.string())


def _of_number(text: str) -> str:
    try:
        return class_name(float(text))
    except ValueError:
        return text


def _probabilities(found: pa.Table, classes: tuple[str, ...]) -> dict[str, pa.Array]:
    """Class -> its probability in every row, null in a row that has none; nothing when no row has any."""
    pairs = zip(found["classes"].to_pylist(), found["probabilities"].to_pylist(), strict=True)
    rows = [dict(zip(names, values, strict=True)) for names, values in pairs]
    if not any(rows):
        return {}
    return {_SCORE + name: pa.array([row.get(name) for row in rows], pa.float64()) for name in classes}
