"""``driftline up`` where something is not as it should be: it says what is wrong and what to do, or goes on."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from confluent_kafka.admin import AdminClient

from app import wiring
from compose.kafka import jar_directory, jars
from compose.process import free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 120.0


class Up:
    """``driftline up`` as a person starts it."""

    def __init__(self, root: Path, cache: Path, env: dict[str, str] | None = None, **ports: int) -> None:
        chosen = {name: ports.get(name) or free_port() for name in ("kafka", "clickhouse", "web")}
        options = [word for name, port in chosen.items() for word in (f"--{name}-port", str(port))]
        self.output = root.parent / f"up-{time.monotonic_ns()}.txt"
        command = [sys.executable, "-m", "app.cli", "up", "--root", str(root), "--cache", str(cache), *options]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT, env={**os.environ, **(env or {})}
            )

    @property
    def said(self) -> str:
        """All that it has printed, line breaks of a narrow terminal taken out."""
        return " ".join(self.output.read_text().split())

    def until_ready(self) -> None:
        """Wait until it says how to ask it."""
        deadline = time.monotonic() + PATIENCE
        while "ask it" not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def end(self) -> tuple[int, str]:
        """Wait for its end; its exit code and all that it has printed."""
        code = self.process.wait(PATIENCE)
        assert "Traceback" not in self.said
        return code, self.said


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Folder of a stack; whatever still works in it afterwards is ended."""
    folder = tmp_path / "stack"
    folder.mkdir()
    yield folder
    for process in left_over(folder):
        process.kill()


def left_over(folder: Path) -> list[psutil.Process]:
    """Processes whose command line names the folder."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
    ]


@pytest.mark.parametrize("name", ["kafka", "web"])
def test_a_port_in_use_is_named_with_the_option_that_changes_it(
    root: Path, kafka_cache: Path, kafka: str, name: str
) -> None:
    assert kafka, "it filled the cache"
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, said = Up(root, kafka_cache, **{name: port}).end()
    assert code == 2
    assert f"{name}: port {port} of 127.0.0.1 is taken by another program. Stop that program, or choose another" in said
    assert f"driftline up --{name}-port" in said
    assert left_over(root) == []


def test_half_a_download_is_said_and_nothing_of_it_is_believed(root: Path, kafka_cache: Path, kafka: str) -> None:
    assert kafka, "it filled the cache"
    cache = root.parent / "cache"
    jar_directory(cache).mkdir(parents=True)
    for jar in jars()[1:]:
        (jar_directory(cache) / jar.file).symlink_to(jar_directory(kafka_cache) / jar.file)
    half = jar_directory(cache) / jars()[0].file
    whole = (jar_directory(kafka_cache) / half.name).read_bytes()
    half.write_bytes(whole[: len(whole) // 2])
    nobody = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:1")
    code, said = Up(root, cache, env=nobody).end()
    assert code == 2
    assert f"{half.name} cannot be downloaded from Maven Central" in said
    assert "Check the network (HTTPS_PROXY is honoured), or give a Java and the class path of a Kafka" in said
    assert half.read_bytes() == whole[: len(whole) // 2], "it is mended by the next start that has a network"
    assert sorted(cache.iterdir()) == [jar_directory(cache)], "nothing else stays"


def test_a_full_disk_is_said_with_what_is_free(root: Path, kafka_cache: Path, kafka: str) -> None:
    assert kafka, "it filled the cache"
    (root / "kafka").mkdir()
    # Whatever is written there finds no space, on every machine and for every user.
    (root / "kafka" / ".ports.json.new").symlink_to("/dev/full")
    code, said = Up(root, kafka_cache).end()
    assert code == 2
    assert "No space left on device" in said
    assert re.search(rf"[\d,]+ MB are free under {root}\. Make room, or name another folder with --root", said)
    assert left_over(root) == []


def test_what_kill_9_left_is_taken_up_and_a_dead_server_is_said(root: Path, kafka_cache: Path, kafka: str) -> None:
    assert kafka, "it filled the cache"
    first = Up(root, kafka_cache)
    first.until_ready()
    settings = wiring.load_settings(wiring.read_stack(root))
    wiring.open_warehouse(settings).command("CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a")
    topics = set(AdminClient(settings.kafka()).list_topics(timeout=30).topics)
    first.process.kill()
    first.process.wait(PATIENCE)
    # Kafka lives on; ClickHouse is dead, and its process id is somebody else's by now; the notes are halves.
    psutil.Process(int((root / "clickhouse" / "clickhouse.pid").read_text())).kill()
    (root / "clickhouse" / "clickhouse.pid").write_text(str(os.getpid()))
    for path in (root / "kafka" / "ports.json", root / "clickhouse" / "ports.json", root / "stack.env"):
        os.truncate(path, path.stat().st_size // 2)

    second = Up(root, kafka_cache)
    second.until_ready()
    settings = wiring.load_settings(wiring.read_stack(root))
    assert wiring.open_warehouse(settings).rows("SELECT count() FROM kept") == [(0,)]
    assert set(AdminClient(settings.kafka()).list_topics(timeout=30).topics) >= topics

    code, said = Up(root, kafka_cache).end()
    assert code == 2
    assert f"{root} is used by another driftline, process {second.process.pid}. Stop it" in said
    assert second.process.poll() is None, "the one that works there is left alone"

    os.kill(int((root / "kafka" / "kafka.pid").read_text()), signal.SIGKILL)
    code, said = second.end()
    assert code == 2
    assert f"kafka has ended. The end of {root}/kafka/kafka.log:" in said
    assert left_over(root) == []
