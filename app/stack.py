"""A whole installation on one machine: local Kafka, embedded ClickHouse and the four roles, under one supervisor."""

import errno
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from app import wiring
from app.supervisor import Supervisor
from compose.process import Lock, ServerError, answers, free_port, remembered_ports, write_whole
from schemas.settings import Settings
from warehouse.client import Warehouse

log = structlog.get_logger()

STAGES = ("aggregate", "monitor", "trainer", "rollout")
"""The circle: what the demo and the tests run."""

SERVICE = (*STAGES, "ingest", "web", "notify")
"""What ``driftline up`` runs: the circle, and what people and other systems meet."""

_MARKER = "stack.env"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ROOM = 200_000_000
"""Bytes; with less free, a server that ended most likely ended for want of them."""

# One machine has no slow network: a dead member is found soon, and a restart is quick.
_LOCAL = {"DRIFTLINE_SESSION_TIMEOUT_MS": "6000"}


def fresh(root: Path) -> None:
    """Empty the folder of an earlier stack, so that a run starts from nothing.

    Raises:
        SystemExit: the folder holds something, but no stack, or one that is running: it is not ours to delete.
    """
    if root.exists() and any(root.iterdir()):
        if not (root / _MARKER).exists():
            raise SystemExit(f"{root} is not empty and holds no driftline stack; name another folder with --root")
        lock = Lock(root)
        try:
            lock.take()
        except ServerError as error:
            raise SystemExit(str(error)) from None
        for item in root.rglob("*"):
            # A server that outlived its owner is found, and ended, by its process id.
            if item.is_file() and item.suffix != ".pid":
                item.unlink()
        lock.release()
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
        self._lock = Lock(self.root)
        self.supervisor = Supervisor(self.root / "logs")
        self._options = dict(options or {})
        self._say = say
        self.env: dict[str, str] = {}

    def __enter__(self) -> Self:
        from compose.kafka import KafkaInstallError

        try:
            self.start()
        except BaseException as error:
            self.stop()
            if isinstance(error, ServerError | KafkaInstallError):
                raise SystemExit(f"{error}{self._room()}") from None
            if isinstance(error, OSError) and error.errno in _FULL:
                raise SystemExit(f"{error}{self._room(wanted=True)}") from None
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start Kafka and ClickHouse side by side, make topics and tables, and write ``stack.env``.

        Raises:
            compose.process.ServerError: a server does not start, or another driftline works in this folder.
            compose.kafka.KafkaInstallError: Kafka cannot be downloaded.
        """
        self._lock.take()
        with ThreadPoolExecutor(2) as pool:
            bootstrap, url = pool.submit(self.kafka.start, say=self._say), pool.submit(self.clickhouse.start)
            self.env = {
                "DRIFTLINE_BOOTSTRAP_SERVERS": bootstrap.result(),
                "DRIFTLINE_CLICKHOUSE_URL": url.result(),
                "DRIFTLINE_STORE": str(self.root / "store"),
                **_LOCAL,
                **self._options,
            }
        write_whole(self.root / _MARKER, "".join(f"{name}={value}\n" for name, value in self.env.items()))
        self.warehouse: Warehouse = wiring.prepare(self.settings)

    @property
    def settings(self) -> Settings:
        """What the roles of this stack are told."""
        return wiring.load_settings(self.env)

    def start_roles(self, roles: Sequence[str] = STAGES, *, observed: bool = False) -> None:
        """Start roles, all at once; ``observed``: each has a port for its metrics, listed in :attr:`targets`."""
        ports = self._metrics_ports(roles) if observed else {}
        for role in roles:
            port = {"DRIFTLINE_METRICS_PORT": str(ports[role])} if observed else {}
            self.supervisor.start(role, [sys.executable, "-m", "app.cli", "run", role], {**self.env, **port})

    @property
    def targets(self) -> Path:
        """Where the roles' metrics are, as Prometheus reads it (``file_sd_configs``)."""
        return self.root / "metrics" / "targets.json"

    def _metrics_ports(self, roles: Sequence[str]) -> dict[str, int]:
        """The ports that the roles had before, where nobody else has them now; written down for Prometheus."""
        before = remembered_ports(self.targets.parent, dict.fromkeys(roles))
        ports = {role: free_port() if answers(port) else port for role, port in before.items()}
        remembered_ports(self.targets.parent, ports)
        found = [{"targets": [f"127.0.0.1:{port}"], "labels": {"role": role}} for role, port in ports.items()]
        write_whole(self.targets, json.dumps(found, indent=1))
        return ports

    def ended(self) -> str:
        """Why Kafka or ClickHouse is not running any more, for people; empty while both run."""
        ended = self.kafka.ended or self.clickhouse.ended
        return f"{ended}{self._room()}" if ended else ""

    def stop(self) -> None:
        """Stop everything, in the order of the flow, then ClickHouse and Kafka."""
        self.supervisor.stop()
        self.clickhouse.stop()
        self.kafka.stop()
        self._lock.release()

    def _room(self, *, wanted: bool = False) -> str:
        """What to do about a disk that is full; empty when it is not, and no more was ``wanted``."""
        free = shutil.disk_usage(self.root).free
        if free >= _ROOM and not wanted:
            return ""
        return (
            f"\n{free / 1e6:,.0f} MB are free under {self.root}. Make room, or name another folder with --root, and "
            "start again: what was acknowledged is kept."
        )
