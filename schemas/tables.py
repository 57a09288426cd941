"""Every ClickHouse table that driftline writes: columns and types, in order. A test holds them to the migrations."""

from msgspec import Struct


class Table(Struct, frozen=True):
    """A table and its columns (name -> ClickHouse type, in the order of an insert)."""

    name: str
    columns: dict[str, str]


RAW_PREDICTIONS = Table(
    "raw_predictions",
    {
        "namespace": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "prediction_id": "String",
        "version": "LowCardinality(String)",
        "partition": "UInt16",
        "offset": "UInt64",
        "row": "UInt32",
        "log_ts": "DateTime64(3, 'UTC')",
        "event_time": "DateTime64(3, 'UTC')",
        "role": "LowCardinality(String)",
        "prediction": "String",
        "score": "Nullable(Float64)",
        "scores": "String",
        "features": "String",
        "segments": "String",
        "latency_ms": "Nullable(Float64)",
        "verdict": "Enum8('counted' = 1, 'late' = 2, 'duplicate' = 3)",
        "generation": "UInt32",
        "seq": "UInt64",
        "ttl_days": "UInt16",
    },
)

RAW_OUTCOMES = Table(
    "raw_outcomes",
    {
        "namespace": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "prediction_id": "String",
        "partition": "UInt16",
        "offset": "UInt64",
        "row": "UInt32",
        "log_ts": "DateTime64(3, 'UTC')",
        "event_time": "DateTime64(3, 'UTC')",
        "label": "String",
        "positive": "Nullable(UInt8)",
        "value": "Nullable(Float64)",
        "verdict": "Enum8('counted' = 1, 'late' = 2, 'duplicate' = 3, 'correction' = 4)",
        "seq": "UInt64",
        "ttl_days": "UInt16",
    },
)

DEAD_LETTERS = Table(
    "dead_letters",
    {
        "topic": "LowCardinality(String)",
        "partition": "UInt16",
        "offset": "UInt64",
        "row": "UInt32",
        "log_ts": "DateTime64(3, 'UTC')",
        "reason": "LowCardinality(String)",
        "detail": "String",
        "original": "String",
        "key": "Nullable(String)",
        "headers": "String",
    },
)

DEAD_LETTER_REPLAYS = Table(
    "dead_letter_replays",
    {
        "topic": "LowCardinality(String)",
        "partition": "UInt16",
        "offset": "UInt64",
        "row": "UInt32",
        "new_partition": "UInt16",
        "new_offset": "UInt64",
        "replayed_at": "DateTime64(3, 'UTC')",
    },
)

REDO = Table(
    "redo",
    {
        "partition": "UInt16",
        "seq": "UInt64",
        "owner": "String",
        "body": "String",
    },
)

PARTIALS = Table(
    "partials",
    {
        "namespace": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "generation": "UInt32",
        "view": "LowCardinality(String)",
        "version": "LowCardinality(String)",
        "segment": "LowCardinality(String)",
        "window_start": "DateTime64(3, 'UTC')",
        "name": "LowCardinality(String)",
        "partition": "UInt16",
        "n": "UInt64",
        "nulls": "UInt64",
        "outside": "UInt64",
        "sums": "Array(Int128)",
        "minimum": "Nullable(Float64)",
        "maximum": "Nullable(Float64)",
        "counts": "Array(UInt64)",
        "seq": "UInt64",
    },
)

PARTIAL_MESSAGES = Table(
    "partial_messages",
    {
        "namespace": "String",
        "model": "String",
        "partition": "UInt16",
        "seq": "UInt64",
        "sketches": "Array(Tuple(generation UInt32, view String, version String, segment String, window_start Int64, "
        "name String, n UInt64, nulls UInt64, outside UInt64, sums Array(Int128), minimum Nullable(Float64), "
        "maximum Nullable(Float64), counts Array(UInt64)))",
    },
)
"""Keeps nothing: ClickHouse itself writes ``partials`` from inserts into it. Columns are as in ``PartialMessage``."""

CHECKPOINTS = Table(
    "checkpoints",
    {
        "partition": "UInt16",
        "seq": "UInt64",
        "owner": "String",
        "predictions_offset": "UInt64",
        "outcomes_offset": "UInt64",
        "watermarks": "String",
        "adoptions": "String",
    },
)

