-- Labels without a prediction. While one may still come they wait; when the predictions of every partition have passed
-- the label by the spec's label_horizon, none can be paired with it any more.
CREATE VIEW IF NOT EXISTS unmatched_outcomes
(
    namespace      String,
    model          String,
    prediction_id  String,
    event_time     DateTime64(3, 'UTC'),
    label          String COMMENT 'what came of it, as text',
    log_ts         DateTime64(3, 'UTC'),
    `partition`    UInt16,
    `offset`       UInt64,
    waits_until    Nullable(DateTime64(3, 'UTC')) COMMENT 'event time of predictions at which it is given up: its own + label_horizon',
    state          String COMMENT 'waiting: its prediction may still come; unmatched: it cannot be paired any more'
) AS
WITH
    horizons AS
    (
        SELECT namespace, model, argMax(JSONExtractString(body, 'spec', 'windows', 'label_horizon'), JSONExtractUInt(body, 'generation')) AS text,
            -- ISO 8601, as specs are written down: P1Y2DT3H4M5S, where a year is 365 days
            31536000 * toUInt64OrZero(extract(text, '(\\d+)Y')) + 86400 * toUInt64OrZero(extract(text, '(\\d+)D'))
                + 3600 * toUInt64OrZero(extract(text, '(\\d+)H')) + 60 * toUInt64OrZero(extract(text, '(\\d+)M'))
                + toUInt64OrZero(extract(text, '(\\d+)(?:\\.\\d+)?S')) AS seconds
        FROM audit FINAL WHERE kind = 'generation' GROUP BY namespace, model
    ),
    clocks AS
    (
        -- A partition that has seen nothing of a model holds it back.
        SELECT key, if(count() = (SELECT count() FROM heads FINAL), min(of.predictions), -1) AS predicted
        FROM heads FINAL
        ARRAY JOIN
            mapKeys(JSONExtract(watermarks, 'Map(String, Tuple(predictions Int64, outcomes Int64))')) AS key,
            mapValues(JSONExtract(watermarks, 'Map(String, Tuple(predictions Int64, outcomes Int64))')) AS of
        GROUP BY key
    )
SELECT
    o.namespace AS namespace, o.model AS model, o.prediction_id AS prediction_id, o.event_time AS event_time, o.label AS label,
    o.log_ts AS log_ts, o.`partition` AS `partition`, o.`offset` AS `offset`, o.event_time + toIntervalSecond(h.seconds) AS waits_until,
    if(c.predicted >= toUnixTimestamp64Milli(waits_until), 'unmatched', 'waiting') AS state
FROM (SELECT * FROM raw_outcomes FINAL WHERE verdict = 'counted') AS o
LEFT ANTI JOIN raw_predictions AS p ON p.namespace = o.namespace AND p.model = o.model AND p.prediction_id = o.prediction_id
LEFT JOIN horizons AS h ON h.namespace = o.namespace AND h.model = o.model
LEFT JOIN clocks AS c ON c.key = concat(o.namespace, '/', o.model)
SETTINGS join_use_nulls = 1
COMMENT 'Outcomes that no prediction was found for: waiting, or given up after label_horizon';
