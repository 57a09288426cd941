"""A role as a process of its own, which a test can hold at any step: ``python faults_process.py ROLE SETTINGS``.

Imports done, it prints ``ready`` and waits for a line: the step to hold at next, or anything else for none. When it is
there it prints the step, and waits for the next line. The log goes to stderr. Steps are ``C0`` to ``C7`` of an
aggregator's checkpoint; of a monitor ``decided`` (a tick is merged and tested), ``inserted``, ``sent`` (each message)
and ``told`` (all of them; the doorbell is not committed yet).
"""

import os
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import mutants
import structlog

from app import leaving
from schemas.settings import Settings
from schemas.topics import TopicName
from warehouse.client import Warehouse

GRACE = 25.0
"""Seconds to leave: a million events may be waiting for the last checkpoint."""


class Holder:
    """Holds the process at a step until the test says where to hold it next."""

    def __init__(self) -> None:
        self._next = ""
        self._wait("ready")

    def _wait(self, step: str) -> None:
        sys.stdout.write(step + "\n")
        sys.stdout.flush()
        self._next = sys.stdin.readline().strip()

    def reached(self, step: str) -> None:
        """Be at a step."""
        if step == self._next:
            self._wait(step)


def aggregate(settings: Settings, warehouse: Callable[[], Warehouse]) -> None:
    """Stage 1."""
    from streams import aggregate

    holder = Holder()
    aggregate.run(
        settings,
        warehouse(),
        now=time.monotonic,
        owner_id=lambda: uuid.uuid4().hex,
        stop=leaving.when_told(GRACE),
        reached=holder.reached,
    )


def monitor(settings: Settings, warehouse: Callable[[], Warehouse]) -> None:
    """Stage 2."""
    from streams.monitor import run
    from streams.monitor.records import Records
    from streams.monitor.stage import Stage

    holder = Holder()
    write, tell, start = Records.write, Stage._tell, Stage.__init__

    def writing(self: Records, ticks: Any) -> None:
        holder.reached("decided")
        write(self, ticks)
        holder.reached("inserted")

    def starting(self: Stage, records: Records, models: Any, send: Any, **options: Any) -> None:
        async def sending(topic: TopicName, key: bytes, value: bytes) -> None:
            await send(topic, key, value)
            holder.reached("sent")

        start(self, records, models, sending, **options)

    async def telling(self: Stage, report: Any) -> None:
        await tell(self, report)
        holder.reached("told")

    Records.write, Stage._tell, Stage.__init__ = writing, telling, starting  # type: ignore[method-assign]
    run(settings, warehouse(), stop=leaving.when_told(GRACE))


def main() -> None:
    """Run until SIGTERM, or until the test kills it."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    role = {"aggregate": aggregate, "monitor": monitor}[sys.argv[1]]
    settings = Settings.model_validate_json(sys.argv[2])
    mutants.apply(os.environ.get("MUTANT", ""))

    def connect() -> Warehouse:
        made = Warehouse.connect(
            settings.clickhouse_url, user="default", password="", database=settings.database, patience=300
        )
        # What is inserted can be read by the proxy of a test.
        made.client.write_compression = None
        return made

    role(settings, connect)
    leaving.end()


if __name__ == "__main__":
    main()
