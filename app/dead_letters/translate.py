"""A dead letter of a customer's own topic, translated anew by what the models' ``source`` says today."""

from collections.abc import Sequence

from app.dead_letters.letters import Letter
from schemas.settings import Settings
from streams.ingest.formats import Formats, RegistryAway
from streams.ingest.mapping import Ready, map_record
from streams.ingest.sources import Sources
from streams.ingest.values import Source, Unmappable


class Translator:
    """Reads the models' sources when the first letter asks for them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._formats = Formats(settings)
        self._sources: Sources | None = None

    def events(self, letter: Letter) -> Sequence[Ready]:
        """The events that the letter's record would become today.

        Raises:
            Unmappable: none, with the reason.
            KafkaException: the brokers do not answer.
        """
        if self._sources is None:
            self._sources = Sources(self._settings, has_registry=bool(self._settings.schema_registry_url))
            try:
                self._sources.read()
            finally:
                self._sources.close()
        topic = letter.place[0]
        rules = self._sources.rules.get(topic, [])
        meant = [rule for rule in rules if rule.may_mean(Source(None, letter.headers))]
        if not meant:
            raise Unmappable("unmapped", f"no model's source means this record of {topic} today: apply one that does")
        try:
            document = self._formats.decode(meant[0].format, topic, letter.value)
        except RegistryAway as away:
            raise Unmappable("undecodable", f"{away}; try again") from away
        mapped = map_record(meant, Source(document, letter.headers))
        if mapped.refused:
            raise mapped.refused[0]
        if not mapped.events:
            raise Unmappable("unmapped", f"`when` leaves this record of {topic} to nobody today")
        return mapped.events
