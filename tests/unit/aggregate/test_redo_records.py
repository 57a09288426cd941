"""What a new owner reads first: redo records, also those of the driftline before."""

import json

import msgspec
import pytest

from schemas.partials import PartialMessage, Redo, SketchRow, Watermarks
from streams.aggregate.assign import CannotContinue, read_redo

ROW = SketchRow(1, "feature", "", "", 0, "distance", 2, 0, 0, [2**100, -1], 0.1, 1e300, [1, 1])
MESSAGES = {
    f"default/{name}": PartialMessage("default", name, 3, 7, "me", Watermarks(5, 6), (8, 9), [ROW])
    for name in ("delay", "other")
}
RAW = {key: msgspec.Raw(msgspec.json.encode(message)) for key, message in MESSAGES.items()}
REDO = Redo(3, 7, "me", (8, 9), {key: Watermarks(5, 6) for key in MESSAGES}, [], RAW)


def test_a_record_is_read_as_it_was_written() -> None:
    assert read_redo(msgspec.json.encode(REDO).decode()) == REDO


def test_a_record_whose_messages_are_a_list_is_the_same() -> None:
    fields = {name: getattr(REDO, name) for name in REDO.__struct_fields__}
    old = msgspec.json.encode(fields | {"messages": list(reversed(MESSAGES.values()))}).decode()
    found = read_redo(old)
    assert list(found.messages) == list(MESSAGES)
    assert {key: bytes(raw) for key, raw in found.messages.items()} == {key: bytes(raw) for key, raw in RAW.items()}
    assert msgspec.structs.replace(found, messages={}) == msgspec.structs.replace(REDO, messages={})


@pytest.mark.parametrize("changed", [{"messages": 1}, {"messages": [1]}, {"seq": "7"}])
def test_of_another_record_it_is_said_what_to_do(changed: dict[str, object]) -> None:
    with pytest.raises(CannotContinue, match="Another version of driftline"):
        read_redo(json.dumps(json.loads(msgspec.json.encode(REDO)) | changed))
