"""Batches made plainly: a table of rows as Arrow writes it, and the records of Kafka that carry it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from schemas.columnar import CONTENT_TYPE
from schemas.events import SourceTopic
from streams.aggregate.decode import Record

HEADERS: Any = [("content-type", CONTENT_TYPE.encode())]
TEXT, DICTIONARY, NUMBER = pa.string(), pa.dictionary(pa.int32(), pa.string()), pa.float64()
TIME = pa.timestamp("ms", "UTC")


def arrow(
    columns: Mapping[str, pa.Array], *, namespace: str = "default", model: str = "delay", options: Any = None
) -> bytes:
    """The value of a record: one schema with its metadata, one record batch."""
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    batch = batch.replace_schema_metadata({"namespace": namespace, "model": model})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    value: bytes = sink.getvalue().to_pybytes()
    return value


def batch_of_rows(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, pa.DataType], **of: Any) -> bytes:
    """A batch of rows by their column names; ``kinds``: type of each column, in their order."""
    return arrow({name: pa.array([row.get(name) for row in rows], kind) for name, kind in kinds.items()}, **of)


def record(topic: SourceTopic, offset: int, log_ts: int, value: bytes, partition: int = 0) -> Record:
    """A record that says that it is a batch."""
    return Record(topic, partition, offset, log_ts, value, HEADERS, b"somebody")
