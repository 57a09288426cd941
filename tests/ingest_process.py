"""The role ``ingest`` as a process of its own that kills itself in the middle of a transaction.

``python tests/ingest_process.py SETTINGS STEP``: settings as JSON; 1 dies after the events were produced, 2 after the
offsets were sent, 3 right after the commit.
"""

import os
import signal
import sys
import threading
import uuid
from typing import Any

from confluent_kafka import Producer

from schemas.settings import Settings
from streams import ingest
from streams.ingest import transfer
from warehouse.client import Warehouse


class Dying(Producer):
    """A producer that ends its process at a step of a transaction that has events."""

    step = 0
    produced = 0

    def produce(self, *args: Any, **options: Any) -> None:
        self.produced += 1
        super().produce(*args, **options)

    def send_offsets_to_transaction(self, *args: Any, **options: Any) -> None:
        self._at(1)
        super().send_offsets_to_transaction(*args, **options)
        self._at(2)

    def commit_transaction(self, *args: Any, **options: Any) -> None:
        super().commit_transaction(*args, **options)
        self._at(3)

    def _at(self, step: int) -> None:
        if step == self.step and self.produced:
            self.flush(10)
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    settings, Dying.step = Settings.model_validate_json(sys.argv[1]), int(sys.argv[2])
    transfer._TRANSACTION_MS = 1_000  # what a dead process left open is in nobody's way for long
    vars(transfer)["Producer"] = Dying
    warehouse = Warehouse.connect(settings.clickhouse_url, user="default", password="", database=settings.database)
    ingest.run(settings, warehouse, producer_id=lambda: uuid.uuid4().hex, stop=threading.Event())


if __name__ == "__main__":
    main()
