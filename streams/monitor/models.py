"""Reads the compacted ``models`` and ``teams`` topics: every generation, and every budget, published before now."""

from dataclasses import replace

import msgspec
import structlog
from pydantic import ValidationError

from bus.compacted import CompactedReader, Entry
from bus.generations import Declared
from schemas.models import TeamRecord
from schemas.partials import model_key
from schemas.settings import Settings
from schemas.spec import REPLAYS, TeamSpec
from streams.monitor.generations import Generations

log = structlog.get_logger()

Team = tuple[str, str]
"""(namespace, team)."""


class Models:
    """All models, as of the last :meth:`read`."""

    def __init__(self, settings: Settings) -> None:
        """Start at the beginning of the topic; nothing is read yet."""
        self._topic = settings.topic("models")
        self._declared = Declared()
        self._generations: dict[str, Generations] = {}
        self._budgets: dict[Team, float] = {}
        self._members: dict[Team, set[str]] = {}
        self._reader = CompactedReader(settings, "models")
        self._teams = CompactedReader(settings, "teams")

    def read(self, timeout: float = 30.0) -> None:
        """Learn everything up to the end that the topic has now.

        Raises:
            KafkaException: the broker does not answer within ``timeout`` seconds.
        """
        for entry in self._teams.read(timeout):
            self._learn_team(entry)
        for key in self._declared.learn(self._reader.read(timeout), self._topic):
            self._generations.pop(key, None)
            for members in self._members.values():
                members.discard(key)
            if records := self._declared.generations(*key.split("/", 1)):
                found = self._generations[key] = Generations.of(records)
                self._members.setdefault((records[-1].namespace, found.ordered[-1].spec.team), set()).add(key)

    def of(self, namespace: str, model: str) -> Generations | None:
        """The generations of a model, with its part of its team's budget; None when it is unknown, or was deleted.

        A team's models have equal parts. A replay has a whole budget: it calls nobody, and takes from nobody.
        """
        found = self._generations.get(model_key(namespace, model))
        if found is None:
            return None
        team = namespace, found.ordered[-1].spec.team
        models = 1 if namespace == REPLAYS else len(self._members[team])
        return replace(found, pages=self._budgets.get(team, TeamSpec().pages) / models)

    def close(self) -> None:
        """Leave the broker."""
        self._reader.close()
        self._teams.close()

    def _learn_team(self, entry: Entry) -> None:
        """A record that cannot be used is said, and what was known before stays."""
        try:
            namespace, _, team = entry.key.decode().partition("/")
            if entry.value is None:
                self._budgets.pop((namespace, team), None)
            else:
                record = msgspec.json.decode(entry.value, type=TeamRecord)
                self._budgets[record.namespace, record.team] = record.parsed().pages
        except (msgspec.MsgspecError, ValidationError, UnicodeDecodeError) as error:
            log.error("monitor.team_invalid", offset=entry.offset, error=str(error)[:500])
