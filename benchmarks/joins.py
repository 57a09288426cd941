"""Outcomes that find their predictions, in memory or in ClickHouse.

The table of predictions is filled by ClickHouse itself, as if stage 1 had counted as many events, in batches of
thousands, in one checkpoint, and lost its memory of all else: the group's committed offsets lie behind them. The topic
of predictions has records up to there, which nobody reads.
"""

from pathlib import Path

from confluent_kafka import Producer

from app import wiring
from benchmarks.events import DAY_MS, NAMESPACE, POSITIVE, START, Maker, Shape, Truth, clock
from benchmarks.load import declare, promise, send
from benchmarks.measure import Result, result
from benchmarks.stage import Round, Stage
from benchmarks.world import PARTITIONS, World, world
from schemas.tables import RAW_PREDICTIONS, TABLES
from streams.aggregate.routing import partitions_of

DAYS = 30
"""Over which the predictions are spread evenly; windows are a day."""

_FILL = """
INSERT INTO raw_predictions (
    namespace, model, prediction_id, version, `partition`, `offset`, log_ts, event_time, role, prediction, score,
    scores, features, segments, latency_ms, verdict, generation, seq, ttl_days, `row`)
SELECT
    {namespace:String} AS namespace, {model:String} AS model, lower(hex(sipHash128(number))) AS prediction_id,
    '7' AS version,
    kafkaMurmurHash(concat(namespace, '/', model, '/', prediction_id)) % {partitions:UInt32} AS `partition`,
    intDiv(number, {partitions:UInt32} * {rows:UInt32}) AS `offset`,
    event_time AS log_ts,
    fromUnixTimestamp64Milli({start:Int64} + intDiv(number * {span:Int64}, {events:Int64}), 'UTC') AS event_time,
    'champion' AS role, {positive:String} AS prediction, (number % 1000) / 1024 AS score,
    concat('{"', {positive:String}, '":', toString(score), '}') AS scores, '{}' AS features,
    concat('{"land":"', ['DE', 'ES', 'FR', 'IT'][number % 4 + 1], '"}') AS segments, 1 AS latency_ms,
    'counted' AS verdict, 1 AS generation, 1 AS seq, 90 AS ttl_days,
    intDiv(number, {partitions:UInt32}) % {rows:UInt32} AS `row`
FROM numbers({first:UInt64}, {count:UInt64})
"""
# 7919 is a prime: outcomes come in an order that has nothing to do with that of the predictions.
_CHOSEN = """
SELECT n % 3 = 0 AS positive, lower(hex(sipHash128(n))) AS prediction_id
FROM (SELECT toUInt64(number * 7919 % {predictions:UInt64}) AS n FROM numbers({first:UInt64}, {count:UInt64}))
"""
_POSITIVE = f"SELECT sum(positive) FROM ({_CHOSEN})"  # noqa: S608  both are ours
_KEPT = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
"""Tables that hold rows; others pass them on."""

_ROWS = 10_000
"""Predictions of each partition that have one offset."""

_CHUNK = 2_000_000
_IDS = 100_000


def measure(
    name: str, predictions: int, outcomes: int, rounds: int, root: Path, cache: Path, *, cached: int
) -> tuple[list[Round], list[Result]]:
    """Join so many outcomes with so many predictions, of which stage 1 remembers ``cached`` per partition.

    Raises:
        SystemExit: the pairs are not the truth.
    """
    wiring.configure_logging(quiet=True)
    shape = Shape(width="P1D", raw_features=False)
    holds = {"name": name, "predictions": predictions, "outcomes": outcomes, "shape": repr(shape)}
    options = {"DRIFTLINE_CACHE_EVENTS": str(cached), "DRIFTLINE_RECALLED_EVENTS": str(cached)}
    found = []

    def filled(running: World) -> None:
        declare(running.settings, [shape])
        _fill_table(running, shape, predictions)
        _fill_predictions(running, predictions)
        _fill_outcomes(running, shape, predictions, outcomes)

    with world(root / name, cache, holds, filled, options) as running:
        of = {"predictions": predictions, "first": 0, "count": outcomes}
        ((positive,),) = running.warehouse.rows(_POSITIVE, of)
        for round_ in range(1, rounds + 1):
            _start(running, predictions)
            with Stage(running) as stage:
                start = PARTITIONS * _behind(predictions)
                found.append(stage.count(running.ends(), start))
            running.check([shape], {shape.name: Truth(0, 0, outcomes, int(positive))})
            print(
                f"{name}, round {round_} of {rounds}: {found[-1].per_core:,.0f} outcomes/s per core, "
                f"{found[-1].per_second:,.0f} outcomes/s"
            )
    return found, [result(f"{name}_resident", [r.resident / 2**20 for r in found], "MB", events=outcomes)]


def _behind(predictions: int) -> int:
    """The offset behind the last prediction of each partition."""
    return predictions // (PARTITIONS * _ROWS) + 1


def _fill_table(running: World, shape: Shape, predictions: int) -> None:
    for first in range(0, predictions, _CHUNK):
        print(f"filling raw_predictions: {first:,} of {predictions:,}", flush=True)
        running.warehouse.client.command(
            _FILL,
            parameters={
                "namespace": NAMESPACE, "model": shape.name, "partitions": PARTITIONS, "start": START,
                "span": DAYS * DAY_MS, "events": predictions, "positive": POSITIVE, "first": first,
                "count": min(_CHUNK, predictions - first), "rows": _ROWS,
            },
        )  # fmt: skip
    # As a table is whose days are past: merged.
    running.warehouse.command("OPTIMIZE TABLE raw_predictions FINAL")


def _fill_predictions(running: World, predictions: int) -> None:
    """Records up to the committed offsets; there is nothing in them."""
    producer = Producer(running.settings.producer())
    for _ in range(_behind(predictions)):
        for place in range(PARTITIONS):
            send(producer, running.settings.topic("predictions"), b"", b"", place)
    producer.flush()


def _fill_outcomes(running: World, shape: Shape, predictions: int, outcomes: int) -> None:
    producer = Producer(running.settings.producer(**{"compression.type": "none"}))
    topic = running.settings.topic("outcomes")
    at = clock(START + DAYS * DAY_MS).decode()
    for first in range(0, outcomes, _IDS):
        of = {"predictions": predictions, "first": first, "count": min(_IDS, outcomes - first)}
        rows = running.warehouse.rows(_CHOSEN, of)
        keys = [f"{NAMESPACE}/{shape.name}/{name}".encode() for _, name in rows]
        places = partitions_of(keys, PARTITIONS).tolist()
        for (positive, name), key, place in zip(rows, keys, places, strict=True):
            label = POSITIVE if positive else "paid"
            body = (
                f'{{"namespace":"{NAMESPACE}","model":"{shape.name}","prediction_id":"{name}",'
                f'"event_time":"{at}","label":"{label}"}}'
            )
            send(producer, topic, body.encode(), key, place)
        producer.poll(0)
    promise(producer, topic, Maker([shape]), START + (DAYS + 2) * DAY_MS)


def _start(running: World, predictions: int) -> None:
    """Nothing is counted but the predictions: tables empty but for them, and offsets behind them."""
    kept = {name for (name,) in running.warehouse.rows(_KEPT)}
    for table in TABLES:
        if table != RAW_PREDICTIONS and table.name in kept:
            running.warehouse.command(f"TRUNCATE TABLE {table.name}")
    running.forget_offsets()
    running.start_behind(_behind(predictions))
