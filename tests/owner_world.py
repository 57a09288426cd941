"""An installation as its owner sees it: the ``driftline`` command, roles as processes, a service that sends events."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from driftline import Emitter

from app.cli import main
from app.wiring import prepare
from schemas.settings import Settings
from schemas.windows import from_ms
from warehouse.client import Warehouse

DAY = 86_400_000
T0 = 1_356_998_400_000  # 2013-01-01T00:00:00Z
ROOT = Path(__file__).parent.parent


class Owned:
    """Topics, a database, the roles that were started, and the command."""

    def __init__(self, kafka: str, clickhouse_url: str, folder: Path, name: str) -> None:
        self.settings = Settings(
            bootstrap_servers=kafka,
            clickhouse_url=clickhouse_url,
            database=name,
            topic_prefix=name,
            source_partitions=2,
            checkpoint_seconds=0.2,
            session_timeout_ms=3_000,
            store=folder / "store",
        )
        self.folder = folder
        self.warehouse: Warehouse = prepare(self.settings, patience=60)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        told = ("bootstrap_servers", "clickhouse_url", "database", "topic_prefix", "source_partitions", "store")
        given = {name: getattr(self.settings, name) for name in (*told, "checkpoint_seconds", "session_timeout_ms")}
        self.told = {f"DRIFTLINE_{name.upper()}": str(value) for name, value in given.items()}

    def command(self, *words: str, code: int = 0, text: str = "") -> str:
        """Run ``driftline``, in this process to save its start; what it printed, once it has ended with ``code``."""
        out, given = io.StringIO(), io.TextIOWrapper(io.BytesIO(text.encode()))
        found: int | str | None = 0
        with (
            redirect_stdout(out),
            redirect_stderr(out),
            patch.dict(os.environ, self.told | {"COLUMNS": "200"}),
            patch.object(sys, "argv", ["driftline", *words]),
            patch.object(sys, "stdin", given),
        ):
            try:
                main()
            except SystemExit as ended:
                found = ended.code
        assert (found or 0) == code, out.getvalue()
        return out.getvalue()

    def apply(self, text: str, *words: str, code: int = 0) -> str:
        """``driftline apply`` a document."""
        return self.command("apply", "-f", "-", *words, code=code, text=text)

    def start(self, *roles: str, die: str = "") -> None:
        """Run roles until the end of the test; ``die`` names the place where a trainer or rollout kills itself."""
        for role in roles:
            how = [str(ROOT / "tests" / "retraining_process.py"), role] if die else ["-m", "app.cli", "run", role]
            with (self.folder / f"{role}.log").open("ab") as log:
                self.processes[role] = subprocess.Popen(
                    [sys.executable, *how],
                    env=os.environ | self.told | {"PYTHONPATH": str(ROOT), "DIE": die},
                    stdout=log,
                    stderr=log,
                )

    def dies(self, role: str) -> None:
        """Wait until a role has killed itself."""
        assert self.processes[role].wait(60) == -signal.SIGKILL

    def kill(self, role: str) -> None:
        """As the kernel does when memory is short."""
        process = self.processes.pop(role)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """End everything."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.warehouse.command(f"DROP DATABASE {self.settings.database}")

    def service(self, model: str) -> Emitter:
        """A service that sends events of a model."""
        prefix = self.settings.topic_prefix
        return Emitter(self.settings.bootstrap_servers, "default", model, topic_prefix=prefix)

    def rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """What ClickHouse answers."""
        return self.warehouse.rows(sql, parameters)

    def until(self, what: str, found: Callable[[], Any], seconds: float = 60.0) -> Any:
        """Ask until the answer is true, and return it."""
        deadline = time.monotonic() + seconds
        while not (answer := found()):
            logs = "\n".join(path.read_text()[-1500:] for path in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{logs}"
            time.sleep(0.05)
        return answer

    def decided(self, model: str, at: int, seconds: float = 60.0) -> None:
        """Wait until stage 2 has reported the window that ends at ``at``."""
        sql = (
            "SELECT count() FROM reports WHERE model = {model:String} AND `at` >= fromUnixTimestamp64Milli({at:Int64})"
        )
        self.until(f"{model} is decided through {at}", lambda: self.rows(sql, model=model, at=at)[0][0], seconds)


def send(emitter: Emitter, events: Iterable[tuple[str, int, dict[str, Any]]], label: int | None = None) -> None:
    """Predictions (id, event time, features), and their labels an hour later."""
    for number, (name, at, features) in enumerate(events):
        scores = {"yes": number % 10 / 10}
        emitter.prediction(name, version="7", event_time=from_ms(at), features=features, scores=scores)
        if label is not None:
            emitter.outcome(name, event_time=from_ms(at + 3_600_000), label=label)
    assert emitter.flush(30) == 0
