-- How many incidents a month, beside the false pages that the model may have.

CREATE VIEW IF NOT EXISTS pages_by_month
(
    namespace  String,
    model      String,
    team       String COMMENT 'of the newest incident of the month; of the newest document where there was none',
    month      Date COMMENT 'its first day; of event time, of silence by the wall clock',
    incidents  UInt64 COMMENT 'opened in the month, whatever became of them',
    criticals  UInt64 COMMENT 'of them, those that were critical sooner or later',
    silent     UInt64 COMMENT 'of them, those about silence alone (dead_man): outside the budget',
    own_rules  UInt64 COMMENT 'of them, those of the owner''s rules alone: counted apart',
    budgeted   UInt64 COMMENT 'the others, right or wrong: they have a condition that the budget is for, or of the latency objective',
    budget     Nullable(Float64) COMMENT 'false pages that the model may have in a month of this length, as of its last window; null: no window was decided'
) AS
SELECT
    namespace, model, if(i.team != '', i.team, d.team) AS team, month, i.incidents AS incidents, i.criticals AS criticals,
    i.silent AS silent, i.own_rules AS own_rules, i.incidents - i.silent - i.own_rules AS budgeted,
    w.pages * toDayOfMonth(toLastDayOfMonth(month)) / 30 AS budget
FROM
(
    SELECT toString(namespace) AS namespace, toString(model) AS model, toStartOfMonth(r.`at`) AS month,
        argMax(JSONExtract(r.body, 'pages', 'Nullable(Float64)'), r.`at`) AS pages
    FROM reports AS r FINAL
    GROUP BY namespace, model, month
) AS w
FULL OUTER JOIN
(
    SELECT toString(namespace) AS namespace, toString(model) AS model, toStartOfMonth(opened) AS month,
        argMax(toString(n.team), n.opened) AS team, count() AS incidents, countIf(n.severity = 'critical') AS criticals,
        countIf(kinds = ['dead_man']) AS silent, countIf(kinds = ['rule']) AS own_rules
    FROM
    (
        SELECT namespace, model, opened, team, severity,
            arrayDistinct(JSONExtract(body, 'conditions', 'Array(Tuple(kind String))').kind) AS kinds
        FROM incidents FINAL
    ) AS n
    GROUP BY namespace, model, month
) AS i USING (namespace, model, month)
LEFT JOIN
(
    SELECT toString(namespace) AS namespace, toString(model) AS model,
        argMax(JSONExtractString(a.body, 'spec', 'team'), JSONExtractUInt(a.body, 'generation')) AS team
    FROM audit AS a FINAL
    WHERE a.kind = 'generation'
    GROUP BY namespace, model
) AS d USING (namespace, model)
COMMENT 'How many incidents were opened, beside the budget of false pages: one row per model and month';
