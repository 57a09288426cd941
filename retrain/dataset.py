"""The rows that a fit and a judge may see: served, labelled, as of the offsets that the request names.

What is below the offsets never changes, so the same request gives the same rows in any run and at any later time; in
one total order (event time, prediction id), because the order of rows alone moves a boosted model's probabilities.
Written once, as Parquet bytes that depend on the rows only.
"""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from retrain.fit import LABEL
from schemas.lifecycle import Request
from schemas.spec import FeatureSpec, ModelSpec
from warehouse.client import Warehouse

FEATURE = "feature."
SEGMENT = "segment."
_CLICKHOUSE = {"number": "Float64", "string": "String", "boolean": "Bool"}
_ARROW = {"number": pa.float64(), "string": pa.string(), "boolean": pa.bool_()}

# FINAL first, then the offsets: a replayed row carries the verdict of the checkpoint that decided on it.
# An id stays in its partition, so "earliest" is the smallest (offset, row).
SERVED = """
    SELECT
        prediction_id, `partition`, `offset`, `row`, version, event_time, verdict,
        prediction, score, scores, segments, features, latency_ms
    FROM raw_predictions FINAL
    WHERE namespace = {namespace:String} AND model = {model:String}
        AND verdict != 'duplicate' AND role != 'shadow'
        AND `offset` < transform(`partition`, {partitions:Array(UInt16)}, {predictions:Array(UInt64)}, toUInt64(0))
        AND event_time >= fromUnixTimestamp64Milli({start:Int64}, 'UTC')
        AND event_time < fromUnixTimestamp64Milli({end:Int64}, 'UTC')
    ORDER BY prediction_id, `offset`, `row`
    LIMIT 1 BY prediction_id
"""
"""The first served prediction of each id, as of the offsets, of event time in [``start``, ``end``)."""

LABELS = """
    SELECT prediction_id, event_time, label, positive
    FROM raw_outcomes FINAL
    WHERE namespace = {namespace:String} AND model = {model:String} AND verdict = 'counted'
        AND `offset` < transform(`partition`, {partitions:Array(UInt16)}, {outcomes:Array(UInt64)}, toUInt64(0))
    ORDER BY prediction_id, `offset`, `row`
    LIMIT 1 BY prediction_id
"""
"""The first label of each id, as of the offsets."""

_SQL = f"""
SELECT
    p.prediction_id AS prediction_id, toUnixTimestamp64Milli(p.event_time) AS event_time, p.version AS version,
    p.score AS score, o.positive AS label,
    JSONExtract(p.segments, {{segment_type:String}}) AS segments,
    JSONExtract(p.features, {{feature_type:String}}) AS features
FROM ({SERVED}) AS p
INNER JOIN ({LABELS}) AS o ON o.prediction_id = p.prediction_id
WHERE o.positive IS NOT NULL AND o.event_time < fromUnixTimestamp64Milli({{at:Int64}}, 'UTC')
ORDER BY event_time, prediction_id
"""  # noqa: S608  all parts are ours


def read(warehouse: Warehouse, request: Request, spec: ModelSpec) -> pa.Table:
    """The rows of a request, in order.

    Returns:
        Columns ``prediction_id`` (string), ``event_time`` and ``window_start`` (int64, milliseconds), ``version``
        and ``score`` (of who served), ``label`` (int8, 1 is the positive class), ``segment.<tag>`` (string) and
        ``feature.<name>`` (float64, string or bool; null is missing). The event time is in
        [``history_from``, ``at``), the label's below ``at``, which is as far as the watermarks vouch for; the offsets
        are below ``as_of``.
    """
    found = warehouse.arrow(_SQL, parameters(request, spec)).combine_chunks()
    columns = typed(found, spec)
    return pa.table(columns | {"label": found["label"].cast(pa.int8())})


def parameters(request: Request, spec: ModelSpec) -> dict[str, Any]:
    """Of the queries for a request: whose rows, of what time, as of which offsets, and what is read from their JSON."""
    partitions = sorted(request.as_of, key=int)
    return {
        "namespace": request.namespace,
        "model": request.model,
        "segment_type": _tuple_type([(tag, "String") for tag in spec.segments]),
        "feature_type": _tuple_type([(f.name, _CLICKHOUSE[f.kind]) for f in spec.features]),
        "partitions": [int(p) for p in partitions],
        "predictions": [request.as_of[p][0] for p in partitions],
        "outcomes": [request.as_of[p][1] for p in partitions],
        "start": request.history_from,
        "end": request.at,
        "at": request.at,
    }


def _tuple_type(members: Sequence[tuple[str, str]]) -> str:
    """Type for ``JSONExtract`` of an object: one pass over the text however many members; a missing one is null.

    The first member is never in the data: a tuple needs one even if the spec declares none.
    """
    quoted = [("", "String"), *members]
    escaped = [(name.replace("\\", "\\\\").replace("`", "\\`"), kind) for name, kind in quoted]
    return f"Tuple({', '.join(f'`{name or chr(0xB7)}` Nullable({kind})' for name, kind in escaped)})"


def typed(found: pa.Table, spec: ModelSpec) -> dict[str, Any]:
    """Columns of fixed types, all but the label's, whatever Arrow types the server chose for the same values."""
    grid = spec.grid()
    event_time = found["event_time"].cast(pa.int64()).to_numpy()
    columns: dict[str, Any] = {
        "prediction_id": found["prediction_id"].cast(pa.string()),
        "event_time": event_time,
        "window_start": event_time - (event_time - grid.offset) % grid.width,
        "version": found["version"].cast(pa.string()),
        "score": found["score"].cast(pa.float64()),
    }
    for place, tag in enumerate(spec.segments, start=1):
        columns[SEGMENT + tag] = pc.struct_field(found["segments"], [place]).cast(pa.string())
    for place, feature in enumerate(spec.features, start=1):
        columns[FEATURE + feature.name] = pc.struct_field(found["features"], [place]).cast(_ARROW[feature.kind])
    return columns


def to_parquet(table: pa.Table) -> bytes:
    """Parquet bytes that are a function of the rows (and of the library's version): no time, no host, one chunking."""
    sink = io.BytesIO()
    pq.write_table(
        table.combine_chunks().replace_schema_metadata(None),
        sink,
        row_group_size=128 * 1024,
        version="2.6",
        compression="zstd",
        compression_level=3,
        use_dictionary=True,
        write_statistics=True,
        store_schema=False,
    )
    return sink.getvalue()


def from_parquet(data: bytes) -> pa.Table:
    """Inverse of :func:`to_parquet`."""
    return pq.read_table(io.BytesIO(data), use_threads=False)


def split(table: pa.Table, holdout_from: int) -> tuple[pa.Table, pa.Table]:
    """(training rows, held-out rows): predicted before ``holdout_from``, and from there on. They never meet."""
    before = pc.less(table["event_time"], holdout_from)
    return table.filter(before), table.filter(pc.invert(before))


def features_only(table: pa.Table, features: Sequence[FeatureSpec]) -> pa.Table:
    """What a model may see: its features under their own names, and ``label``."""
    label = table["label"].cast(pa.bool_())
    return pa.table({f.name: table[FEATURE + f.name] for f in features} | {LABEL: label})
