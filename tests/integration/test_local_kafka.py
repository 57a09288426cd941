"""The local Kafka is a real one: it installs what its lock file names, keeps its data, and comes back after kill -9."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from compose.kafka import KafkaInstallError, LocalKafka, install, jar_directory, jars
from compose.process import ServerError

TOPIC = "flights"


@pytest.fixture
def broker(tmp_path: Path, kafka_cache: Path) -> Iterator[LocalKafka]:
    server = LocalKafka(tmp_path / "kafka", cache=kafka_cache, heap="256m")
    yield server
    server.kill()


def create_topic(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})  # kept: the future fails when its client goes
    admin.create_topics([NewTopic(TOPIC, 2)])[TOPIC].result(30)


def produce(bootstrap: str, values: range) -> None:
    """Send and wait until every message is acknowledged."""
    refused: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error:
            refused.append(error)

    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for value in values:
        producer.produce(TOPIC, str(value), str(value), on_delivery=delivered)
    assert producer.flush(30) == 0
    assert not refused


def consume(bootstrap: str, count: int, *, group: str) -> list[int]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])
    values: list[int] = []
    deadline = time.monotonic() + 30
    while len(values) < count and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.2):
            assert not message.error(), message.error()
            values.append(int(message.value() or b"-1"))
    consumer.close()  # commits
    return sorted(values)


def test_data_and_group_offsets_survive_stop_and_kill(broker: LocalKafka) -> None:
    first = broker.start()
    create_topic(first)
    produce(first, range(1000))
    assert consume(first, 1000, group="g") == list(range(1000))

    broker.stop()
    assert broker.pid is None
    assert broker.start() == first, "the port is remembered"
    produce(first, range(1000, 2000))
    assert consume(first, 1000, group="g") == list(range(1000, 2000)), "the group goes on where it was"

    broker.kill()
    assert broker.start() == first
    assert consume(first, 2000, group="another") == list(range(2000)), "what was acknowledged is there"


def test_a_shared_broker_answers(kafka: str) -> None:
    assert AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).brokers


def test_a_new_owner_ends_the_broker_that_outlived_the_old_one(broker: LocalKafka) -> None:
    bootstrap = broker.start()
    heir = LocalKafka(broker.root, cache=broker.cache, heap="256m")
    try:
        assert heir.start() == bootstrap
        assert broker.pid is None
    finally:
        heir.kill()


def test_a_failure_quotes_the_end_of_the_log(broker: LocalKafka) -> None:
    broker.start()
    broker.stop()
    (broker.root / "data" / "meta.properties").write_text("version=1\ncluster.id=another\nnode.id=7\n")
    with pytest.raises(ServerError, match=r"kafka ended with code 1\.(.|\n)*node.id"):
        broker.start()


def linked_copy(cache: Path, of: Path) -> Path:
    """A cache of the same jars, without their weight."""
    home = jar_directory(cache)
    home.mkdir(parents=True)
    for jar in jars():
        (home / jar.file).symlink_to(jar_directory(of) / jar.file)
    return cache


def break_a_jar(cache: Path) -> Path:
    """Flip one byte in the middle of the smallest jar."""
    path = min((jar_directory(cache) / jar.file for jar in jars()), key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # it is a link
    path.write_bytes(content)
    return path


def test_nothing_is_downloaded_twice(tmp_path: Path, kafka_cache: Path, kafka: str) -> None:
    assert kafka, "it filled the cache"
    assert install(linked_copy(tmp_path / "cache", kafka_cache), pytest.fail) == 0


def test_a_flipped_byte_in_a_jar_is_found_and_mended(tmp_path: Path, kafka_cache: Path, kafka: str) -> None:
    assert kafka, "it filled the cache"
    cache = linked_copy(tmp_path / "cache", kafka_cache)
    broken = break_a_jar(cache)
    said: list[str] = []
    install(cache, said.append)
    assert "downloading 1 jars" in said[0]
    jar = next(jar for jar in jars() if jar.file == broken.name)
    assert jar.is_at(broken)
    assert list(cache.iterdir()) == [jar_directory(cache)], "nothing half-done stays"


def test_a_jar_that_cannot_be_downloaded_stops_the_start(
    tmp_path: Path, kafka_cache: Path, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kafka, "it filled the cache"
    cache = linked_copy(tmp_path / "cache", kafka_cache)
    broken = break_a_jar(cache)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # nobody answers there
    with pytest.raises(KafkaInstallError, match=broken.name):
        LocalKafka(tmp_path / "kafka", cache=cache).start()
