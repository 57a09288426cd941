"""docs/quickstart.md, run as it stands there: every block, in its order, against the roles as processes."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from app.stack import Stack

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "quickstart.md"
OPTIONS = {"DRIFTLINE_CHECKPOINT_SECONDS": "0.3", "DRIFTLINE_SOURCE_PARTITIONS": "4"}


class Block(NamedTuple):
    """A fenced block: its language, its text, and the line where it begins."""

    language: str
    text: str
    line: int


def blocks() -> list[Block]:
    page = PAGE.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2], page[: found.start()].count("\n") + 1)
        for found in re.finditer(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, kafka_cache: Path) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("quickstart") / "up", cache=kafka_cache, options=OPTIONS) as made:
        made.start_roles(("aggregate", "ingest"))
        yield made


def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {done.__qualname__}")
        time.sleep(0.1)


class Reader:
    """Somebody who follows the page, in a folder of their own."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.names: dict[str, Any] = {}
        self.said: dict[str, str] = {}

    def shell(self, block: Block) -> None:
        for line in block.text.splitlines():
            name, *arguments = shlex.split(line)
            assert name == "driftline", f"quickstart.md:{block.line} starts something else: {line}"
            if arguments == ["up"]:
                continue  # it is the stack, on ports of its own
            arguments = [str(self.stack.root) if argument == "var/up" else argument for argument in arguments]
            done = subprocess.run(
                [sys.executable, "-m", "app.cli", *arguments],
                cwd=self.folder,
                env=os.environ | OPTIONS | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
            assert done.returncode == 0, f"quickstart.md:{block.line}: {line}\n{done.stdout}{done.stderr}"
            self.said[line] = done.stdout

    def python(self, block: Block) -> None:
        text = block.text.replace("127.0.0.1:9092", self.stack.env["DRIFTLINE_BOOTSTRAP_SERVERS"])
        exec(compile("\n" * block.line + text, str(PAGE), "exec"), self.names)  # noqa: S102  the page is ours

    def write(self, block: Block) -> None:
        name = re.match(r"# (\S+\.yaml)\n", block.text)
        assert name, f"quickstart.md:{block.line}: a document needs its name in a comment"
        (self.folder / name[1]).write_text(block.text, encoding="utf-8")

    def labelled(self, model: str) -> dict[str, int | None]:
        """Id -> label of what is served."""
        rows = self.stack.warehouse.rows(
            "SELECT prediction_id, label FROM served WHERE model = {m:String}", {"m": model}
        )
        return {str(prediction_id): label for prediction_id, label in rows}


def shop(stack: Stack, records: list[Block]) -> None:
    """The shop's own services, which know nothing of driftline."""
    admin = AdminClient(stack.settings.kafka())
    topics = ("shop.decisions", "shop.chargebacks")
    for done in admin.create_topics([NewTopic(topic, 2) for topic in topics]).values():
        done.result()
    producer = Producer(stack.settings.kafka())
    for topic, record in zip(topics, records, strict=True):
        producer.produce(topic, record.text.strip(), headers=[("model-version", "7")])
    assert producer.flush(30) == 0


def test_the_page_works_from_its_first_block_to_its_last(stack: Stack, tmp_path: Path) -> None:
    reader, found = Reader(stack, tmp_path), blocks()
    assert {block.language for block in found} == {"sh", "yaml", "python", "json"}
    shop(stack, [block for block in found if block.language == "json"])
    expected: dict[str, int | None] = {}
    for block in found:
        if block.language == "yaml":
            reader.write(block)
        elif block.language == "python":
            reader.python(block)
            if "outcome" in block.text:
                # The blocks look at what the ones before them sent.
                number = len(expected) + 1
                expected[f"order-{number}"] = int(number == 2)
                until(lambda: reader.labelled("fraud") == expected)
        elif block.language == "sh":
            if "sources" in block.text:
                until(lambda: reader.labelled("fraud-eu") == {"4711": 1})
            reader.shell(block)

    said = {line.removeprefix("driftline --stack var/up "): text for line, text in reader.said.items()}
    assert "payments/fraud" in said["status"]
    assert "predictions.counted" in next(text for line, text in said.items() if "FROM tallies" in line)
    assert "order-1" in next(text for line, text in said.items() if "FROM served" in line)
    assert re.search(r"shop\.decisions +1 +1 +0 +0", said["sources"])
    assert "everything agrees" in said["reconcile"]


def test_what_had_no_key_is_counted_once_wherever_it_landed(stack: Stack) -> None:
    """Only the third order, without a key, can have been astray: kafka-python's own partitioner is ours."""
    rows = stack.warehouse.rows(
        "SELECT sum(events) FROM tallies WHERE tally IN ('predictions.misrouted', 'outcomes.misrouted') "
        "AND model = 'fraud'"
    )
    assert 0 <= rows[0][0] <= 2
    counted = stack.warehouse.rows(
        "SELECT tally, events FROM tallies WHERE model = 'fraud' AND tally LIKE '%counted' ORDER BY tally"
    )
    assert [(str(name), int(n)) for name, n in counted] == [("outcomes.counted", 3), ("predictions.counted", 3)]


def test_kafka_python_by_default_partitions_as_we_do(stack: Stack) -> None:
    from kafka import KafkaProducer  # type: ignore[import-untyped]

    from streams.aggregate.routing import partitions_of

    producer = KafkaProducer(bootstrap_servers=stack.env["DRIFTLINE_BOOTSTRAP_SERVERS"])
    keys = [f"payments/other/{number}".encode() for number in range(200)]
    dead = json.dumps({"not": "an event"}).encode()
    sent = [producer.send("driftline.predictions", key=key, value=dead) for key in keys]
    producer.flush()
    found = [future.get(60).partition for future in sent]
    producer.close()
    assert found == partitions_of(keys, 4).tolist()
