-- Who was told what, when, and what went wrong: one row per incident, event and channel. Only the notify role writes it.
CREATE TABLE IF NOT EXISTS deliveries
(
    namespace    LowCardinality(String),
    model        LowCardinality(String),
    incident_id  String,
    channel      LowCardinality(String),
    event        LowCardinality(String) COMMENT 'opened, updated, acknowledged, resolved',
    key          String COMMENT 'what a repeated request carries as Idempotency-Key',
    state        LowCardinality(String) COMMENT 'delivered, failed (refused), retrying, gave up, silenced',
    attempts     UInt32 COMMENT 'how often it was tried',
    `at`         DateTime64(3, 'UTC') COMMENT 'clock of the notify role',
    error        String COMMENT 'what the other side said; empty: nothing went wrong'
)
ENGINE = ReplacingMergeTree(`at`)
ORDER BY (namespace, model, incident_id, channel, event, key)
COMMENT 'Who was told what, when, and what went wrong';

CREATE VIEW IF NOT EXISTS delivery_log AS SELECT * FROM deliveries FINAL
COMMENT 'Who was told what, when, and what went wrong (deliveries, each row once)';
