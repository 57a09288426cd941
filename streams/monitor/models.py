"""Reads the compacted ``models`` topic: every generation that was published before now."""

from bus.compacted import CompactedReader
from bus.generations import Declared
from schemas.partials import model_key
from schemas.settings import Settings
from streams.monitor.generations import Generations


class Models:
    """All models, as of the last :meth:`read`."""

    def __init__(self, settings: Settings) -> None:
        """Start at the beginning of the topic; nothing is read yet."""
        self._topic = settings.topic("models")
        self._declared = Declared()
        self._generations: dict[str, Generations] = {}
        self._reader = CompactedReader(settings, "models")

    def read(self, timeout: float = 30.0) -> None:
        """Learn everything up to the end that the topic has now.

        Raises:
            KafkaException: the broker does not answer within ``timeout`` seconds.
        """
        for key in self._declared.learn(self._reader.read(timeout), self._topic):
            self._generations.pop(key, None)
            if records := self._declared.generations(*key.split("/", 1)):
                self._generations[key] = Generations.of(records)

    def of(self, namespace: str, model: str) -> Generations | None:
        """The generations of a model; None when it is unknown, or was deleted."""
        return self._generations.get(model_key(namespace, model))

    def close(self) -> None:
        """Leave the broker."""
        self._reader.close()
