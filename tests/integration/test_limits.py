"""Large messages get through, and topics that would hold them up are refused at start."""

import random
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from app import wiring
from schemas.settings import Settings
from schemas.topics import MAX_MESSAGE_BYTES
from streams.aggregate.consumer import PRODUCER


@pytest.fixture
def settings(kafka: str, request: pytest.FixtureRequest) -> Settings:
    """Settings of an installation of this test's own, its topics made."""
    own = Settings(bootstrap_servers=kafka, topic_prefix=f"limits-{request.node.name.replace('_', '-')}"[:100])
    wiring.ensure_topics(own)
    return own


def test_a_message_of_many_megabytes_after_compression_gets_through(settings: Settings) -> None:
    value = random.Random(1).randbytes(MAX_MESSAGE_BYTES * 3 // 4)
    errors: list[object] = []
    producer = Producer(settings.producer(**PRODUCER))
    producer.produce(
        settings.topic("partials"), value, b"0/a/b", on_delivery=lambda error, _message: errors.append(error)
    )
    assert producer.flush(60) == 0
    assert errors == [None]
    reader = Consumer(settings.consumer("reader"))
    reader.assign([TopicPartition(settings.topic("partials"), 0, 0)])
    message = reader.poll(60)
    reader.close()
    assert message is not None
    assert message.value() == value


def test_smaller_limits_are_refused_with_what_to_do_and_larger_ones_are_the_owners(settings: Settings) -> None:
    admin = AdminClient(settings.kafka())

    def limit(value: int) -> None:
        entry = ConfigEntry("max.message.bytes", str(value), incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, settings.topic("partials"), incremental_configs=[entry])
        admin.incremental_alter_configs([resource])[resource].result(30)
        # The controller has it; the broker that answers learns of it in a moment.
        while admin.describe_configs([resource])[resource].result(30)["max.message.bytes"].value != str(value):
            time.sleep(0.05)

    limit(1_048_576)
    with pytest.raises(SystemExit, match=r"partials: max.message.bytes is 1048576.*--add-config max.message.bytes="):
        wiring.ensure_topics(settings)
    limit(2 * MAX_MESSAGE_BYTES)
    assert wiring.ensure_topics(settings) == []
