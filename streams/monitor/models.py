"""Reads the compacted ``models`` topic: every generation that was published before now."""

from collections import defaultdict

import msgspec
import structlog
from pydantic import ValidationError

from bus.compacted import CompactedReader
from schemas.models import ModelRecord
from schemas.partials import model_key
from schemas.settings import Settings
from streams.monitor.generations import Generations

log = structlog.get_logger()


class Models:
    """All models, as of the last :meth:`read`."""

    def __init__(self, settings: Settings) -> None:
        """Start at the beginning of the topic; nothing is read yet."""
        self._topic = settings.topic("models")
        self._records: dict[str, dict[int, ModelRecord]] = defaultdict(dict)
        self._generations: dict[str, Generations] = {}
        self._reader = CompactedReader(settings, "models")

    def read(self, timeout: float = 30.0) -> None:
        """Learn everything up to the end that the topic has now.

        A record that cannot be used is said and left out: the generation before it stays in effect.

        Raises:
            KafkaException: the broker does not answer within ``timeout`` seconds.
        """
        for entry in self._reader.read(timeout):
            self._learn(entry.value or b"", entry.offset)

    def of(self, namespace: str, model: str) -> Generations | None:
        """The generations of a model; None when it is unknown."""
        return self._generations.get(model_key(namespace, model))

    def close(self) -> None:
        """Leave the broker."""
        self._reader.close()

    def _learn(self, value: bytes, offset: int) -> None:
        try:
            record = msgspec.json.decode(value, type=ModelRecord)
            key = model_key(record.namespace, record.model)
            records = self._records[key] | {record.generation: record}
            self._generations[key] = Generations.of(records.values())
            self._records[key] = records
        except (msgspec.DecodeError, ValidationError) as error:
            log.error("monitor.model_invalid", topic=self._topic, offset=offset, error=str(error)[:500])
