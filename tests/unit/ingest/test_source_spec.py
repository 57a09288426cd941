"""``source:`` is checked before it is used: what is wrong is said with path, value and what is valid."""

from typing import Any

import pytest
from ingest_world import DOCUMENT, model
from pydantic import ValidationError

from schemas.source import steps_of
from schemas.spec import Model


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$", ()),
        ("id", ("id",)),
        ("$id", ("$id",)),
        ("request.id", ("request", "id")),
        ("$.request.id", ("request", "id")),
        ("$['a.b'][\"c d\"]", ("a.b", "c d")),
        ("items[0].price", ("items", 0, "price")),
        ("[-1].x", (-1, "x")),
        ("customer-id.straße", ("customer-id", "straße")),
    ],
)
def test_a_path_names_one_value(path: str, steps: tuple[Any, ...]) -> None:
    assert steps_of(path) == steps


@pytest.mark.parametrize("path", ["a..b", "a.", ".a", "$.", "a[*]", "a[?(@.x)]", "..a", "a[", "a b", "['']"])
def test_anything_else_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match=r"is no path: .*; valid: a field \(request.id\)"):
        steps_of(path)


def test_a_document_survives_its_topic() -> None:
    made = model()
    assert Model.model_validate(made.model_dump(mode="json")) == made


@pytest.mark.parametrize(
    ("source", "place", "said"),
    [
        ({"predictions": {"id": "a..b"}}, "source.predictions.id", "'a..b' is no path: cannot read '..b'"),
        ({"predictions": {"version": {"const": 1}}}, "source.predictions.version", "{header: NAME} or {constant:"),
        ({"predictions": {"time": {"path": "t", "format": "iso"}}}, "time", "valid: rfc3339, epoch_s, epoch_ms"),
        ({"predictions": {"time": {"path": "t", "format": "%H:%M"}}}, "time", "has no %z, so nobody could say"),
        ({"outcomes": {"time": {"path": "t", "zone": "Mars/Base"}}}, "outcomes.time", "zone 'Mars/Base' is unknown"),
        ({"predictions": {"format": "xml"}}, "format", "'json', 'avro' or 'protobuf'"),
        ({"predictions": {"topic": "a topic"}}, "topic", "should match pattern"),
        ({"outcomes": {"topic": "__consumer_offsets"}}, "outcomes.topic", "is Kafka's own topic; name one of yours"),
        ({"outcomes": {"topic": "outcomes"}}, "outcomes.topic", "is how driftline calls a topic of its own"),
        ({"outcomes": {"topic": "shop.decisions"}}, "source", "say with `when` on each which records are meant"),
        ({"predictions": {"features": {"amount": "a"}}}, "", "country, returning are declared in spec.features and"),
        ({"predictions": {"when": {"equals": 1}}}, "when", "say either `path` or `header`"),
        ({"start": "tomorrow"}, "start", "'earliest' or 'latest'"),
        ({"predictions": None, "outcomes": None}, "source", "name at least one of `predictions` and `outcomes`"),
    ],
)
def test_a_wrong_one_is_explained(source: dict[str, Any], place: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model(DOCUMENT, **source)
    (error,) = caught.value.errors()
    assert place in ".".join(map(str, error["loc"]))
    assert said in error["msg"]
