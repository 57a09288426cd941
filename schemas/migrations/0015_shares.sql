-- What pages by evidence, again: of segments, and of versions beside the one that leads.

CREATE OR REPLACE VIEW watched_quantities
(
    namespace     String,
    model         String,
    window_start  DateTime64(3, 'UTC'),
    pages         Float64 COMMENT 'false pages in 30 days that the model may have: its part of the team''s budget',
    claim         String COMMENT 'the worst claim of what may page: within budget on held-out reference; estimated, dependence high; or not enough data',
    quantity      String COMMENT 'loss, estimate, score, prediction, latency or feature.NAME; empty: the reference lets watch nothing',
    slice_key     Nullable(String) COMMENT 'tag; null: all rows',
    slice_value   Nullable(String) COMMENT 'value of the tag; null: all rows',
    version       String COMMENT 'whose it is; empty of a feature',
    beside        Bool COMMENT 'the version is live beside the one that leads',
    evidence      Float64 COMMENT 'that speaks for a change, after the window; it pages at the threshold',
    threshold     Nullable(Float64) COMMENT 'null: it never pages',
    quantity_claim String COMMENT 'that may be made of this quantity alone',
    reason        String COMMENT 'of a claim that is not the best',
    latched       Bool COMMENT 'it has paged, and is silent until the incident is resolved or the reference is another'
) AS
SELECT
    namespace, model, window_start, pages, claim, s.stream AS quantity,
    if(s.segment = '', NULL, substring(s.segment, 1, position(s.segment, '=') - 1)) AS slice_key,
    if(s.segment = '', NULL, substring(s.segment, position(s.segment, '=') + 1)) AS slice_value,
    s.version AS version, s.beside AS beside, s.evidence AS evidence, s.threshold AS threshold,
    s.claim AS quantity_claim, s.reason AS reason, s.latched AS latched
FROM
(
    SELECT
        namespace, model, window_start, JSONExtractFloat(body, 'pages') AS pages, JSONExtractString(body, 'claim') AS claim,
        JSONExtract(body, 'streams', 'Array(Tuple(stream String, segment String, version String, beside Bool,
            evidence Float64, threshold Nullable(Float64), claim String, reason String, latched Bool))') AS streams
    FROM reports FINAL
)
LEFT ARRAY JOIN streams AS s
COMMENT 'Where each quantity that may page by evidence stood after a window: one row per window and quantity';
