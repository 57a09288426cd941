"""What a consumer group has committed, also while its broker still looks for the group's coordinator."""

import time
from collections.abc import Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from schemas.settings import Settings

_STARTING = (KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS)


def committed(settings: Settings, role: str, places: Sequence[TopicPartition]) -> list[TopicPartition]:
    """The places with the offsets and metadata of the group of a role; nothing committed: an offset below 0.

    Raises:
        KafkaException: there is no coordinator within a minute, or it has another reason.
    """
    reader = Consumer(settings.consumer(settings.group(role)))
    deadline = time.monotonic() + 60
    try:
        while True:
            try:
                return list(reader.committed(list(places), timeout=30))
            except KafkaException as error:
                if error.args[0].code() not in _STARTING or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
    finally:
        reader.close()
