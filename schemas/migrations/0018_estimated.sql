-- What the scores of a closed window let one expect, without labels: numbers of the view `estimate`.

ALTER TABLE metrics COMMENT COLUMN view 'feature, quality, score, latency, estimate (without labels), performance (revised), tested (once)';

CREATE OR REPLACE VIEW window_metrics
(
    namespace     String,
    model         String,
    window_start  DateTime64(3, 'UTC'),
    window_end    Nullable(DateTime64(3, 'UTC')) COMMENT 'exclusive',
    granularity   Nullable(String) COMMENT 'width of the window, ISO 8601, e.g. P1D',
    kind          String COMMENT 'feature, score, latency, quality, estimate (without labels), performance (with every label so far), tested (once)',
    version       String COMMENT 'empty: of all versions',
    feature       String COMMENT 'empty: not of a feature',
    slice_key     Nullable(String) COMMENT 'tag; null: all rows',
    slice_value   Nullable(String) COMMENT 'value of the tag; null: all rows',
    metric        String,
    value         Nullable(Float64) COMMENT 'null: too few rows or labels',
    n             UInt64 COMMENT 'rows; of performance, labelled pairs',
    coverage      Nullable(Float64) COMMENT 'share of the predictions that have a label, of performance of all rows',
    generation    UInt32 COMMENT 'of spec and reference'
) AS
SELECT
    m.namespace AS namespace, m.model AS model, m.window_start AS window_start, w.window_end AS window_end,
    w.granularity AS granularity, m.view AS kind, m.version AS version, m.name AS feature,
    if(m.segment = '', NULL, substring(m.segment, 1, position(m.segment, '=') - 1)) AS slice_key,
    if(m.segment = '', NULL, substring(m.segment, position(m.segment, '=') + 1)) AS slice_value,
    m.metric AS metric, m.value AS value, m.n AS n, m.coverage AS coverage, m.generation AS generation
FROM (SELECT * FROM metrics FINAL) AS m
LEFT JOIN windows AS w ON w.namespace = m.namespace AND w.model = m.model AND w.window_start = m.window_start
SETTINGS join_use_nulls = 1
COMMENT 'Every number of every window, one row each: the views below are parts of it';

CREATE OR REPLACE VIEW estimated_performance
(
    namespace     String,
    model         String,
    window_start  DateTime64(3, 'UTC'),
    window_end    Nullable(DateTime64(3, 'UTC')) COMMENT 'exclusive',
    granularity   Nullable(String) COMMENT 'width of the window, ISO 8601, e.g. P1D',
    version       String COMMENT 'whose scores the reference has calibrated; of others nothing is estimated',
    metric        String COMMENT 'accuracy, precision, recall, f1 (at the threshold 0.5), auc',
    value         Nullable(Float64) COMMENT 'expected, in [0, 1]; null: too few rows, or not defined',
    n             UInt64 COMMENT 'predictions with a score'
) AS
SELECT namespace, model, window_start, window_end, granularity, version, metric, value, n
FROM window_metrics
WHERE kind = 'estimate'
COMMENT 'What a binary model''s scores let one expect of its performance, without labels (CBPE): one row per window and metric, none while labels say that scores mean something else';
