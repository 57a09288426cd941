"""Who is called for an incident: teams and models, as their compacted topics tell it."""

from collections.abc import Iterable, Mapping

import msgspec
import structlog
from pydantic import ValidationError

from bus.compacted import CompactedReader
from bus.generations import Declared
from schemas.lifecycle import Severity
from schemas.models import TeamRecord
from schemas.partials import model_key
from schemas.settings import Settings
from schemas.spec import REPLAYS, ModelSpec, TeamSpec

log = structlog.get_logger()

_DECODER = msgspec.json.Decoder(TeamRecord)


class Teams:
    """The newest document of every team. Pure.

    Args:
        default: channels of whoever has declared no team.
    """

    def __init__(self, default: Iterable[str]) -> None:
        self._default = frozenset(default)
        self._specs: dict[str, TeamSpec] = {}

    def learn(self, key: bytes, value: bytes | None) -> None:
        """Take over what a record says: a document, or that there is none any more.

        Raises:
            msgspec.MsgspecError: it is no record of a team.
            pydantic.ValidationError: with path and value of what is wrong.
        """
        if value is None:
            self._specs.pop(key.decode(), None)
        else:
            record = _DECODER.decode(value)
            self._specs[model_key(record.namespace, record.team)] = record.parsed()

    def channels(self, namespace: str, team: str, severities: Iterable[Severity]) -> frozenset[str]:
        """Names of the channels that hear of an incident.

        A team's ``warnings`` hear of everything, its ``channels`` of what is, or once was, critical. Of the replay of a
        table hears nobody.
        """
        if namespace == REPLAYS:
            return frozenset()
        spec = self._specs.get(model_key(namespace, team))
        if spec is None:
            return self._default
        return frozenset(spec.warnings) | (frozenset(spec.channels) if "critical" in severities else frozenset())


class Directory:
    """Reads both topics whenever asked, as far as they go then. Not thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.teams = Teams(settings.default_channels)
        self._specs: dict[str, ModelSpec] = {}
        self._declared = Declared()
        self._team_reader = CompactedReader(settings, "teams")
        self._model_reader = CompactedReader(settings, "models")
        self._models_topic = settings.topic("models")

    def read(self, timeout: float = 10.0) -> None:
        """Learn what is new. A record that cannot be used is said, and what was known before stays.

        Raises:
            KafkaException: the broker does not answer within ``timeout`` seconds.
        """
        for entry in self._team_reader.read(timeout):
            try:
                self.teams.learn(entry.key, entry.value)
            except (msgspec.MsgspecError, ValidationError) as error:
                log.error("notify.team_invalid", offset=entry.offset, error=str(error)[:500])
        for key in self._declared.learn(self._model_reader.read(timeout), self._models_topic):
            generations = self._declared.generations(*key.split("/", 1))
            if generations and generations[-1].namespace != REPLAYS:
                self._specs[key] = generations[-1].parsed()
            else:
                self._specs.pop(key, None)

    @property
    def models(self) -> Mapping[str, ModelSpec]:
        """``namespace/model`` -> spec of its newest generation; without replays, which end and are silent then."""
        return self._specs

    def close(self) -> None:
        """Leave the broker."""
        self._team_reader.close()
        self._model_reader.close()
