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
from typing import Annotated

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
from schemas.tables import RAW_OUTCOMES, RAW_PREDICTIONS
from streams.aggregate.batch import Batch
from streams.aggregate.decode import Record
from streams.aggregate.models import Models
from streams.aggregate.raw import outcome_table, prediction_table
from streams.aggregate.read import Reader
from streams.aggregate.rows import EVENT, SIDES, Work
from warehouse.client import Warehouse
from warehouse.migrate import migrate

_TABLES = {"predictions": RAW_PREDICTIONS, "outcomes": RAW_OUTCOMES}
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
        for topic, table in _TABLES.items():
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
    reader = Reader(models, 1)
    sent: dict[str, int] = defaultdict(int)
    for seq, messages in enumerate(_steps(data, days), start=1):
        # As if the broker had got it just in time for nothing to be from the future.
        log_ts, work = flights.step_start(FIRST_STEP + seq + 1), Work()
        for topic in SIDES:
            records = [
                Record(message.topic, 0, seq * 1_000_000 + offset, log_ts, message.body)
                for offset, message in enumerate(messages)
                if message.topic == topic
            ]
            if records:
                kinds = reader.read(Batch.of_records(topic, records), work).kind
                sent[topic] += sum(
                    len(record.value or b"") for record, kind in zip(records, kinds, strict=True) if kind == EVENT
                )
        for table, rows in (
            (RAW_PREDICTIONS, prediction_table(work.predictions, models, {0: seq})),
            (RAW_OUTCOMES, outcome_table(work.outcomes, models, {0: seq})),
        ):
            if rows is not None:
                warehouse.insert_arrow(table, rows)
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
