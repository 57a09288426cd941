-- What people did about incidents, and how incidents stand.

-- Facts, never changed: the newest of an incident (or of a whole model) counts.
CREATE TABLE IF NOT EXISTS incident_actions
(
    namespace    LowCardinality(String),
    model        LowCardinality(String),
    incident_id  String COMMENT 'empty: all incidents of the model',
    id           String COMMENT 'hash of the rest',
    action       LowCardinality(String) COMMENT 'ack, silence or unsilence',
    `by`         String COMMENT 'who',
    note         String,
    until        DateTime64(3, 'UTC') COMMENT 'end of a silence; the epoch for the other actions',
    `at`         DateTime64(3, 'UTC') COMMENT 'wall clock'
)
ENGINE = ReplacingMergeTree
ORDER BY (namespace, model, incident_id, id)
COMMENT 'What people did about incidents: facts, never changed';

-- Silences that nobody has taken back; one is over when `until` is.
CREATE VIEW IF NOT EXISTS silences AS
SELECT namespace, model, incident_id, argMax(f.until, (f.`at`, f.id)) AS until
FROM incident_actions AS f FINAL
WHERE action IN ('silence', 'unsilence')
GROUP BY namespace, model, incident_id
HAVING argMax(f.action, (f.`at`, f.id)) = 'silence'
COMMENT 'Silences that nobody has taken back; one is over when until is';

-- One row per incident, as people speak of it. A silence of the whole model silences its incidents.
CREATE VIEW IF NOT EXISTS incident_list AS
SELECT
    i.namespace AS namespace, i.model AS model, i.id AS id,
    multiIf(
        i.state = 'resolved', 'resolved', a.incident_id != '', 'acknowledged', i.changed > i.opened, 'updated', 'open'
    ) AS state,
    i.severity AS severity, i.team AS team, i.summary AS summary, i.conditions AS conditions,
    i.opened AS opened, i.updated AS updated,
    if(i.state = 'resolved', i.changed, NULL) AS resolved,
    a.`by` AS acknowledged_by,
    nullIf(greatest(o.until, m.until), toDateTime64(0, 3, 'UTC')) AS silenced_until
FROM (SELECT * FROM incidents FINAL) AS i
LEFT JOIN
(
    SELECT namespace, model, incident_id, argMax(f.`by`, (f.`at`, f.id)) AS `by`
    FROM incident_actions AS f FINAL WHERE action = 'ack' GROUP BY namespace, model, incident_id
) AS a ON a.namespace = i.namespace AND a.model = i.model AND a.incident_id = i.id
LEFT JOIN silences AS o ON o.namespace = i.namespace AND o.model = i.model AND o.incident_id = i.id
LEFT JOIN (SELECT * FROM silences WHERE incident_id = '') AS m ON m.namespace = i.namespace AND m.model = i.model
COMMENT 'One row per incident, as people speak of it';
