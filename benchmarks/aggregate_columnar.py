"""``python -m benchmarks.aggregate_columnar``: many predictions in one Kafka message, as columns."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import typer
from confluent_kafka import Producer
from numpy.typing import NDArray

from benchmarks.aggregate import measure
from benchmarks.events import NAMESPACE, POSITIVE, Maker, Shape, columns, times
from benchmarks.load import LATENESS_MS, declare, promise, send
from benchmarks.measure import CACHE, ROOT, Cache, Events, Out, Root, Rounds, report
from benchmarks.world import PARTITIONS, World
from schemas.columnar import CONTENT_TYPE, FEATURE, SCORE, SEGMENT
from streams.aggregate.routing import partitions_of

ROWS = 2_000
"""In a message: 300 KB, below the largest event."""

_CHUNK = 40_000
HEADERS: list[tuple[str, str | bytes | None]] = [("content-type", CONTENT_TYPE.encode())]


def fill_columnar(world: World, models: Sequence[Shape], events: int, span: int) -> None:
    """The events of :func:`benchmarks.load.fill` in batches, each of one model and partition, as the SDK cuts them."""
    declare(world.settings, models)
    maker, topic = Maker(models), world.settings.topic("predictions")
    producer = Producer(world.settings.producer(**{"compression.type": "none"}))
    at = times(0, events, events, span)
    for place, shape in enumerate(models):
        numbers = np.arange(place, events, len(models))
        for first in range(0, len(numbers), _CHUNK):
            chunk = numbers[first : first + _CHUNK]
            keys = [maker.key(n) for n in chunk.tolist()]
            homes = partitions_of(keys, PARTITIONS)
            for partition in range(PARTITIONS):
                mine = np.flatnonzero(homes == partition)
                for start in range(0, len(mine), ROWS):
                    rows = mine[start : start + ROWS]
                    ids = [keys[row].rsplit(b"/", 1)[1].decode() for row in rows.tolist()]
                    body = batch(shape, ids, at[chunk[rows]], chunk[rows] // len(models) % shape.templates)
                    send(producer, topic, body, b"", partition, headers=HEADERS)
            producer.poll(0)
    promise(producer, topic, maker, int(at.max()) + 3 * LATENESS_MS)


def batch(shape: Shape, ids: Sequence[str], at: NDArray[np.int64], rows: NDArray[np.int64]) -> bytes:
    """One message: the events with these ids and times, made of these templates.

    Args:
        shape: of the model.
        ids: prediction ids.
        at: event times, ms.
        rows: template of each.
    """
    drawn = columns(shape)
    same = pa.array(np.zeros(len(ids), np.int32))
    found: dict[str, pa.Array] = {
        "prediction_id": pa.array(ids),
        "event_time": pa.array(at, pa.timestamp("ms", "UTC")),
        "version": pa.DictionaryArray.from_arrays(same, ["7"]),
        "prediction": pa.DictionaryArray.from_arrays(same, [POSITIVE]),
        "latency_ms": pa.array(drawn.latencies[rows]),
        SCORE + POSITIVE: pa.array(drawn.scores[rows]),
    }
    for place, name in enumerate(shape.number_names()):
        found[FEATURE + name] = pa.array(drawn.numbers[rows, place] / 1024)
    for place, name in enumerate(shape.string_names()):
        found[FEATURE + name] = pa.array(np.array(drawn.strings[place])[rows]).dictionary_encode()
    found[f"{SEGMENT}land"] = found[FEATURE + shape.string_names()[0]]
    table = pa.record_batch(found).replace_schema_metadata({"namespace": NAMESPACE, "model": shape.name})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_batch(table)
    return bytes(sink.getvalue())


def main(
    events: Events = 4_000_000, rounds: Rounds = 5, root: Root = ROOT, cache: Cache = CACHE, out: Out = None
) -> None:
    """Events per second of CPU through stage 1, in columnar batches (Arrow IPC) of up to 2,000 rows.

    The same events and model as of aggregate_json; raw rows with ids only.
    """
    models = [Shape(raw_features=False)]
    found = measure("aggregate_columnar", models, events, rounds, root, cache, filled=fill_columnar, peers=False)
    report(found, out)


if __name__ == "__main__":
    typer.run(main)
