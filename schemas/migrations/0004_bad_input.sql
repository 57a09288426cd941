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
