"""How long a doorbell is answered that cannot be: as long as others are to blame, and a few times when we are.

Giving up acknowledges the message, so what Kafka, ClickHouse or the disk cannot do now is tried until they can. An
error of another kind will most likely come again, and must not hold up the models behind it: what is recorded stays,
and the model's next doorbell tries once more.
"""

import asyncio

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException
from faust.exceptions import FaustError
from urllib3.exceptions import HTTPError

TRIES = 5
"""How often an error that is nobody else's is met before the message is given up."""

_ELSEWHERE = (KafkaException, KafkaError, FaustError, ClickHouseError, HTTPError, OSError)
_BACK_OFF = (0.2, 1.0, 5.0)


def elsewhere(error: Exception) -> bool:
    """Whether Kafka, ClickHouse or the disk is to blame, and not we."""
    return isinstance(error, _ELSEWHERE)


class Patience:
    """With one message.

    Attributes:
        attempts: how often it has failed.
    """

    def __init__(self) -> None:
        self.attempts = 0
        self._ours = 0

    async def again(self, error: Exception) -> bool:
        """Wait a little before the next try, and return True; False at once when another is pointless."""
        self._ours += not elsewhere(error)
        if self._ours >= TRIES:
            return False
        await asyncio.sleep(_BACK_OFF[min(self.attempts, len(_BACK_OFF) - 1)])
        self.attempts += 1
        return True
