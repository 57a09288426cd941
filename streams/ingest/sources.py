"""Which topics the models ask for, and by which rules: the newest generation of every model's spec."""

import structlog

from bus.compacted import CompactedReader
from bus.generations import Declared
from schemas.settings import Settings
from schemas.source import RecordFormat
from streams.ingest.mapping import Rule, formats_of, rules_of

log = structlog.get_logger()


class Sources:
    """What the ``models`` topic asks for.

    Attributes:
        rules: topic -> what models take from it.
        from_now_on: topics of which only new records are asked for.
    """

    def __init__(self, settings: Settings, *, has_registry: bool) -> None:
        self._has_registry = has_registry
        self.rules: dict[str, list[Rule]] = {}
        self.from_now_on: set[str] = set()
        self._own = f"{settings.topic_prefix}."
        self._declared = Declared()
        self._reader = CompactedReader(settings, "models")

    def read(self) -> None:
        """Learn what was published since the last time.

        Raises:
            KafkaException: the broker does not answer.
        """
        if self._declared.learn(self._reader.read()):
            self._build()

    def close(self) -> None:
        """Leave the broker."""
        self._reader.close()

    def _build(self) -> None:
        self.rules, self.from_now_on = {}, set()
        asked: dict[str, set[str]] = {}
        for key in self._declared.models():
            namespace, model = key.split("/", 1)
            specs = [record.parsed() for record in self._declared.generations(namespace, model)]
            for rule in rules_of(namespace, model, specs):
                self.rules.setdefault(rule.topic, []).append(rule)
                asked.setdefault(rule.topic, set()).add(specs[-1].source.start if specs[-1].source else "")
        # Whoever asks for the history gets it: for the others these are events like any.
        self.from_now_on = {topic for topic, starts in asked.items() if starts == {"latest"}}
        for topic, rules in list(self.rules.items()):
            if problem := self._problem(topic, formats_of(rules)):
                models = sorted({f"{rule.namespace}/{rule.model}" for rule in rules})
                log.error("ingest.topic_left_out", topic=topic, models=models, problem=problem)
                del self.rules[topic]

    def _problem(self, topic: str, formats: list[RecordFormat]) -> str:
        """Why a topic cannot be read at all; its records stay where they are."""
        if topic.startswith(self._own):
            return "it is driftline's own: name a topic of yours in source, or leave source out"
        if len(formats) > 1:
            return f"the models say that it is {' and '.join(formats)}: a topic has one format"
        if formats != ["json"] and not self._has_registry:
            return f"it is {formats[0]}, and no Schema Registry is set: set DRIFTLINE_SCHEMA_REGISTRY_URL, restart"
        return ""
