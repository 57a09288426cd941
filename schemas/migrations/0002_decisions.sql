-- Decisions: what stage 2 and the rollout found, one row per decided instant; each row is also the outbox of its messages.

CREATE TABLE IF NOT EXISTS reports
(
    namespace  LowCardinality(String),
    model      LowCardinality(String),
    `at`       DateTime64(3, 'UTC') COMMENT 'end of the decided window',
    body       String COMMENT 'JSON of schemas.lifecycle.Report',
    state      String COMMENT 'JSON: the decider''s state after it',
    window_start DateTime64(3, 'UTC') MATERIALIZED fromUnixTimestamp64Milli(JSONExtractInt(body, 'window_start'), 'UTC'),
    generation UInt32 MATERIALIZED JSONExtractUInt(body, 'generation') COMMENT 'of spec and reference',
    counted    UInt64 MATERIALIZED JSONExtractUInt(body, 'counted') COMMENT 'predictions of the window, not a shadow''s'
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, model, `at`)
COMMENT 'What the monitor decided at the end of each window; the outbox of its messages';

-- One number per row. `revision` grows when late labels land; closed windows of features never change.
CREATE TABLE IF NOT EXISTS metrics
(
    namespace     LowCardinality(String),
    model         LowCardinality(String),
    generation    UInt32,
    window_start  DateTime64(3, 'UTC'),
    view          LowCardinality(String) COMMENT 'feature, quality, score, latency, performance (revised), tested (once)',
    version       LowCardinality(String),
    segment       LowCardinality(String) COMMENT 'empty: all rows; else tag=value',
    name          LowCardinality(String) COMMENT 'the feature; empty for the rest',
    metric        LowCardinality(String) COMMENT 'what was measured',
    value         Nullable(Float64) COMMENT 'null: insufficient data',
    n             UInt64 COMMENT 'rows, or pairs for performance',
    coverage      Nullable(Float64) COMMENT 'pairs / counted predictions',
    revision      UInt64 COMMENT 'the larger number wins'
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (namespace, model, view, metric, version, segment, name, window_start, generation)
COMMENT 'One number of a window per row';

CREATE TABLE IF NOT EXISTS incidents
(
    namespace  LowCardinality(String),
    model      LowCardinality(String),
    id         String,
    opened     DateTime64(3, 'UTC') COMMENT 'end of the window that opened it',
    updated    DateTime64(3, 'UTC') COMMENT 'end of the last window that it was looked at',
    changed    DateTime64(3, 'UTC') COMMENT 'opened, resolved, more severe, or a new condition',
    state      Enum8('open' = 1, 'resolved' = 2) COMMENT 'as the monitor decided; acknowledgements are in incident_list',
    severity   LowCardinality(String) COMMENT 'critical or warning: the worst of its conditions',
    team       LowCardinality(String) COMMENT 'who is called',
    summary    String COMMENT 'what moved, in one line',
    conditions UInt32 COMMENT 'how many conditions it has seen',
    `text`     String COMMENT 'all that a person needs at night',
    body       String COMMENT 'JSON of schemas.lifecycle.Incident',
    revision   UInt64 COMMENT 'the larger number wins'
)
ENGINE = ReplacingMergeTree(revision)
ORDER BY (namespace, model, id)
COMMENT 'Incidents as the monitor knows them, one row each';

CREATE TABLE IF NOT EXISTS rollouts
(
    namespace  LowCardinality(String),
    model      LowCardinality(String),
    `at`       DateTime64(3, 'UTC') COMMENT 'decided through',
    body       String COMMENT 'JSON of schemas.lifecycle.Rollout',
    state      String COMMENT 'JSON: the state machine''s state after it'
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, model, `at`)
COMMENT 'Who serves and who shadows, after each decided instant';

-- Observations of the gate: one per window of a pair of versions.
CREATE TABLE IF NOT EXISTS paired_windows
(
    namespace     LowCardinality(String),
    model         LowCardinality(String),
    window_start  DateTime64(3, 'UTC'),
    challenger    LowCardinality(String),
    champion      LowCardinality(String),
    n             UInt64 COMMENT 'predictions that both answered and that have a label',
    difference    Nullable(Float64) COMMENT 'mean Brier of the challenger minus that of the champion',
    e_better      Float64 COMMENT 'evidence so far that the challenger is better than the margin',
    e_worse       Float64 COMMENT 'evidence so far that the challenger is worse',
    clipped       Float64 COMMENT 'share of windows clipped so far'
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, model, challenger, champion, window_start)
COMMENT 'Observations of the gate: one per window of a pair of versions';

CREATE TABLE IF NOT EXISTS audit
(
    namespace  LowCardinality(String),
    model      LowCardinality(String),
    kind       LowCardinality(String) COMMENT 'registration, generation, incident, request, snapshot, candidate, verdict, rollout',
    id         String,
    cause_id   String,
    version    LowCardinality(String),
    `at`       DateTime64(3, 'UTC') COMMENT 'event time of the evidence',
    body       String COMMENT 'JSON of the record'
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, model, kind, id)
COMMENT 'Every incident, request, snapshot, candidate, verdict and roll-out step, each with its cause';
