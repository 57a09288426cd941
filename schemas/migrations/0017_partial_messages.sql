-- What a checkpoint tells stage 2 is written once, in the words of the message: ClickHouse makes rows of it itself, before it
-- acknowledges them. Nothing is kept here.

CREATE TABLE IF NOT EXISTS partial_messages
(
    namespace    String,
    model        String,
    `partition`  UInt16,
    seq          UInt64 COMMENT 'number of the checkpoint',
    sketches     Array(Tuple(
        generation UInt32, view String, version String, segment String, window_start Int64, name String,
        n UInt64, nulls UInt64, outside UInt64, sums Array(Int128),
        minimum Nullable(Float64), maximum Nullable(Float64), counts Array(UInt64)
    )) COMMENT 'schemas.partials.SketchRow; window_start in milliseconds'
)
ENGINE = Null
COMMENT 'The way into partials: messages of a checkpoint as they are sent to stage 2; always empty';

CREATE MATERIALIZED VIEW IF NOT EXISTS partials_of_messages TO partials AS
SELECT
    namespace, model, s.generation AS generation, s.view AS view, s.version AS version, s.segment AS segment,
    fromUnixTimestamp64Milli(s.window_start, 'UTC') AS window_start, s.name AS name, `partition`,
    s.n AS n, s.nulls AS nulls, s.outside AS outside, s.sums AS sums, s.minimum AS minimum, s.maximum AS maximum,
    s.counts AS counts, seq
FROM partial_messages ARRAY JOIN sketches AS s;
