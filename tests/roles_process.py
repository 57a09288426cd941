"""Roles as processes of their own, as ``driftline run`` starts them, beside a test's Kafka and ClickHouse."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from compose.process import free_port
from schemas.settings import Settings

ROOT = Path(__file__).parents[1]


def until(done: Callable[[], object], what: str, seconds: float = 90.0, why: Callable[[], str] = lambda: "") -> None:
    """Look again and again until it is so.

    Raises:
        Failed: it is not so in time; ``why`` is asked then.
    """
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}\n{why()}")
        time.sleep(0.05)


class Role:
    """A process of one role, with its metrics."""

    def __init__(self, name: str, settings: Settings, folder: Path, **options: str) -> None:
        self.name = name
        self.port = free_port()
        self.log = folder / f"{name}-{self.port}.log"
        told = {
            "DRIFTLINE_BOOTSTRAP_SERVERS": settings.bootstrap_servers,
            "DRIFTLINE_CLICKHOUSE_URL": settings.clickhouse_url,
            "DRIFTLINE_DATABASE": settings.database,
            "DRIFTLINE_TOPIC_PREFIX": settings.topic_prefix,
            "DRIFTLINE_SOURCE_PARTITIONS": str(settings.source_partitions),
            "DRIFTLINE_SESSION_TIMEOUT_MS": str(settings.session_timeout_ms),
            "DRIFTLINE_CHECKPOINT_SECONDS": str(settings.checkpoint_seconds),
            "DRIFTLINE_STORE": str(settings.store),
            "DRIFTLINE_METRICS_PORT": str(self.port),
        }
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "run", name],
                env={**os.environ, **told, **options}, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def get(self, path: str) -> tuple[int, str]:
        """Status and text; 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()
        except OSError:
            return 0, ""

    def until_ready(self) -> None:
        """Wait until it says so."""
        until(
            lambda: self.get("/readyz")[0] == 200,
            f"{self.name} is ready",
            why=lambda: f"{self.get('/readyz')[1]}\n{self.said[-3000:]}",
        )

    @property
    def said(self) -> str:
        """Its log."""
        return self.log.read_text()

    def end(self) -> int:
        """Tell it to leave, and wait; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.gone()

    def gone(self) -> int:
        """Its exit code, when it was told to leave.

        Raises:
            Failed: it is not gone in the ten seconds that are promised.
        """
        try:
            return self.process.wait(10.0)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} is still there 10 s after SIGTERM; its log ends:\n{self.said[-3000:]}")


@contextmanager
def started(settings: Settings, folder: Path, options: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Role]]:
    """Roles by name, each with further environment; nothing of them is left behind."""
    roles = {name: Role(name, settings, folder, **more) for name, more in options.items()}
    try:
        yield roles
    finally:
        for role in roles.values():
            role.process.kill()
            role.process.wait()
