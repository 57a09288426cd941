"""An installation as its operator has it: ``driftline run aggregate`` as a process, and the commands beside it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaException
from faults_world import PATIENCE, ROOT, World


def environment(world: World, **changed: Any) -> dict[str, str]:
    """``DRIFTLINE_*`` of the installation."""
    settings = world.settings
    given = {
        name: getattr(settings, name)
        for name in (
            "bootstrap_servers", "clickhouse_url", "database", "topic_prefix", "source_partitions", "replication",
            "checkpoint_seconds", "session_timeout_ms", "group_protocol", "idle_after_seconds",
            "store",
        )
    } | changed  # fmt: skip
    return os.environ | {f"DRIFTLINE_{name.upper()}": str(value) for name, value in given.items()}


def driftline(world: World, *words: str, code: int = 0, **changed: Any) -> str:
    """Run a command; what it printed. Fails when it ends with another code."""
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *words],
        env=environment(world, **changed),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == code, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr * (code != 0)


def as_json(world: World, *words: str, code: int = 0, **changed: Any) -> Any:
    """What a command says to a machine."""
    return json.loads(driftline(world, *words, "--json", code=code, **changed).splitlines()[0])


class Aggregator:
    """``driftline run aggregate``, and its log."""

    def __init__(self, world: World, **changed: Any) -> None:
        self.log = world.folder / f"driftline-{time.monotonic_ns()}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "run", "aggregate"],
                env=environment(world, **changed),
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self, words: str) -> Callable[[], bool]:
        """Whether its log has these words; fails when it has ended."""

        def look() -> bool:
            text = self.log.read_text()
            assert self.process.poll() is None or words in text, text[-3000:]
            return words in text

        return look

    def refused(self) -> str:
        """Wait for its end, which must be a refusal, and return what it said."""
        assert self.process.wait(PATIENCE) != 0
        return self.log.read_text()


def all_counted(world: World) -> bool:
    """Whether everything that was sent is committed, and perhaps what was sent on; no answer is no."""
    try:
        return world.past() <= 0
    except KafkaException:
        return False


@contextmanager
def aggregator(world: World, **changed: Any) -> Iterator[Aggregator]:
    """Stage 1 until the block ends; then it must leave in order."""
    made = Aggregator(world, **changed)
    try:
        yield made
        made.process.send_signal(signal.SIGTERM)
        assert made.process.wait(60) == 0, made.log.read_text()[-3000:]
    finally:
        made.process.kill()
        made.process.wait(30)
