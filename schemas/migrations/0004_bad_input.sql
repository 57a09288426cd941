-- What became of input that was wrong: labels that were said twice, and dead letters that were sent again.

-- Outcomes whose label was changed within the dedupe horizon: one row per id, the counted label beside the newest one.
CREATE VIEW IF NOT EXISTS label_corrections AS
SELECT
    namespace, model, prediction_id,
    argMinIf(label, `offset`, verdict = 'counted') AS counted_label,
    argMinIf(event_time, `offset`, verdict = 'counted') AS counted_label_time,
    argMaxIf(label, `offset`, verdict = 'correction') AS later_label,
    argMaxIf(event_time, `offset`, verdict = 'correction') AS later_label_time,
    countIf(verdict = 'correction') AS corrections
FROM raw_outcomes FINAL
WHERE (namespace, model, prediction_id) IN (
    SELECT namespace, model, prediction_id FROM raw_outcomes WHERE verdict = 'correction')
GROUP BY namespace, model, prediction_id, `partition`
HAVING corrections > 0
COMMENT 'Outcomes whose label was said again and differently: the counted label beside the newest';

-- A dead letter that `driftline dead-letters replay` sent again, and where it landed.
CREATE TABLE IF NOT EXISTS dead_letter_replays
(
    topic          LowCardinality(String) COMMENT 'of the dead letter, with partition and offset',
    `partition`    UInt16,
    `offset`       UInt64,
    new_partition  UInt16,
    new_offset     UInt64,
    replayed_at    DateTime64(3, 'UTC') COMMENT 'clock of the machine that replayed it'
)
ENGINE = ReplacingMergeTree(replayed_at)
ORDER BY (topic, `partition`, `offset`)
COMMENT 'Dead letters that were sent again, and where they landed';

-- Dead letters, with what could be read of whose they are, and whether they were sent again.
CREATE VIEW IF NOT EXISTS dead_letter_list AS
SELECT
    d.topic AS topic, d.`partition` AS `partition`, d.`offset` AS `offset`, d.log_ts AS log_ts,
    d.reason AS reason, d.detail AS detail,
    JSONExtractString(base64Decode(d.original), 'namespace') AS namespace,
    JSONExtractString(base64Decode(d.original), 'model') AS model,
    JSONExtractString(base64Decode(d.original), 'prediction_id') AS prediction_id,
    d.original AS original, d.key AS key, d.headers AS headers,
    r.replayed_at AS replayed_at, r.new_partition AS new_partition, r.new_offset AS new_offset
FROM (SELECT * FROM dead_letters FINAL) AS d
LEFT JOIN (SELECT * FROM dead_letter_replays FINAL) AS r
    ON r.topic = d.topic AND r.`partition` = d.`partition` AND r.`offset` = d.`offset`
SETTINGS join_use_nulls = 1
COMMENT 'Dead letters, with what could be read of whose they are, and whether they were sent again';
