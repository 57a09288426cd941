"""From the bytes of a record to a document: JSON, or Avro and Protobuf whose schemas a Schema Registry has.

The registry's address and credentials are the operator's settings; a record names a schema by its number only.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from schemas.settings import Settings
from schemas.source import RecordFormat
from streams.ingest.values import Unmappable

MAX_BYTES: Final = 4_000_000
"""Largest record that is read, in bytes."""

Decode = Callable[[str, bytes], Any]
"""(topic, value) -> document."""


class RegistryAway(Exception):
    """The Schema Registry does not answer, or refuses us: not the record's fault, so it is tried again."""


class Formats:
    """Decoders, made when they are first needed: only who uses Avro or Protobuf needs a registry and its libraries."""

    def __init__(self, settings: Settings, registry: Any = None) -> None:
        """Decode by ``registry``, a Schema Registry's client; None: one for the settings' address."""
        self._settings = settings
        self._decoders: dict[RecordFormat, Decode] = {"json": _json}
        self._registry = registry

    def decode(self, format_: RecordFormat, topic: str, value: bytes) -> Any:
        """The document in a record.

        Raises:
            Unmappable: there is none of this format.
            RegistryAway: its schema cannot be asked for now.
        """
        if len(value) > MAX_BYTES:
            raise Unmappable("too_large", f"{len(value)} bytes, at most {MAX_BYTES}")
        if format_ not in self._decoders:
            self._decoders[format_] = self._with_registry(format_)
        return self._decoders[format_](topic, value)

    def _with_registry(self, format_: RecordFormat) -> Decode:
        from streams.ingest import registry  # noqa: PLC0415  who reads JSON only does not load it

        if self._registry is None:
            self._registry = registry.connect(self._settings)
        return (registry.avro if format_ == "avro" else registry.protobuf)(self._registry)


def _json(_topic: str, value: bytes) -> Any:
    try:
        document = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unmappable("undecodable", f"not JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise Unmappable("undecodable", f"a JSON {type(document).__name__}, expected an object")
    return document
