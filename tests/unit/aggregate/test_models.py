"""What the models topic teaches; a bad record stops nobody."""

from typing import Any

import msgspec
import pytest
from aggregate_world import model_record

from bus.compacted import Entry
from schemas.models import ModelRecord
from schemas.settings import Settings
from streams.aggregate import models
from streams.aggregate.models import Models, ModelsReader


class Topic:
    """A topic that gives what was put into it, once."""

    def __init__(self, *_: object) -> None:
        self.values: list[bytes | None] = []

    def read(self, _timeout: float) -> list[Entry]:
        values, self.values = self.values, []
        return [Entry(0, offset, value) for offset, value in enumerate(values)]


def with_spec(record: ModelRecord, **changes: Any) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(record, spec=record.spec | changes))


@pytest.mark.parametrize(
    "bad",
    [b"not json", None, b"{}", with_spec(model_record(), features=[])],
    ids=["not json", "deleted", "no record", "bad spec"],
)
def test_a_bad_record_is_left_out(monkeypatch: pytest.MonkeyPatch, bad: bytes | None) -> None:
    monkeypatch.setattr(models, "CompactedReader", Topic)
    known = Models()
    reader = ModelsReader(Settings(), known)
    topic: Any = reader._reader
    topic.values = [bad]
    reader.read()
    assert known.names() == []
    good = model_record()
    topic.values = [msgspec.json.encode(good), bad, with_spec(model_record("other"), segments=[])]
    reader.read()
    assert known.names() == ["default/delay", "default/other"]
    assert [generation.record for generation in known.generations("default/delay")] == [good]
