"""What stages tell each other survives JSON, and one decision has one name."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import lifecycle, models, partials
from schemas.ids import canonical_json, content_id

STRUCTS = [
    partials.PartialMessage,
    partials.Redo,
    lifecycle.Report,
    lifecycle.Incident,
    lifecycle.Request,
    lifecycle.Candidate,
    lifecycle.Verdict,
    lifecycle.Rollout,
    lifecycle.AuditRow,
    models.ModelRecord,
]


st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
st.register_type_strategy(msgspec.Raw, st.integers().map(lambda number: msgspec.Raw(msgspec.json.encode([number]))))
st.register_type_strategy(dict, lambda kind: _dictionaries(*get_args(kind)))


def _whole(kind: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    """Every field drawn: hypothesis takes the factory of an empty list for the default itself."""
    return st.builds(kind, **{field.name: st.from_type(field.type) for field in msgspec.structs.fields(kind)})


for struct in (models.Watch, models.Reference):
    st.register_type_strategy(struct, _whole)


def _dictionaries(keys: Any, values: Any) -> st.SearchStrategy[dict[Any, Any]]:
    """Small ones; what may hold anything holds numbers."""
    return st.dictionaries(st.from_type(keys), st.integers() if values is Any else st.from_type(values), max_size=2)


@pytest.mark.parametrize("kind", STRUCTS, ids=lambda kind: kind.__name__)
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_every_record_survives_the_wire(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    record = data.draw(st.from_type(kind))
    sent = msgspec.json.encode(record)
    assert msgspec.json.encode(msgspec.json.decode(sent, type=kind)) == sent


def test_the_order_of_keys_does_not_change_a_name() -> None:
    assert canonical_json({"b": 1, "a": 2}) == b'{"a":2,"b":1}'
    assert content_id("request", {"b": 1, "a": 2}) == content_id("request", {"a": 2, "b": 1})


@given(kind=st.text(min_size=1, max_size=5), one=st.integers(), other=st.integers())
def test_another_cause_has_another_name(kind: str, one: int, other: int) -> None:
    assert (content_id(kind, one) == content_id(kind, other)) == (one == other)
