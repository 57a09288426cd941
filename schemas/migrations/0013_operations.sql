-- What stage 1 must know of the world beside its checkpoints: which topics its offsets are of, and whether it may read on.

CREATE TABLE IF NOT EXISTS source_topics
(
    topic       String COMMENT 'full name on the broker',
    id          String COMMENT 'that Kafka gave it; another one: the topic was deleted and made again',
    partitions  UInt16 COMMENT 'that it had; with another number most ids live in another one',
    accepted_at DateTime64(3, 'UTC') COMMENT 'clock of who accepted it: the first aggregator, or driftline offsets restore'
)
ENGINE = ReplacingMergeTree(accepted_at)
ORDER BY topic
COMMENT 'The source topics that the recorded offsets belong to';

CREATE TABLE IF NOT EXISTS breakers
(
    topic  LowCardinality(String) COMMENT 'predictions or outcomes',
    state  LowCardinality(String) COMMENT 'open: nothing is read until driftline breaker reset; closed',
    why    String COMMENT 'what was found, or who reset it',
    `at`   DateTime64(3, 'UTC') COMMENT 'wall clock of who wrote the row'
)
ENGINE = ReplacingMergeTree(`at`)
ORDER BY topic
COMMENT 'Whether stage 1 has stopped reading because most of a topic is dead letters';
