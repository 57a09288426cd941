-- One Kafka message may hold many events, so an event's place is partition, offset and row. Of two events in a partition the
-- earlier one has the smaller (offset, row). The event of a message of its own has row 0.

ALTER TABLE raw_predictions
    ADD COLUMN IF NOT EXISTS `row` UInt32 COMMENT 'in the message; 0 where a message is one event' AFTER `offset`,
    MODIFY ORDER BY (namespace, model, prediction_id, version, `partition`, `offset`, `row`);

ALTER TABLE raw_outcomes
    ADD COLUMN IF NOT EXISTS `row` UInt32 COMMENT 'in the message; 0 where a message is one event' AFTER `offset`,
    MODIFY ORDER BY (namespace, model, prediction_id, `partition`, `offset`, `row`);

ALTER TABLE dead_letters
    ADD COLUMN IF NOT EXISTS `row` UInt32
        COMMENT 'in the message; 0 also where a message is one event, or dead as a whole' AFTER `offset`,
    MODIFY ORDER BY (topic, `partition`, `offset`, `row`);

ALTER TABLE dead_letter_replays
    ADD COLUMN IF NOT EXISTS `row` UInt32 COMMENT 'of the dead letter' AFTER `offset`,
    MODIFY ORDER BY (topic, `partition`, `offset`, `row`);

-- The views that show a place, or choose by it, again.

CREATE OR REPLACE VIEW predictions AS SELECT * FROM raw_predictions FINAL
COMMENT 'Every prediction, with the verdict on it (raw_predictions, each row once)';

CREATE OR REPLACE VIEW outcomes AS SELECT * FROM raw_outcomes FINAL
COMMENT 'Every outcome, with the verdict on it (raw_outcomes, each row once)';

CREATE OR REPLACE VIEW served AS
SELECT
    p.namespace AS namespace, p.model AS model, p.prediction_id AS prediction_id, p.version AS version,
    p.event_time AS event_time, p.prediction AS prediction, p.score AS score, p.features AS features, p.segments AS segments,
    p.`partition` AS `partition`, p.`offset` AS prediction_offset, p.`row` AS prediction_row,
    o.`offset` AS outcome_offset, o.`row` AS outcome_row,
    o.event_time AS label_time, o.positive AS label, o.label AS label_text, o.value AS label_value
FROM (SELECT * FROM raw_predictions FINAL WHERE verdict != 'duplicate' AND role != 'shadow') AS p
LEFT JOIN (SELECT * FROM raw_outcomes FINAL WHERE verdict = 'counted') AS o
    ON o.namespace = p.namespace AND o.model = p.model AND o.prediction_id = p.prediction_id
SETTINGS join_use_nulls = 1
COMMENT 'Every served prediction with its label, or null while it has none';

CREATE OR REPLACE VIEW label_corrections AS
SELECT
    namespace, model, prediction_id,
    argMinIf(label, (`offset`, `row`), verdict = 'counted') AS counted_label,
    argMinIf(event_time, (`offset`, `row`), verdict = 'counted') AS counted_label_time,
    argMaxIf(label, (`offset`, `row`), verdict = 'correction') AS later_label,
    argMaxIf(event_time, (`offset`, `row`), verdict = 'correction') AS later_label_time,
    countIf(verdict = 'correction') AS corrections
FROM raw_outcomes FINAL
WHERE (namespace, model, prediction_id) IN (
    SELECT namespace, model, prediction_id FROM raw_outcomes WHERE verdict = 'correction')
GROUP BY namespace, model, prediction_id, `partition`
HAVING corrections > 0
COMMENT 'Outcomes whose label was said again and differently: the counted label beside the newest';

CREATE OR REPLACE VIEW dead_letter_list AS
SELECT
    d.topic AS topic, d.`partition` AS `partition`, d.`offset` AS `offset`, d.`row` AS `row`, d.log_ts AS log_ts,
    d.reason AS reason, d.detail AS detail,
    JSONExtractString(base64Decode(d.original), 'namespace') AS namespace,
    JSONExtractString(base64Decode(d.original), 'model') AS model,
    JSONExtractString(base64Decode(d.original), 'prediction_id') AS prediction_id,
    d.original AS original, d.key AS key, d.headers AS headers,
    r.replayed_at AS replayed_at, r.new_partition AS new_partition, r.new_offset AS new_offset
FROM (SELECT * FROM dead_letters FINAL) AS d
LEFT JOIN (SELECT * FROM dead_letter_replays FINAL) AS r
    ON r.topic = d.topic AND r.`partition` = d.`partition` AND r.`offset` = d.`offset` AND r.`row` = d.`row`
SETTINGS join_use_nulls = 1
COMMENT 'Dead letters, with what could be read of whose they are, and whether they were sent again';

CREATE OR REPLACE VIEW dead_letters_by_reason
(
    day             Date COMMENT 'UTC, of the broker''s timestamp',
    topic           String COMMENT 'predictions or outcomes',
    reason          String,
    events          UInt64,
    first_seen      DateTime64(3, 'UTC') COMMENT 'broker''s timestamp',
    last_seen       DateTime64(3, 'UTC') COMMENT 'broker''s timestamp',
    example         String COMMENT 'detail of the newest one',
    example_place   String COMMENT 'topic/partition/offset of the newest one, and /row in a batch'
) AS
SELECT
    toDate(log_ts, 'UTC') AS day, topic, reason, count() AS events, min(log_ts) AS first_seen, max(log_ts) AS last_seen,
    argMax(detail, (log_ts, `partition`, `offset`, `row`)) AS example,
    argMax(
        concat(topic, '/', toString(`partition`), '/', toString(`offset`), if(`row` > 0, concat('/', toString(`row`)), '')),
        (log_ts, `partition`, `offset`, `row`)
    ) AS example_place
FROM dead_letters FINAL
GROUP BY day, topic, reason
COMMENT 'Events that could not be counted, per day and reason; driftline dead-letters shows and replays them';
