"""Stage 1 as a process of its own that sends itself a signal when a checkpoint has reached a given step.

``python tests/aggregate_process.py SETTINGS POINT NTH SIGNAL``: settings as JSON; the NTH time that POINT is reached.
"""

import os
import signal
import sys
import threading
import time
import uuid

from schemas.settings import Settings
from streams import aggregate
from warehouse.client import Warehouse


def main() -> None:
    settings = Settings.model_validate_json(sys.argv[1])
    point, left, number = sys.argv[2], int(sys.argv[3]), signal.Signals[sys.argv[4]]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def reached(at: str) -> None:
        nonlocal left
        left -= at == point
        if at == point and left == 0:
            os.kill(os.getpid(), number)

    aggregate.run(
        settings,
        Warehouse.connect(settings.clickhouse_url, user="default", password="", database=settings.database),
        now=time.monotonic,
        owner_id=lambda: uuid.uuid4().hex,
        stop=stop,
        reached=reached,
    )


if __name__ == "__main__":
    main()
