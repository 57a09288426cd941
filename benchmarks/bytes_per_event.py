"""``python -m benchmarks.bytes_per_event``: what the demo's events take up in ClickHouse, compressed and merged.

The events are those of the demo's service (17 features, one segment), decoded, checked and made rows by stage 1's own
code, and inserted into an embedded ClickHouse. Scores are random, which is as hard to compress as a model's. Kafka has
no part in it.
"""

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from zlib import crc32

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from app import wiring
from app.demo import flights, model
from app.demo.injector import Injector
from app.demo.service import FIRST_STEP, SEED
from app.demo.step import Answer, Identity, Message, content
from compose.clickhouse import LocalClickHouse
from schemas.events import SourceTopic
from schemas.tables import RAW_OUTCOMES, RAW_PREDICTIONS
from streams.aggregate.checkpoint import outcome_row, prediction_row
from streams.aggregate.accept import accept
from streams.aggregate.decode import Record, Refused
from streams.aggregate.models import Models
from streams.aggregate.state import Accepted
from warehouse.client import Warehouse
from warehouse.migrate import migrate

PARTITIONS = 4
_TABLES = {"predictions": (RAW_PREDICTIONS, prediction_row), "outcomes": (RAW_OUTCOMES, outcome_row)}
_MEASURED = """
SELECT sum(rows), sum(data_compressed_bytes + primary_key_size + marks_bytes), sum(data_uncompressed_bytes)
FROM system.parts WHERE database = currentDatabase() AND table = {table:String} AND active
"""


def main(
    days: Annotated[int, typer.Option(min=1, max=364, help="Days of the demo's year.")] = 60,
    cache: Annotated[Path, typer.Option(help="Folder of downloads.")] = Path("var/cache"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine.")] = False,
) -> None:
    """Measure what a raw prediction and a raw outcome of the demo take up on disk."""
    wiring.configure_logging(quiet=True)
    with tempfile.TemporaryDirectory() as folder, LocalClickHouse(Path(folder)) as server:
        warehouse = Warehouse.connect(server.url, user="default", password="", database="default")
        migrate(warehouse)
        sent = _fill(warehouse, flights.load(cache), days)
        found = {}
        for topic, (table, _) in _TABLES.items():
            warehouse.command(f"OPTIMIZE TABLE {table.name} FINAL")
            rows, packed, plain = (int(value) for value in warehouse.rows(_MEASURED, {"table": table.name})[0])
            found[topic] = {
                "rows": rows,
                "sent_bytes": round(sent[topic] / rows, 1),
                "plain_bytes": round(plain / rows, 1),
                "disk_bytes": round(packed / rows, 1),
            }
    if as_json:
        json.dump(found, sys.stdout)
        sys.stdout.write("\n")
        return
    shown = Table(title=f"{days} days of the demo's events, bytes per event")
    for name in ("", "rows", "sent (JSON)", "in ClickHouse, plain", "on disk, compressed"):
        shown.add_column(name, justify="left" if not name else "right")
    for topic, numbers in found.items():
        shown.add_row(topic, *(f"{value:,}" for value in numbers.values()))
    Console().print(shown)


def _fill(warehouse: Warehouse, data: flights.Flights, days: int) -> dict[str, int]:
    """Insert a day at a time, as checkpoints would; bytes of the events that became rows, by topic."""
    models = Models()
    models.learn(model.first_generation())
    sent: dict[str, int] = defaultdict(int)
    for seq, messages in enumerate(_steps(data, days), start=1):
        rows: dict[SourceTopic, list[tuple[Any, ...]]] = {"predictions": [], "outcomes": []}
        for offset, message in enumerate(messages):
            partition = crc32(message.prediction_id.encode()) % PARTITIONS
            # As if the broker had got it just in time for nothing to be from the future.
            log_ts = flights.step_start(FIRST_STEP + seq + 1)
            place = seq * 1_000_000 + offset
            try:
                item = accept(Record(message.topic, partition, place, log_ts, message.body), models)
            except Refused:
                continue
            if isinstance(item, Accepted):
                rows[message.topic].append(_TABLES[message.topic][1](item, seq))
                sent[message.topic] += len(message.body)
        for topic, found in rows.items():
            warehouse.insert(_TABLES[topic][0], found)
    return sent


def _steps(data: flights.Flights, days: int) -> Iterator[list[Message]]:
    random = np.random.default_rng(SEED)
    injector, declared = Injector(SEED), model.document().metadata
    identity = Identity(declared.namespace, declared.name)
    for step in range(FIRST_STEP, FIRST_STEP + days):
        scores = random.beta(2, 5, data.departing(step).num_rows)
        answers = [Answer("1", "champion", scores, float(random.lognormal(-3, 0.3)))]
        yield content(data, step, answers, [], injector=injector, identity=identity)


if __name__ == "__main__":
    typer.run(main)
