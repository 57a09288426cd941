"""Avro and Protobuf, written by Confluent's serializers into its mock registry, and read by the schema's number."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from ingest_world import model

from schemas.settings import Settings
from streams.ingest.formats import Formats, RegistryAway
from streams.ingest.mapping import map_record, rules_of
from streams.ingest.values import Source, Unmappable

TOPIC = "shop.decisions"
AT = datetime(2026, 3, 1, 12, 3, tzinfo=UTC)
CONTEXT = SerializationContext(TOPIC, MessageField.VALUE)

AVRO = {
    "type": "record",
    "name": "Decision",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "p", "type": "double"},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "country", "type": ["null", "string"], "default": None},
        {"name": "returning", "type": "boolean"},
    ],
}


@pytest.fixture
def registry() -> Any:
    return SchemaRegistryClient.new_client({"url": "mock://registry"})


def event(formats: Formats, format_: Any, value: bytes) -> dict[str, Any]:
    """What the shop's model makes of a record with flat fields."""
    predictions = {
        "format": format_,
        "when": None,
        "id": "id",
        "version": {"constant": "7"},
        "time": {"path": "at", "format": "epoch_ms"},
        "features": {"amount": "amount", "country": "country", "returning": "returning"},
        "scores": {"fraud": "p"},
        "prediction": None,
        "latency_ms": None,
        "segments": {},
    }
    (rule, _) = rules_of("payments", "fraud", [model(predictions=predictions).spec])
    found = map_record([rule], Source(formats.decode(format_, TOPIC, value), None))
    assert found.refused == []
    made: dict[str, Any] = json.loads(found.events[0].body)
    return made


def test_an_avro_record_with_logical_types_becomes_an_event(registry: Any) -> None:
    write = AvroSerializer(registry, json.dumps(AVRO))
    value = write(
        {"id": 3, "at": AT, "p": 0.25, "amount": Decimal("12.50"), "country": None, "returning": True}, CONTEXT
    )
    made = event(Formats(Settings(), registry), "avro", value or b"")
    assert made["prediction_id"] == "3"
    assert made["event_time"] == "2026-03-01T12:03:00Z"
    assert made["features"] == {"amount": 12.5, "country": None, "returning": True}
    assert made["scores"] == {"fraud": 0.25}


def test_an_avro_schema_may_change_from_record_to_record(registry: Any) -> None:
    formats = Formats(Settings(), registry)
    first = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}
    second = {"type": "record", "name": "R", "fields": [{"name": "b", "type": "string"}]}
    values = [
        AvroSerializer(registry, json.dumps(schema))(body, CONTEXT)
        for schema, body in ((first, {"a": 1}), (second, {"b": "x"}), (first, {"a": 2}))
    ]
    assert [formats.decode("avro", TOPIC, value or b"") for value in values] == [{"a": 1}, {"b": "x"}, {"a": 2}]


Field = descriptor_pb2.FieldDescriptorProto


def decision_class() -> Any:
    """Generated code as a shop's producer has it: nested, optional, repeated, a map, an enumeration, a Timestamp."""
    file = descriptor_pb2.FileDescriptorProto(
        name="shop/decision.proto", package="shop", syntax="proto3", dependency=["google/protobuf/timestamp.proto"]
    )
    # The event is not the first message of its file, and is nested in another: the framing names it by position.
    file.message_type.add(name="Other")
    outer = file.message_type.add(name="Envelope")
    message = outer.nested_type.add(name="Decision")

    def add(name: str, number: int, type_: Any, **more: Any) -> None:
        message.field.add(name=name, number=number, type=type_, **({"label": Field.LABEL_OPTIONAL} | more))

    add("id", 1, Field.TYPE_INT64)
    add("at", 2, Field.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp")
    add("p", 3, Field.TYPE_DOUBLE)
    add("amount", 4, Field.TYPE_DOUBLE)
    message.oneof_decl.add(name="_country")
    add("country", 5, Field.TYPE_STRING, oneof_index=0, proto3_optional=True)
    add("returning", 6, Field.TYPE_BOOL)
    add("channel", 7, Field.TYPE_ENUM, type_name=".shop.Envelope.Decision.Channel")
    add("items", 8, Field.TYPE_STRING, label=Field.LABEL_REPEATED)
    entry = message.nested_type.add(name="TagsEntry")
    entry.options.map_entry = True
    for name, number in (("key", 1), ("value", 2)):
        entry.field.add(name=name, number=number, type=Field.TYPE_STRING, label=Field.LABEL_OPTIONAL)
    tags = ".shop.Envelope.Decision.TagsEntry"
    add("tags", 9, Field.TYPE_MESSAGE, label=Field.LABEL_REPEATED, type_name=tags)
    channel = message.enum_type.add(name="Channel")
    for number, name in enumerate(("UNKNOWN", "WEB")):
        channel.value.add(name=name, number=number)

    pool = descriptor_pool.DescriptorPool()
    timestamp = descriptor_pb2.FileDescriptorProto()
    descriptor_pool.Default().FindFileByName("google/protobuf/timestamp.proto").CopyToProto(timestamp)
    pool.Add(timestamp)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Envelope.Decision"))


def test_a_protobuf_record_is_read_without_generated_code(registry: Any) -> None:
    kind = decision_class()
    message = kind(id=2**53, p=0.25, amount=12.5, returning=True, channel=1, items=["a", "b"], tags={"shop": "de"})
    message.at.FromDatetime(AT)
    write = ProtobufSerializer(kind, registry, {"use.deprecated.format": False})
    formats = Formats(Settings(), registry)
    value = write(message, CONTEXT) or b""
    assert formats.decode("protobuf", TOPIC, value) == {
        "id": 2**53,
        "at": AT,
        "p": 0.25,
        "amount": 12.5,
        "returning": True,
        "channel": "WEB",
        "items": ["a", "b"],
        "tags": {"shop": "de"},
    }
    made = event(formats, "protobuf", value)
    assert made["prediction_id"] == str(2**53)
    assert made["features"] == {"amount": 12.5, "country": None, "returning": True}


def _break(value: bytes) -> list[bytes]:
    return [b"", b"{}", value[:4], b"\x01" + value[1:], value[:7], b"\x00\x00\x00\x03\xe7" + value[5:]]


@pytest.mark.parametrize("format_", ["avro", "protobuf"])
def test_broken_records_are_refused_with_the_reason(registry: Any, format_: Any) -> None:
    kind = decision_class()
    write: dict[str, Callable[[], bytes | None]] = {
        "avro": lambda: AvroSerializer(registry, json.dumps(AVRO))(
            {"id": 3, "at": AT, "p": 0.25, "amount": Decimal("1"), "country": None, "returning": True}, CONTEXT
        ),
        "protobuf": lambda: ProtobufSerializer(kind, registry, {"use.deprecated.format": False})(kind(id=1), CONTEXT),
    }
    formats = Formats(Settings(), registry)
    for broken in _break(write[format_]() or b""):
        with pytest.raises(Unmappable) as caught:
            formats.decode(format_, TOPIC, broken)
        assert caught.value.reason == "undecodable"
        assert "schema" in caught.value.detail


@pytest.mark.parametrize("error", [OSError("connection refused"), SchemaRegistryError(503, 50301, "no leader")])
def test_a_registry_that_is_away_is_not_the_records_fault(
    registry: Any, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(registry, "get_schema", away)
    for format_ in ("avro", "protobuf"):
        with pytest.raises(RegistryAway, match="Schema Registry"):
            Formats(Settings(), registry).decode(format_, TOPIC, b"\x00\x00\x00\x00\x01\x00\x02")
