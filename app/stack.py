"""A whole installation on one machine: local Kafka, embedded ClickHouse and the four roles, under one supervisor."""

import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from app import wiring
from app.supervisor import Supervisor
from schemas.settings import Settings
from warehouse.client import Warehouse

log = structlog.get_logger()

STAGES = ("aggregate", "monitor", "trainer", "rollout")
"""The circle: what the demo and the tests run."""

SERVICE = (*STAGES, "ingest", "web", "notify")
"""What ``driftline up`` runs: the circle, and what people and other systems meet."""

_MARKER = "stack.env"

# One machine has no slow network: a dead member is found soon, and a restart is quick.
_LOCAL = {"DRIFTLINE_SESSION_TIMEOUT_MS": "6000"}


def fresh(root: Path) -> None:
    """Empty the folder of an earlier stack, so that a run starts from nothing.

    Raises:
        SystemExit: the folder holds something, but no stack: it is not ours to delete.
    """
    if root.exists() and any(root.iterdir()):
        if not (root / _MARKER).exists():
            raise SystemExit(f"{root} is not empty and holds no driftline stack; name another folder with --root")
        for item in root.rglob("*"):
            # A server that outlived its owner is found, and ended, by its process id.
            if item.is_file() and item.suffix != ".pid":
                item.unlink()
    root.mkdir(parents=True, exist_ok=True)
    (root / _MARKER).touch()


class Stack:
    """Kafka and ClickHouse, started together, then the roles.

    Args:
        root: data, logs and ``stack.env`` (the addresses) go here.
        cache: downloads (the Kafka jars) go here; shared by all stacks.
        kafka_port: default: the one that ``root`` had before, else a free one.
        clickhouse_port: the same.
        options: further ``DRIFTLINE_*`` settings of the roles.
        say: told of the progress of downloads.
    """

    def __init__(
        self,
        root: Path,
        *,
        cache: Path,
        kafka_port: int | None = None,
        clickhouse_port: int | None = None,
        options: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        from compose.clickhouse import LocalClickHouse
        from compose.kafka import LocalKafka

        root.mkdir(parents=True, exist_ok=True)
        self.root = root.resolve()
        self.kafka = LocalKafka(self.root / "kafka", cache=cache, port=kafka_port)
        password = wiring.load_settings(options).analyst_password.get_secret_value()
        self.clickhouse = LocalClickHouse(self.root / "clickhouse", port=clickhouse_port, analyst_password=password)
        self.supervisor = Supervisor(self.root / "logs")
        self._options = dict(options or {})
        self._say = say
        self.env: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start Kafka and ClickHouse side by side, make topics and tables, and write ``stack.env``."""
        with ThreadPoolExecutor(2) as pool:
            bootstrap, url = pool.submit(self.kafka.start, say=self._say), pool.submit(self.clickhouse.start)
            self.env = {
                "DRIFTLINE_BOOTSTRAP_SERVERS": bootstrap.result(),
                "DRIFTLINE_CLICKHOUSE_URL": url.result(),
                "DRIFTLINE_STORE": str(self.root / "store"),
                **_LOCAL,
                **self._options,
            }
        (self.root / _MARKER).write_text("".join(f"{name}={value}\n" for name, value in self.env.items()))
        self.warehouse: Warehouse = wiring.prepare(self.settings)

    @property
    def settings(self) -> Settings:
        """What the roles of this stack are told."""
        return wiring.load_settings(self.env)

    def start_roles(self, roles: Sequence[str] = STAGES) -> None:
        """Start roles, all at once."""
        for role in roles:
            self.supervisor.start(role, [sys.executable, "-m", "app.cli", "run", role], self.env)

    def stop(self) -> None:
        """Stop everything, in the order of the flow, then ClickHouse and Kafka."""
        self.supervisor.stop()
        self.clickhouse.stop()
        self.kafka.stop()