HEADS = Table("heads", CHECKPOINTS.columns)
"""Written by ClickHouse itself, from inserts into ``checkpoints``."""

REPORTS = Table(
    "reports",
    {
        "namespace": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "at": "DateTime64(3, 'UTC')",
        "body": "String",
        "state": "String",
    },
)

METRICS = Table(
    "metrics",
    {
        "namespace": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "generation": "UInt32",
        "window_start": "DateTime64(3, 'UTC')",
        "view": "LowCardinality(String)",
        "version": "LowCardinality(String)",
        "segment": "LowCardinality(String)",
        "name": "LowCardinality(String)",
        "metric": "LowCardinality(String)",
        "value": "Nullable(Float64)",
        "n": "UInt64",
        "coverage": "Nullable(Float64)",
        "revision": "UInt64",
    },
)

INCIDENTS = Table(
    "incidents",
    {
        "namespace": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "id": "String",
        "opened": "DateTime64(3, 'UTC')",
        "updated": "DateTime64(3, 'UTC')",
        "changed": "DateTime64(3, 'UTC')",
        "state": "Enum8('open' = 1, 'resolved' = 2)",
        "severity": "LowCardinality(String)",
        "team": "LowCardinality(String)",
        "summary": "String",
        "conditions": "UInt32",
        "text": "String",
        "body": "String",
        "revision": "UInt64",
    },
)

INCIDENT_ACTIONS = Table(
    "incident_actions",
    {
        "namespace": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "incident_id": "String",
        "id": "String",
        "action": "LowCardinality(String)",
        "by": "String",
        "note": "String",
        "until": "DateTime64(3, 'UTC')",
        "at": "DateTime64(3, 'UTC')",
    },
)

ROLLOUTS = Table(
    "rollouts",
    {
        "namespace": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "at": "DateTime64(3, 'UTC')",
        "body": "String",
        "state": "String",
    },
)

PAIRED_WINDOWS = Table(
    "paired_windows",
    {
        "namespace": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "window_start": "DateTime64(3, 'UTC')",
        "challenger": "LowCardinality(String)",
        "champion": "LowCardinality(String)",
        "n": "UInt64",
        "difference": "Nullable(Float64)",
        "e_better": "Float64",
        "e_worse": "Float64",
        "clipped": "Float64",
    },
)

AUDIT = Table(
    "audit",
    {
        "namespace": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "kind": "LowCardinality(String)",
        "id": "String",
        "cause_id": "String",
        "version": "LowCardinality(String)",
        "at": "DateTime64(3, 'UTC')",
        "body": "String",
    },
)

DELIVERIES = Table(
    "deliveries",
    {
        "namespace": "LowCardinality(String)",
        "model": "LowCardinality(String)",
        "incident_id": "String",
        "channel": "LowCardinality(String)",
        "event": "LowCardinality(String)",
        "key": "String",
        "state": "LowCardinality(String)",
        "attempts": "UInt32",
        "at": "DateTime64(3, 'UTC')",
        "error": "String",
    },
)

SOURCE_TOPICS = Table(
    "source_topics",
    {"topic": "String", "id": "String", "partitions": "UInt16", "accepted_at": "DateTime64(3, 'UTC')"},
)

BREAKERS = Table(
    "breakers",
    {
        "topic": "LowCardinality(String)",
        "state": "LowCardinality(String)",
        "why": "String",
        "at": "DateTime64(3, 'UTC')",
    },
)

TABLES: tuple[Table, ...] = (
    RAW_PREDICTIONS,
    RAW_OUTCOMES,
    DEAD_LETTERS,
    DEAD_LETTER_REPLAYS,
    REDO,
    PARTIALS,
    PARTIAL_MESSAGES,
    CHECKPOINTS,
    HEADS,
    REPORTS,
    METRICS,
    INCIDENTS,
    INCIDENT_ACTIONS,
    ROLLOUTS,
    PAIRED_WINDOWS,
    AUDIT,
    DELIVERIES,
    SOURCE_TOPICS,
    BREAKERS,
)
