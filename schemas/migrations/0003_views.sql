-- What people read: plain names, FINAL hidden, one row per thing.

CREATE VIEW IF NOT EXISTS predictions AS SELECT * FROM raw_predictions FINAL
COMMENT 'Every prediction, with the verdict on it (raw_predictions, each row once)';

CREATE VIEW IF NOT EXISTS outcomes AS SELECT * FROM raw_outcomes FINAL
COMMENT 'Every outcome, with the verdict on it (raw_outcomes, each row once)';

CREATE VIEW IF NOT EXISTS metric_values AS SELECT * FROM metrics FINAL
COMMENT 'Every number of every window as it is stored (metrics, newest revision)';

CREATE VIEW IF NOT EXISTS audit_log AS SELECT * FROM audit FINAL
COMMENT 'Every decision with its cause (audit, each row once)';

-- Every served prediction with its label: predictions that were not a shadow's and outcomes, each without duplicates. A
-- duplicate repeats (id, version), or an outcome's id, within the spec's dedupe_horizon; a correction repeats the id with
-- another label (view label_corrections). So an id has more than one row
-- here when two versions served it, or when it was sent again after the horizon; tell them apart by prediction_offset.
CREATE VIEW IF NOT EXISTS served AS
SELECT
    p.namespace AS namespace, p.model AS model, p.prediction_id AS prediction_id, p.version AS version,
    p.event_time AS event_time, p.prediction AS prediction, p.score AS score, p.features AS features, p.segments AS segments,
    p.`partition` AS `partition`, p.`offset` AS prediction_offset, o.`offset` AS outcome_offset,
    o.event_time AS label_time, o.positive AS label, o.label AS label_text, o.value AS label_value
FROM (SELECT * FROM raw_predictions FINAL WHERE verdict != 'duplicate' AND role != 'shadow') AS p
LEFT JOIN (SELECT * FROM raw_outcomes FINAL WHERE verdict = 'counted') AS o
    ON o.namespace = p.namespace AND o.model = p.model AND o.prediction_id = p.prediction_id
SETTINGS join_use_nulls = 1
COMMENT 'Every served prediction with its label, or null while it has none';

-- Tallies per window of event time: in = counted + late + duplicate + correction; dead letters are per topic and partition.
CREATE VIEW IF NOT EXISTS tallies AS
SELECT namespace, model, window_start, name AS tally, sum(n) AS events
FROM (SELECT * FROM partials FINAL WHERE view = 'tally')
GROUP BY namespace, model, window_start, tally
COMMENT 'Events per window of event time: in = counted + late + duplicate + correction';
