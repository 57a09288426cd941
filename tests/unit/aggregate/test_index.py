"""What is remembered of the outcomes of a model that was deleted, and may be declared again as something else."""

import zlib
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from aggregate_world import model_record

from schemas.models import ModelRecord
from schemas.spec import ModelSpec
from streams.aggregate.index import Index
from streams.aggregate.keys import Keys
from streams.aggregate.look_up import prefetch
from streams.aggregate.models import Models
from streams.aggregate.recall import recall
from streams.aggregate.routing import hashes_of
from warehouse.client import Warehouse

KEY = b"default/delay/f1"
KEYS = Keys.of([KEY])
_SCHEMA = pa.schema(
    {
        "p": pa.int64(), "of": pa.string(), "key": pa.string(), "logged": pa.int64(), "happened": pa.int64(),
        "label": pa.string(), "positive": pa.uint8(), "value": pa.float64(),
    }
)  # fmt: skip
FEATURES = model_record().parsed().features


class Stored(Warehouse):
    """Has one outcome."""

    def __init__(self, label: str, positive: int | None, value: float | None) -> None:
        """No client."""
        self._row = {
            "p": 0, "of": "default/delay", "key": KEY.decode(), "logged": 0, "happened": 0,
            "label": label, "positive": positive, "value": value,
        }  # fmt: skip

    def rows(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """No message of many events."""
        assert "raw_outcomes" in sql
        return []

    def arrow(self, sql: str, parameters: Any = None, settings: Any = None) -> Any:
        assert "raw_outcomes" in sql
        found = parameters.get("since", [0]) == [0]
        return pa.Table.from_pylist([self._row] if found else [], _SCHEMA)

    def arrow_blocks(self, sql: str, take: Callable[[Any], object], parameters: Any) -> None:
        assert "raw_outcomes" in sql
        take(pa.table({"p": [0], "hash": hashes_of([KEY]), "checksum": [zlib.crc32(KEY)]}))


BINARY = ("late", 1, None)
MULTICLASS = ("late", None, None)
REGRESSION = ("3.5", None, 3.5)


def declared(**task: Any) -> ModelRecord:
    spec = ModelSpec(features=FEATURES, **task)
    return msgspec.structs.replace(model_record(generation=7), spec=spec.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("stored", "record", "target"),
    [
        (MULTICLASS, None, None),
        (BINARY, None, None),
        (MULTICLASS, declared(task="multiclass", classes=("early", "late")), 1.0),
        (MULTICLASS, declared(task="multiclass", classes=("cat", "dog")), None),
        (REGRESSION, declared(task="multiclass", classes=("cat", "dog")), None),
        (REGRESSION, declared(task="binary", positive_class="late"), None),
        (MULTICLASS, declared(task="regression"), None),
        (REGRESSION, declared(task="regression"), 3.5),
        (BINARY, declared(task="binary", positive_class="late"), 1.0),
    ],
)
@pytest.mark.parametrize("recalled", [0, 10])
def test_an_old_outcome_means_what_the_model_of_today_says(
    stored: tuple[str, int | None, float | None], record: ModelRecord | None, target: float | None, recalled: int
) -> None:
    """Whether it is read at the assignment or when its id is heard of."""
    models = Models()
    if record is not None:
        models.learn(record)
    warehouse = Stored(*stored)
    index = Index(models, 10, (0, 1))
    recall({0: index}, warehouse, recalled)
    prefetch({0: index}, {0: lambda: [KEYS]}, warehouse)
    [slot] = index.outcomes.find(KEYS).tolist()
    assert len(index.outcomes) == (target is not None)
    assert (None if slot < 0 else index.outcomes.get("target", slot)) == target


def test_whoever_was_there_at_the_deletion_knows_as_much_as_a_new_owner() -> None:
    models = Models()
    models.learn(declared(task="regression"))
    warehouse = Stored(*REGRESSION)
    index = Index(models, 10, (0, 1))
    recall({0: index}, warehouse, 10)
    models.replace("default/delay", [declared(task="multiclass", classes=("cat", "dog"))])
    index.forget("default/delay")
    prefetch({0: index}, {0: lambda: [KEYS]}, warehouse)
    assert not len(index.outcomes)
