"""Who is called for an incident: teams and models, as their compacted topics tell it."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from pydantic import ValidationError

from bus.compacted import CompactedReader
from schemas.lifecycle import Severity
from schemas.models import TeamRecord
from schemas.partials import model_key
from schemas.settings import Settings
from schemas.spec import ModelSpec, TeamSpec

log = structlog.get_logger()


class _ModelRecord(Struct, frozen=True):
    """A model's generation without its reference, which may be large and says nothing here."""

    namespace: str
    model: str
    generation: int
    spec: dict[str, Any]


class Teams:
    """The newest document of every team. Pure.

    Args:
        default: channels of whoever has declared no team.
    """

    def __init__(self, default: Iterable[str]) -> None:
        self._default = frozenset(default)
        self._specs: dict[str, TeamSpec] = {}

    def learn(self, record: TeamRecord) -> None:
        """Take a document over.

        Raises:
            pydantic.ValidationError: with path and value of what is wrong.
        """
        self._specs[model_key(record.namespace, record.team)] = record.parsed()

    def channels(self, namespace: str, team: str, severities: Iterable[Severity]) -> frozenset[str]:
        """Names of the channels that hear of an incident.

        A team's ``warnings`` hear of everything, its ``channels`` of what is, or once was, critical.
        """
        spec = self._specs.get(model_key(namespace, team))
        if spec is None:
            return self._default
        return frozenset(spec.warnings) | (frozenset(spec.channels) if "critical" in severities else frozenset())


class Directory:
    """Reads both topics whenever asked, as far as they go then. Not thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.teams = Teams(settings.default_channels)
        self._generations: dict[str, int] = {}
        self._models: dict[str, ModelSpec] = {}
        self._team_reader = CompactedReader(settings, "teams")
        self._model_reader = CompactedReader(settings, "models")
        self._team_decoder = msgspec.json.Decoder(TeamRecord)
        self._model_decoder = msgspec.json.Decoder(_ModelRecord)

    def read(self, timeout: float = 10.0) -> None:
        """Learn what is new. A record that cannot be used is said, and what was known before stays.

        Raises:
            KafkaException: the broker does not answer within ``timeout`` seconds.
        """
        for entry in self._team_reader.read(timeout):
            try:
                self.teams.learn(self._team_decoder.decode(entry.value or b""))
            except (msgspec.MsgspecError, ValidationError) as error:
                log.error("notify.team_invalid", offset=entry.offset, error=str(error)[:500])
        for entry in self._model_reader.read(timeout):
            try:
                self._learn_model(self._model_decoder.decode(entry.value or b""))
            except (msgspec.MsgspecError, ValidationError) as error:
                log.error("notify.model_invalid", offset=entry.offset, error=str(error)[:500])

    def _learn_model(self, record: _ModelRecord) -> None:
        key = model_key(record.namespace, record.model)
        if record.generation >= self._generations.get(key, -1):
            self._models[key] = ModelSpec.model_validate(record.spec)
            self._generations[key] = record.generation

    @property
    def models(self) -> Mapping[str, ModelSpec]:
        """``namespace/model`` -> spec of its newest generation."""
        return self._models

    def close(self) -> None:
        """Leave the broker."""
        self._team_reader.close()
        self._model_reader.close()
