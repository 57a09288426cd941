"""What owners have declared: the generations of every model, from the compacted ``models`` topic."""

from contextlib import closing

import msgspec
import structlog

from bus.compacted import CompactedReader
from schemas.models import ModelRecord
from schemas.partials import model_key
from schemas.settings import Settings

log = structlog.get_logger()


class UnknownGeneration(Exception):
    """A generation that is not in the ``models`` topic (yet)."""


class ModelBook:
    """Generations by model. A generation, once seen, is not read again: it never changes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._records: dict[str, dict[int, ModelRecord]] = {}

    def record(self, namespace: str, model: str, generation: int) -> ModelRecord:
        """One generation; the topic is read again if it is not known.

        Raises:
            UnknownGeneration: the topic does not hold it.
            KafkaException: the brokers cannot be asked now.
        """
        key = model_key(namespace, model)
        if generation not in self._records.get(key, {}):
            self.refresh()
        try:
            return self._records[key][generation]
        except KeyError:
            known = sorted(self._records.get(key, {}))
            raise UnknownGeneration(
                f"{key} has no generation {generation} in topic {self._settings.topic('models')}; known: {known}"
            ) from None

    def generations(self, namespace: str, model: str) -> list[ModelRecord]:
        """All generations, oldest first and at least one, from the topic as it is now.

        Raises:
            UnknownGeneration: nobody has declared the model.
            KafkaException: the brokers cannot be asked now.
        """
        self.refresh()
        known = self._records.get(model_key(namespace, model), {})
        if not known:
            raise UnknownGeneration(f"{model_key(namespace, model)} is not in topic {self._settings.topic('models')}")
        return [known[number] for number in sorted(known)]

    def refresh(self) -> None:
        """Read the topic from its start to its end.

        Raises:
            KafkaException: the brokers cannot be asked now.
        """
        with closing(CompactedReader(self._settings, "models")) as reader:
            for entry in reader.read():
                self._keep(entry.value)

    def _keep(self, value: bytes | None) -> None:
        if value is None:
            return
        try:
            record = msgspec.json.decode(value, type=ModelRecord)
        except msgspec.MsgspecError as error:
            log.error("models.undecodable", error=str(error))
            return
        self._records.setdefault(model_key(record.namespace, record.model), {})[record.generation] = record
