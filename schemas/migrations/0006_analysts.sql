-- What analysts read: one row per window and metric, with n and coverage, under plain names. `slice_key` and `slice_value`
-- are null for all rows. Numbers that few rows or labels do not bear are null, never missing.

CREATE VIEW IF NOT EXISTS windows
(
    namespace     String,
    model         String,
    window_start  DateTime64(3, 'UTC'),
    window_end    DateTime64(3, 'UTC') COMMENT 'exclusive',
    granularity   String COMMENT 'width of the window, ISO 8601, e.g. P1D',
    generation    UInt32 COMMENT 'of spec and reference',
    predictions   UInt64 COMMENT 'counted: in time, first of their id, not a shadow''s'
) AS
SELECT
    namespace, model, window_start, `at` AS window_end,
    multiIf(width % 86400 = 0, concat('P', toString(intDiv(width, 86400)), 'D'),
        width % 3600 = 0, concat('PT', toString(intDiv(width, 3600)), 'H'),
        width % 60 = 0, concat('PT', toString(intDiv(width, 60)), 'M'),
        concat('PT', toString(width), 'S')) AS granularity,
    generation, counted AS predictions
FROM
(
    SELECT namespace, model, window_start, `at`, generation, counted, dateDiff('second', window_start, `at`) AS width
    FROM reports FINAL
)
COMMENT 'Windows that are closed and decided: one row per model and window';

