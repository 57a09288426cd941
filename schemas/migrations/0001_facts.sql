-- Facts and the counting protocol. Every table is ReplacingMergeTree ordered by the full identity of a row: an insert may
-- be repeated any number of times, by anybody. Read through the views of 0003, which hide FINAL.

-- One prediction as it is in the log, with the verdict of the checkpoint `seq` that first decided on it.
CREATE TABLE IF NOT EXISTS raw_predictions
(
    namespace      LowCardinality(String),
    model          LowCardinality(String),
    prediction_id  String,
    version        LowCardinality(String),
    `partition`    UInt16,
    `offset`       UInt64,
    log_ts         DateTime64(3, 'UTC') COMMENT 'the broker''s timestamp',
    event_time     DateTime64(3, 'UTC'),
    role           LowCardinality(String) COMMENT 'champion, canary or shadow',
    prediction     String COMMENT 'what was answered, as text',
    score          Nullable(Float64) COMMENT 'probability of the positive class, or of the predicted one; regression: the prediction',
    scores         String COMMENT 'JSON: class -> probability',
    features       String COMMENT 'JSON: name -> number, string, boolean or null',
    segments       String COMMENT 'JSON: tag -> value',
    latency_ms     Nullable(Float64) COMMENT 'as the service measured it',
    verdict        Enum8('counted' = 1, 'late' = 2, 'duplicate' = 3)
        COMMENT 'late: its window had closed; duplicate: its id was seen before',
    generation     UInt32 COMMENT 'of spec and reference',
    seq            UInt64 COMMENT 'checkpoint of the partition; the larger number wins',
    ttl_days       UInt16 COMMENT 'raw.ttl of the spec',
    written_at     DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree(seq)
PARTITION BY toYYYYMMDD(log_ts)
ORDER BY (namespace, model, prediction_id, version, `partition`, `offset`)
TTL written_at + toIntervalDay(ttl_days)
COMMENT 'Every prediction as it is in the log, with the verdict on it';

CREATE TABLE IF NOT EXISTS raw_outcomes
(
    namespace      LowCardinality(String),
    model          LowCardinality(String),
    prediction_id  String,
    `partition`    UInt16,
    `offset`       UInt64,
    log_ts         DateTime64(3, 'UTC') COMMENT 'the broker''s timestamp',
    event_time     DateTime64(3, 'UTC'),
    label          String COMMENT 'what came of it, as text',
    positive       Nullable(UInt8) COMMENT 'task binary: 1 when label is the positive class',
    value          Nullable(Float64) COMMENT 'task regression: the label as a number',
    verdict        Enum8('counted' = 1, 'late' = 2, 'duplicate' = 3, 'correction' = 4)
        COMMENT 'counted: the first of its id; duplicate: said again; correction: said again, and differently',
    seq            UInt64 COMMENT 'checkpoint of the partition; the larger number wins',
    ttl_days       UInt16 COMMENT 'raw.ttl of the spec',
    written_at     DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree(seq)
PARTITION BY toYYYYMMDD(log_ts)
ORDER BY (namespace, model, prediction_id, `partition`, `offset`)
TTL written_at + toIntervalDay(ttl_days)
COMMENT 'Every outcome as it is in the log, with the verdict on it';

-- Events that can never be processed, with the reason and the original bytes.
CREATE TABLE IF NOT EXISTS dead_letters
(
    topic        LowCardinality(String) COMMENT 'predictions or outcomes',
    `partition`  UInt16,
    `offset`     UInt64,
    log_ts       DateTime64(3, 'UTC'),
    reason       LowCardinality(String) COMMENT 'one word',
    detail       String COMMENT 'place, value and what is valid',
    original     String COMMENT 'base64 of the value',
    key          Nullable(String) COMMENT 'base64 of the record''s key; null: it had none',
    headers      String COMMENT 'JSON: [[name, base64 of the value or null], ...]',
    written_at   DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, `partition`, `offset`)
TTL written_at + INTERVAL 90 DAY
COMMENT 'Events that can never be processed, with the reason and the original bytes';

-- What a checkpoint decided, written before the offset commit that makes it so; nobody reads it but the next owner.
CREATE TABLE IF NOT EXISTS redo
(
    `partition`  UInt16,
    seq          UInt64,
    owner        String,
    written_at   DateTime DEFAULT now(),
    body         String CODEC(ZSTD(1)) COMMENT 'JSON of schemas.partials.Redo'
)
ENGINE = ReplacingMergeTree
PARTITION BY `partition`
ORDER BY (`partition`, seq, owner)
TTL written_at + INTERVAL 30 DAY
COMMENT 'What each checkpoint decided, for the next owner of its partition';

-- Cumulative sketches; the row of the largest seq is the state.
CREATE TABLE IF NOT EXISTS partials
(
    namespace     LowCardinality(String),
    model         LowCardinality(String),
    generation    UInt32,
    view          LowCardinality(String) COMMENT 'feature, score, latency, matured, overdue, tally',
    version       LowCardinality(String),
    segment       LowCardinality(String) COMMENT 'empty: all rows; else tag=value',
    window_start  DateTime64(3, 'UTC'),
    name          LowCardinality(String) COMMENT 'the feature, or the tally; else empty',
    `partition`   UInt16,
    n             UInt64 COMMENT 'rows',
    nulls         UInt64 COMMENT 'rows without a value',
    outside       UInt64 COMMENT 'values beyond the reference',
    sums          Array(Int128) COMMENT 'fixed point, 2^20 is 1',
    minimum       Nullable(Float64) COMMENT 'smallest value',
    maximum       Nullable(Float64) COMMENT 'largest value',
    counts        Array(UInt64) COMMENT 'rows per bin',
    seq           UInt64
)
ENGINE = ReplacingMergeTree(seq)
ORDER BY (namespace, model, window_start, view, version, segment, name, generation, `partition`)
COMMENT 'Cumulative sketches: counts and sums of each window, per source partition';

-- History of checkpoints. It expires; the newest of each partition, without which nobody could go on, is in `heads`.
CREATE TABLE IF NOT EXISTS checkpoints
(
    `partition`        UInt16,
    seq                UInt64,
    owner              String,
    predictions_offset UInt64 COMMENT 'next offset of predictions to read',
    outcomes_offset    UInt64 COMMENT 'next offset of outcomes to read',
    watermarks         String COMMENT 'JSON: namespace/model -> schemas.partials.Watermarks',
    adoptions          String COMMENT 'JSON: list of schemas.partials.Adoption',
    written_at         DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree
ORDER BY (`partition`, seq, owner)
TTL written_at + INTERVAL 90 DAY
COMMENT 'History of checkpoints of the aggregator, per source partition';

-- The newest checkpoint of each partition, for ever. ClickHouse writes it from every insert into `checkpoints`, before it
-- acknowledges that.
CREATE TABLE IF NOT EXISTS heads
(
    `partition`        UInt16,
    seq                UInt64,
    owner              String,
    predictions_offset UInt64 COMMENT 'next offset of predictions to read',
    outcomes_offset    UInt64 COMMENT 'next offset of outcomes to read',
    watermarks         String COMMENT 'JSON: namespace/model -> schemas.partials.Watermarks',
    adoptions          String COMMENT 'JSON: list of schemas.partials.Adoption'
)
ENGINE = ReplacingMergeTree(seq)
ORDER BY `partition`
COMMENT 'The newest checkpoint of each source partition';

CREATE MATERIALIZED VIEW IF NOT EXISTS heads_of_checkpoints TO heads AS
SELECT `partition`, seq, owner, predictions_offset, outcomes_offset, watermarks, adoptions FROM checkpoints;
