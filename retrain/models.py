"""What owners have declared: the generations of every model, from the compacted ``models`` topic."""

from bus.generations import Declared, append, read_declared
from schemas.models import ModelRecord
from schemas.partials import model_key
from schemas.settings import Settings


class UnknownGeneration(Exception):
    """A generation that is not in the ``models`` topic (yet)."""


class ModelBook:
    """Generations by model. A generation, once seen, is not read again: it never changes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._declared = Declared()

    def record(self, namespace: str, model: str, generation: int) -> ModelRecord:
        """One generation; the topic is read again if it is not known.

        Raises:
            UnknownGeneration: the topic does not hold it; a model that was deleted has none.
            KafkaException: the brokers cannot be asked now.
        """
        found = self._known(namespace, model, generation)
        if found is None:
            self._declared = read_declared(self._settings)
            found = self._known(namespace, model, generation)
        if found is None:
            known = [record.generation for record in self._declared.generations(namespace, model)]
            raise UnknownGeneration(
                f"{model_key(namespace, model)} has no generation {generation} in topic "
                f"{self._settings.topic('models')}; known: {known}"
            )
        return found

    def generations(self, namespace: str, model: str) -> list[ModelRecord]:
        """All generations, oldest first and at least one, from the topic as it is now.

        Raises:
            UnknownGeneration: nobody has declared the model.
            KafkaException: the brokers cannot be asked now.
        """
        self._declared = read_declared(self._settings)
        known = self._declared.generations(namespace, model)
        if not known:
            raise UnknownGeneration(f"{model_key(namespace, model)} is not in topic {self._settings.topic('models')}")
        return known

    def _known(self, namespace: str, model: str, generation: int) -> ModelRecord | None:
        known = self._declared.generations(namespace, model)
        return next((record for record in known if record.generation == generation), None)


def publish(settings: Settings, record: ModelRecord) -> ModelRecord | None:
    """Publish a generation that a tick recorded, once, however often it is told.

    When an owner has published a spec meanwhile, the reference is joined to that one, under the next number: neither of
    the two is lost.

    Returns:
        The generation that stands; None when the model was deleted meanwhile.

    Raises:
        KafkaException: the brokers cannot be asked, or did not take it.
    """

    def make(known: list[ModelRecord]) -> ModelRecord | None:
        if not known:
            return None
        if told := next((other for other in known if other.cause_id == record.cause_id), None):
            return told
        newest = known[-1]
        if newest.generation < record.generation:
            return record
        return newest.next(reference=record.reference, effective_from=record.effective_from, cause_id=record.cause_id)

    return append(settings, record.namespace, record.model, make)