CREATE VIEW IF NOT EXISTS window_metrics
(
    namespace     String,
    model         String,
    window_start  DateTime64(3, 'UTC'),
    window_end    Nullable(DateTime64(3, 'UTC')) COMMENT 'exclusive',
    granularity   Nullable(String) COMMENT 'width of the window, ISO 8601, e.g. P1D',
    kind          String COMMENT 'feature, score, latency, quality, performance (with every label so far), tested (once)',
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

CREATE VIEW IF NOT EXISTS performance
(
    namespace        String,
    model            String,
    window_start     DateTime64(3, 'UTC'),
    window_end       Nullable(DateTime64(3, 'UTC')) COMMENT 'exclusive',
    granularity      Nullable(String) COMMENT 'width of the window, ISO 8601, e.g. P1D',
    version          String,
    slice_key        Nullable(String) COMMENT 'tag; null: all rows',
    slice_value      Nullable(String) COMMENT 'value of the tag; null: all rows',
    metric           String COMMENT 'docs/architecture.md lists them per task',
    value            Nullable(Float64) COMMENT 'with every label so far; null: too few',
    n                UInt64 COMMENT 'labelled predictions so far',
    coverage         Nullable(Float64) COMMENT 'labelled so far / predictions; null for slices',
    tested_value     Nullable(Float64) COMMENT 'as it was tested, once, at label maturity; never changes',
    tested_n         UInt64 COMMENT 'labelled predictions at the test; 0: not tested yet',
    tested_coverage  Nullable(Float64) COMMENT 'labelled / predictions at the test'
) AS
SELECT
    namespace, model, window_start, any(m.window_end) AS window_end, any(m.granularity) AS granularity, version,
    slice_key, slice_value, metric,
    maxIf(m.value, kind = 'performance') AS value, maxIf(m.n, kind = 'performance') AS n,
    maxIf(m.coverage, kind = 'performance') AS coverage,
    maxIf(m.value, kind = 'tested') AS tested_value, maxIf(m.n, kind = 'tested') AS tested_n,
    maxIf(m.coverage, kind = 'tested') AS tested_coverage
FROM window_metrics AS m
WHERE kind IN ('performance', 'tested')
GROUP BY namespace, model, window_start, version, slice_key, slice_value, metric
COMMENT 'Labelled performance: one row per window of prediction time, version, slice and metric; shadows too';

CREATE VIEW IF NOT EXISTS drift
(
    namespace     String,
    model         String,
    window_start  DateTime64(3, 'UTC'),
    window_end    Nullable(DateTime64(3, 'UTC')) COMMENT 'exclusive',
    granularity   Nullable(String) COMMENT 'width of the window, ISO 8601, e.g. P1D',
    version       String COMMENT 'of scores; empty for features',
    feature       String COMMENT 'empty: the scores',
    slice_key     Nullable(String) COMMENT 'tag; null: all rows',
    slice_value   Nullable(String) COMMENT 'value of the tag; null: all rows',
    metric        String COMMENT 'psi, jensenshannon, ks, wasserstein (in reference standard deviations), chisquare, ...',
    value         Nullable(Float64) COMMENT 'distance from the reference; null: too few rows or no reference',
    n             UInt64 COMMENT 'rows'
) AS
SELECT namespace, model, window_start, window_end, granularity, version, feature, slice_key, slice_value, metric, value, n
FROM window_metrics
WHERE kind IN ('feature', 'score')
    AND metric IN ('psi', 'jensenshannon', 'chisquare', 'chisquare_p_value', 'ks', 'wasserstein')
COMMENT 'How far features and scores of a window are from the reference, one row per distance';

CREATE VIEW IF NOT EXISTS feature_quality
(
    namespace     String,
    model         String,
    window_start  DateTime64(3, 'UTC'),
    window_end    Nullable(DateTime64(3, 'UTC')) COMMENT 'exclusive',
    granularity   Nullable(String) COMMENT 'width of the window, ISO 8601, e.g. P1D',
    feature       String,
    slice_key     Nullable(String) COMMENT 'tag; null: all rows',
    slice_value   Nullable(String) COMMENT 'value of the tag; null: all rows',
    metric        String COMMENT 'null_rate, outside_share, unseen_share: in [0, 1]; mean, minimum, maximum: the feature''s unit',
    value         Nullable(Float64) COMMENT 'null: too few rows',
    n             UInt64 COMMENT 'rows'
) AS
SELECT namespace, model, window_start, window_end, granularity, feature, slice_key, slice_value, metric, value, n
FROM window_metrics
WHERE kind = 'feature' AND metric NOT IN ('psi', 'jensenshannon', 'chisquare', 'chisquare_p_value', 'ks', 'wasserstein')
COMMENT 'What the features of a window look like by themselves: missing, out of range, never seen, mean and extremes';

CREATE VIEW IF NOT EXISTS scores
(
    namespace     String,
    model         String,
    window_start  DateTime64(3, 'UTC'),
    window_end    Nullable(DateTime64(3, 'UTC')) COMMENT 'exclusive',
    granularity   Nullable(String) COMMENT 'width of the window, ISO 8601, e.g. P1D',
    version       String,
    metric        String COMMENT 'mean, psi, ...',
    value         Nullable(Float64) COMMENT 'null: too few rows',
    n             UInt64 COMMENT 'predictions of the version'
) AS
SELECT namespace, model, window_start, window_end, granularity, version, metric, value, n
FROM window_metrics
WHERE kind = 'score'
COMMENT 'What each version answered, before any label: one row per window, version and metric';

CREATE VIEW IF NOT EXISTS latency
(
    namespace     String,
    model         String,
    window_start  DateTime64(3, 'UTC'),
    window_end    Nullable(DateTime64(3, 'UTC')) COMMENT 'exclusive',
    granularity   Nullable(String) COMMENT 'width of the window, ISO 8601, e.g. P1D',
    version       String,
    metric        String COMMENT 'p50, p95, p99 (relative error 4%) and throughput',
    value         Nullable(Float64) COMMENT 'null: too few rows',
    unit          String COMMENT 'ms, or 1/s for throughput',
    n             UInt64 COMMENT 'predictions that said how long they took'
) AS
SELECT namespace, model, window_start, window_end, granularity, version, metric, value,
    if(metric = 'throughput', '1/s', 'ms') AS unit, n
FROM window_metrics
WHERE kind = 'latency'
COMMENT 'How long answers took, as the services measured it';

CREATE VIEW IF NOT EXISTS volume
(
    namespace     String,
    model         String,
    window_start  DateTime64(3, 'UTC'),
    window_end    Nullable(DateTime64(3, 'UTC')) COMMENT 'exclusive',
    granularity   Nullable(String) COMMENT 'width of the window, ISO 8601, e.g. P1D',
    slice_key     Nullable(String) COMMENT 'tag; null: all rows',
    slice_value   Nullable(String) COMMENT 'value of the tag; null: all rows',
    metric        String COMMENT 'counted (without shadows), late, duplicate (with shadows)',
    events        UInt64
) AS
SELECT namespace, model, window_start, window_end, granularity, slice_key, slice_value, metric,
    toUInt64(ifNull(value, 0)) AS events
FROM window_metrics
WHERE kind = 'quality'
COMMENT 'How many predictions a window has, and how many came late or twice';

CREATE VIEW IF NOT EXISTS label_coverage
(
    namespace         String,
    model             String,
    window_start      DateTime64(3, 'UTC'),
    version           String,
    predictions       UInt64 COMMENT 'answers of the version, a shadow''s too',
    labelled_in_time  UInt64 COMMENT 'whose label came before the window was tested',
    labelled          UInt64 COMMENT 'whose label has come so far',
    coverage_in_time  Nullable(Float64) COMMENT 'labelled_in_time / predictions',
    coverage          Nullable(Float64) COMMENT 'labelled / predictions'
) AS
SELECT
    namespace, model, window_start, version,
    sumIf(n, view = 'score') AS predictions, sumIf(n, view = 'matured') AS labelled_in_time,
    sumIf(n, view IN ('matured', 'overdue')) AS labelled,
    if(predictions = 0, NULL, least(1, labelled_in_time / predictions)) AS coverage_in_time,
    if(predictions = 0, NULL, least(1, labelled / predictions)) AS coverage
FROM partials FINAL
WHERE view IN ('score', 'matured', 'overdue') AND segment = ''
GROUP BY namespace, model, window_start, version
COMMENT 'How many predictions of a window have their label, up to now: one row per window and version';

CREATE VIEW IF NOT EXISTS incident_conditions
(
    namespace     String,
    model         String,
    incident_id   String,
    condition     String COMMENT 'its name for as long as it lasts',
    kind          String COMMENT 'quality, latency, labelled_loss, rule or dead_man',
    severity      String COMMENT 'critical or warning',
    version       String COMMENT 'empty: of all versions',
    feature       String COMMENT 'empty: not of a feature',
    slice_key     Nullable(String) COMMENT 'tag; null: all rows',
    slice_value   Nullable(String) COMMENT 'value of the tag; null: all rows',
    metric        String,
    value         Float64 COMMENT 'newest value outside',
    limit_value   Float64 COMMENT 'what it should have stayed within',
    since         DateTime64(3, 'UTC') COMMENT 'start of the first window that was outside',
    last          DateTime64(3, 'UTC') COMMENT 'start of the newest window that was outside',
    text          String
) AS
SELECT
    namespace, model, id AS incident_id, c.key AS condition, c.kind AS kind, c.severity AS severity,
    c.version AS version, c.name AS feature,
    if(c.segment = '', NULL, substring(c.segment, 1, position(c.segment, '=') - 1)) AS slice_key,
    if(c.segment = '', NULL, substring(c.segment, position(c.segment, '=') + 1)) AS slice_value,
    c.metric AS metric, c.value AS value, c.`limit` AS limit_value, fromUnixTimestamp64Milli(c.since, 'UTC') AS since,
    fromUnixTimestamp64Milli(c.last, 'UTC') AS last, c.text AS text
FROM
(
    SELECT namespace, model, id, arrayJoin(JSONExtract(body, 'conditions', 'Array(Tuple(key String, kind String,
        version String, segment String, name String, metric String, value Float64, `limit` Float64, since Int64,
        last Int64, text String, severity String))')) AS c
    FROM incidents FINAL
)
COMMENT 'What was wrong: one row per incident and condition';

CREATE VIEW IF NOT EXISTS versions
(
    namespace          String,
    model              String,
    version            String,
    requested          DateTime64(3, 'UTC') COMMENT 'event time of the evidence',
    reason             String COMMENT 'bootstrap, schedule, performance or reference',
    evidence           String,
    incident_id        String COMMENT 'empty: no incident caused it',
    trained            Nullable(DateTime64(3, 'UTC')) COMMENT 'event time charged for the training; null: not yet',
    status             String COMMENT 'ready, error, or empty: not trained yet',
    rows               UInt64 COMMENT 'that it was fitted on',
    holdout_rows       UInt64 COMMENT 'that the judge had',
    holdout_metrics    Map(String, Float64) COMMENT 'of the candidate on the held-out rows',
    judge              String COMMENT 'pass, fail, inconclusive, error; empty: no verdict',
    shadow             String COMMENT 'the same',
    guard              String COMMENT 'the same'
) AS
SELECT
    r.namespace AS namespace, r.model AS model, r.version AS version, r.requested AS requested, r.reason AS reason,
    r.evidence AS evidence, if(startsWith(r.cause_id, 'incident-'), r.cause_id, '') AS incident_id,
    if(c.status = '', NULL, c.trained) AS trained,
    c.status AS status, c.rows AS rows, c.holdout_rows AS holdout_rows, c.metrics AS holdout_metrics,
    v.judge AS judge, v.shadow AS shadow, v.guard AS guard
FROM
(
    SELECT namespace, model, version, id, cause_id, `at` AS requested, JSONExtractString(body, 'reason') AS reason,
        JSONExtractString(body, 'evidence') AS evidence
    FROM audit FINAL WHERE kind = 'request'
) AS r
LEFT JOIN
(
    SELECT namespace, model, cause_id, `at` AS trained, JSONExtractString(body, 'status') AS status,
        JSONExtractUInt(body, 'rows') AS rows, JSONExtractUInt(body, 'holdout_rows') AS holdout_rows,
        JSONExtract(body, 'metrics', 'Map(String, Float64)') AS metrics
    FROM audit FINAL WHERE kind = 'candidate'
) AS c ON c.namespace = r.namespace AND c.model = r.model AND c.cause_id = r.id
LEFT JOIN
(
    SELECT namespace, model, version, argMaxIf(outcome, `at`, stage = 'judge') AS judge,
        argMaxIf(outcome, `at`, stage = 'shadow') AS shadow, argMaxIf(outcome, `at`, stage = 'guard') AS guard
    FROM
    (
        SELECT namespace, model, version, `at`, JSONExtractString(body, 'stage') AS stage,
            JSONExtractString(body, 'outcome') AS outcome
        FROM audit FINAL WHERE kind = 'verdict'
    )
    GROUP BY namespace, model, version
) AS v ON v.namespace = r.namespace AND v.model = r.model AND v.version = r.version
COMMENT 'Every version that was asked for: why, what it was trained on, and what became of it';

CREATE VIEW IF NOT EXISTS rollout_history
(
    namespace  String,
    model      String,
    `at`       DateTime64(3, 'UTC') COMMENT 'event time',
    kind       String COMMENT 'verdict or rollout',
    step       String COMMENT 'judge, shadow, guard; first champion, start shadow, end shadow, promote, end guard, roll back',
    version    String COMMENT 'whose verdict or step it is',
    outcome    String COMMENT 'of a verdict: pass, fail, inconclusive, error',
    champion   String COMMENT 'who serves after a step',
    phase      String COMMENT 'after a step: steady, shadow or guard',
    text       String COMMENT 'why, with the numbers',
    id         String,
    cause_id   String COMMENT 'id of what led to it'
) AS
SELECT
    namespace, model, `at`, kind, JSONExtractString(body, if(kind = 'verdict', 'stage', 'step')) AS step, version,
    JSONExtractString(body, 'outcome') AS outcome, JSONExtractString(body, 'champion', 'version') AS champion,
    JSONExtractString(body, 'phase') AS phase, JSONExtractString(body, 'text') AS text, id, cause_id
FROM audit FINAL
WHERE kind IN ('verdict', 'rollout')
COMMENT 'Every verdict on a candidate and every step of the roll-out';

CREATE VIEW IF NOT EXISTS serving_history
(
    namespace     String,
    model         String,
    version       String,
    served_from   DateTime64(3, 'UTC') COMMENT 'event time',
    served_until  Nullable(DateTime64(3, 'UTC')) COMMENT 'exclusive; null: it still serves'
) AS
SELECT
    namespace, model, champion AS version, `at` AS served_from,
    leadInFrame(toNullable(`at`), 1, NULL) OVER (
        PARTITION BY namespace, model ORDER BY `at` ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    ) AS served_until
FROM
(
    SELECT namespace, model, `at`, champion,
        lagInFrame(champion, 1, '') OVER (
            PARTITION BY namespace, model ORDER BY `at` ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
    FROM rollout_history WHERE kind = 'rollout'
)
WHERE champion != before
COMMENT 'Who served when: one row per stretch of time, since driftline rolls out the versions of a model';

CREATE VIEW IF NOT EXISTS shadow_comparison
(
    namespace     String,
    model         String,
    window_start  DateTime64(3, 'UTC'),
    challenger    String COMMENT 'version under test',
    champion      String COMMENT 'version that it is compared with, on the same requests',
    n             UInt64 COMMENT 'predictions that both answered and that have a label',
    difference    Nullable(Float64) COMMENT 'mean loss of the challenger minus the champion''s; below 0: better; null: too few',
    e_better      Float64 COMMENT 'evidence so far that the challenger is better than the margin; it wins at 1 / alpha',
    e_worse       Float64 COMMENT 'evidence so far that it is worse',
    clipped       Float64 COMMENT 'share of the windows so far whose difference was clipped'
) AS
SELECT namespace, model, window_start, challenger, champion, n, difference, e_better, e_worse, clipped
FROM paired_windows FINAL
COMMENT 'A shadow beside the champion: one row per window, with the evidence so far';

CREATE VIEW IF NOT EXISTS dead_letters_by_reason
(
    day             Date COMMENT 'UTC, of the broker''s timestamp',
    topic           String COMMENT 'predictions or outcomes',
    reason          String,
    events          UInt64,
    first_seen      DateTime64(3, 'UTC') COMMENT 'broker''s timestamp',
    last_seen       DateTime64(3, 'UTC') COMMENT 'broker''s timestamp',
    example         String COMMENT 'detail of the newest one',
    example_place   String COMMENT 'topic/partition/offset of the newest one'
) AS
SELECT
    toDate(log_ts, 'UTC') AS day, topic, reason, count() AS events, min(log_ts) AS first_seen, max(log_ts) AS last_seen,
    argMax(detail, (log_ts, `partition`, `offset`)) AS example,
    argMax(concat(topic, '/', toString(`partition`), '/', toString(`offset`)), (log_ts, `partition`, `offset`))
        AS example_place
FROM dead_letters FINAL
GROUP BY day, topic, reason
COMMENT 'Events that could not be counted, per day and reason; driftline dead-letters shows and replays them';
