-- What pages by evidence: where each watched quantity stood, and what may be claimed of its false pages.

CREATE VIEW IF NOT EXISTS watched_quantities
(
    namespace     String,
    model         String,
    window_start  DateTime64(3, 'UTC'),
    pages         Float64 COMMENT 'false pages in 30 days that the model may have: its part of the team''s budget',
    claim         String COMMENT 'the worst claim of what may page: within budget on held-out reference; estimated, dependence high; or not enough data',
    quantity      String COMMENT 'loss, estimate, score, prediction, latency or feature.NAME; empty: the reference lets watch nothing',
    version       String COMMENT 'whose it is; empty of a feature',
    evidence      Float64 COMMENT 'that speaks for a change, after the window; it pages at the threshold',
    threshold     Nullable(Float64) COMMENT 'null: it never pages',
    quantity_claim String COMMENT 'that may be made of this quantity alone',
    reason        String COMMENT 'of a claim that is not the best',
    latched       Bool COMMENT 'it has paged, and is silent until the incident is resolved or the reference is another'
) AS
SELECT
    namespace, model, window_start, pages, claim, s.stream AS quantity, s.version AS version, s.evidence AS evidence,
    s.threshold AS threshold, s.claim AS quantity_claim, s.reason AS reason, s.latched AS latched
FROM
(
    SELECT
        namespace, model, window_start, JSONExtractFloat(body, 'pages') AS pages, JSONExtractString(body, 'claim') AS claim,
        JSONExtract(body, 'streams', 'Array(Tuple(stream String, version String, evidence Float64,
            threshold Nullable(Float64), claim String, reason String, latched Bool))') AS streams
    FROM reports FINAL
)
LEFT ARRAY JOIN streams AS s
COMMENT 'Where each quantity that may page by evidence stood after a window: one row per window and quantity';

-- The kinds that a condition may have, again.

CREATE OR REPLACE VIEW incident_conditions
(
    namespace     String,
    model         String,
    incident_id   String,
    condition     String COMMENT 'its name for as long as it lasts',
    kind          String COMMENT 'quality, latency, labelled_loss, estimate, score, drift, rule or dead_man',
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
