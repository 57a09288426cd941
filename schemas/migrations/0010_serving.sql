-- Which version gave most of the answers of a window that somebody used, by the log itself.
CREATE VIEW IF NOT EXISTS serving AS
SELECT
    namespace, model, window_start, argMax(version, (answers, version)) AS version, sum(answers) AS predictions
FROM (
    SELECT namespace, model, window_start, version, sum(n) AS answers FROM partials FINAL
    WHERE view = 'tally' AND name = 'predictions.served'
    GROUP BY namespace, model, window_start, version
)
GROUP BY namespace, model, window_start
COMMENT 'Which version gave most of the answers of a window that somebody used, by the log itself';
