"""Avro and Protobuf by Confluent's own Schema Registry client."""

from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

# Importing it fills the default pool with the files that most schemas import: google/protobuf, google/type, confluent.
import confluent_kafka.schema_registry.protobuf  # noqa: F401
from confluent_kafka.schema_registry import SchemaRegistryClient, prefix_schema_id_deserializer
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.schema_registry_client import Schema
from confluent_kafka.schema_registry.serde import SchemaId
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from schemas.settings import Settings
from streams.ingest.formats import Decode, RegistryAway
from streams.ingest.values import Unmappable

_TIMEOUT_SECONDS = 10
_NOT_FOUND = 404
_SERIALIZED = "serialized"
"""Asks the registry for a Protobuf schema as its compiled descriptor; its text would need a compiler here."""

_FILE = "record.proto"
_WELL_KNOWN = "google.protobuf."
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

T = TypeVar("T")


def connect(settings: Settings) -> SchemaRegistryClient:
    """The operator's Schema Registry; it is not asked anything yet."""
    options: dict[str, Any] = {"url": settings.schema_registry_url, "timeout": _TIMEOUT_SECONDS}
    if settings.schema_registry_user:
        password = settings.schema_registry_password
        secret = password.get_secret_value() if password is not None else ""
        options["basic.auth.user.info"] = f"{settings.schema_registry_user}:{secret}"
    return SchemaRegistryClient.new_client(options)


def avro(client: SchemaRegistryClient) -> Decode:
    """A decoder of Avro records; logical types become dates, decimals and UUIDs."""
    deserializer = AvroDeserializer(client)
    asked: set[int | None] = set()

    def decode(value: bytes) -> Any:
        found = _framing("AVRO", value)[0].id
        if found not in asked:
            # The client remembers the answers: what the deserializer meets afterwards is the record's own fault.
            _with_imports(client, _ask(lambda: client.get_schema(found or 0)))
            asked.add(found)
        return deserializer(value)

    return lambda topic, value: _plainly(topic, lambda: decode(value))


def protobuf(client: SchemaRegistryClient) -> Decode:
    """A decoder of Protobuf records, by the descriptors that the registry has: nobody's generated code is needed."""
    classes: dict[tuple[int, tuple[int, ...]], type[Message]] = {}

    def decode(value: bytes) -> Any:
        found, body = _framing("PROTOBUF", value)
        key = (found.id or 0, tuple(found.message_indexes or (0,)))
        if key not in classes:
            classes[key] = _message_class(client, *key)
        message = classes[key]()
        message.ParseFromString(body)
        return _document(message)

    return lambda topic, value: _plainly(topic, lambda: decode(value))


def _framing(kind: str, value: bytes) -> tuple[SchemaId, bytes]:
    """Which schema the record names, and what follows."""
    found = SchemaId(kind)
    return found, prefix_schema_id_deserializer(value, None, found).read()


def _ask(question: Callable[[], T]) -> T:
    """Ask the registry, and tell what it does not know from what it cannot say now."""
    try:
        return question()
    except SchemaRegistryError as error:
        if error.http_status_code != _NOT_FOUND:
            raise RegistryAway(f"the Schema Registry refused: {error}") from error
        raise Unmappable("undecodable", f"the Schema Registry does not know the record's schema: {error}") from error
    except Exception as error:  # whatever its HTTP library raises
        raise RegistryAway(f"the Schema Registry does not answer: {type(error).__name__}: {error}") from error


def _with_imports(client: SchemaRegistryClient, schema: Schema, fmt: str | None = None) -> list[tuple[str, Schema]]:
    """The schemas that a schema imports, by the names it has for them, each after those that it imports itself."""
    found: list[tuple[str, Schema]] = []
    for reference in schema.references or ():
        subject, version = reference.subject or "", reference.version or 0
        imported = _ask(lambda s=subject, v=version: client.get_version(s, v, fmt=fmt)).schema  # type: ignore[misc]
        found += [*_with_imports(client, imported, fmt), (reference.name or "", imported)]
    return found


def _plainly(topic: str, decode: Callable[[], Any]) -> Any:
    """Decode, and say of a record that is broken how."""
    try:
        document = decode()
    except (Unmappable, RegistryAway):
        raise
    except Exception as error:  # whatever a decoder meets in foreign bytes
        raise Unmappable(
            "undecodable", f"not framed and encoded as {topic}'s schema says: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(document, dict):
        raise Unmappable("undecodable", f"the schema's value is a {type(document).__name__}, expected a record")
    return document


def _message_class(client: SchemaRegistryClient, schema_id: int, index: tuple[int, ...]) -> type[Message]:
    schema = _ask(lambda: client.get_schema(schema_id, fmt=_SERIALIZED))
    pool = DescriptorPool()
    for name, imported in _with_imports(client, schema, _SERIALIZED):
        _add(pool, name, imported)
    _add(pool, _FILE, schema)
    descriptor: Descriptor = list(pool.FindFileByName(_FILE).message_types_by_name.values())[index[0]]
    for position in index[1:]:
        descriptor = descriptor.nested_types[position]
    made: type[Message] = message_factory.GetMessageClass(descriptor)
    return made


def _add(pool: DescriptorPool, name: str, schema: Schema) -> None:
    file = descriptor_pb2.FileDescriptorProto()
    file.ParseFromString(b64decode(schema.schema_str or ""))
    file.name = name
    for dependency in file.dependency:
        _add_known(pool, dependency)
    pool.Add(file)


def _add_known(pool: DescriptorPool, name: str) -> None:
    """Add a file that every Protobuf has, unless a reference did."""
    try:
        pool.FindFileByName(name)
    except KeyError:
        file = descriptor_pb2.FileDescriptorProto()
        descriptor_pool.Default().FindFileByName(name).CopyToProto(file)
        for dependency in file.dependency:
            _add_known(pool, dependency)
        pool.Add(file)


def _document(message: Message) -> Any:
    """A message as plain values: fields by the names of the schema, enumerations by their names."""
    known = message.DESCRIPTOR.full_name
    if known == f"{_WELL_KNOWN}Timestamp":
        return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1_000)
    if known.startswith(_WELL_KNOWN) and known.endswith("Value") and len(message.DESCRIPTOR.fields) == 1:
        return message.value
    return {
        field.name: _value(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _value(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        inner = field.message_type.fields_by_name["value"]
        return {str(key): _value(inner, value[key]) for key in value}
    if field.is_repeated and not isinstance(value, str | bytes | Message | int | float):
        return [_single(field, item) for item in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return _document(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known is not None else value
    return value
