"""Ids are looked up together, however many models they are of, and each is found as if it were asked for alone."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from aggregate_world import START, model_record
from clickhouse_connect.driver.client import Client

from schemas.tables import RAW_OUTCOMES
from schemas.windows import from_ms
from streams.aggregate import look_up
from streams.aggregate.index import Index
from streams.aggregate.keys import Keys
from streams.aggregate.models import Models
from warehouse.client import Warehouse
from warehouse.migrate import migrate

PARTITIONS = 2
NAMES = {
    ("default", "delay"): ["same", "o'clock", "back\\slash"],
    ("default", "churn"): ["same", "a/b", "漢字", "tab\t, (x) or [y]"],
    ("other", "delay"): ["same"],
    ("other", "many"): [f"m{number}" for number in range(40)],
}
"""Ids by model; they live in the partitions in turn."""

ABSENT = {("default", "delay"): ["m0", "a/b"], ("other", "nobody"): ["same"]}


class Asked(Warehouse):
    """Counts what it is asked."""

    questions = 0

    def arrow(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> Any:
        """See ``Warehouse``."""
        self.questions += 1
        return super().arrow(sql, parameters, settings)


@pytest.fixture
def warehouse(clickhouse: Client) -> Asked:
    made = Asked(clickhouse, patience=30)
    migrate(made)
    made.insert(RAW_OUTCOMES, [outcome(number, *where) for number, where in enumerate(stored())])
    return made


def stored() -> list[tuple[str, str, str]]:
    return [(*of, name) for of, names in NAMES.items() for name in names]


def outcome(number: int, namespace: str, model: str, name: str) -> list[Any]:
    """Its time says which it is."""
    at = from_ms(START + number)
    values = {
        "namespace": namespace, "model": model, "prediction_id": name, "partition": number % PARTITIONS,
        "offset": number, "row": 0, "log_ts": at, "event_time": at, "label": "late", "positive": 1,
        "value": None, "verdict": "counted", "seq": 1, "ttl_days": 3650,
    }  # fmt: skip
    return [values[column] for column in RAW_OUTCOMES.columns]


def known() -> Models:
    models = Models()
    for namespace, model in NAMES:
        models.learn(msgspec.structs.replace(model_record(model), namespace=namespace))
    return models


@pytest.mark.parametrize(
    ("few", "together", "questions"),
    [(1_000, 10_000, 1), (10, 10_000, 2), (1_000, 3, 17), (1, 10_000, 5)],
    ids=["all together", "one of many alone", "by threes, one left over", "each model alone"],
)
def test_each_model_has_its_own(
    warehouse: Asked, monkeypatch: pytest.MonkeyPatch, few: int, together: int, questions: int
) -> None:
    monkeypatch.setattr(look_up, "_FEW", few)
    monkeypatch.setattr(look_up, "_TOGETHER", together)
    everything = [*stored(), *((*of, name) for of, names in ABSENT.items() for name in names)]
    indexes = {p: Index(known(), 10**6, (0, 10_000), partitions=PARTITIONS) for p in range(PARTITIONS)}
    numbers = {p: range(p, len(everything), PARTITIONS) for p in indexes}
    keys = {p: Keys.of(["/".join(everything[number]).encode() for number in numbers[p]]) for p in indexes}
    for p, index in indexes.items():
        index.left_out(1).add(keys[p])
    asked = look_up.prefetch(indexes, {p: lambda p=p: [keys[p]] for p in indexes}, warehouse)  # type: ignore[misc]
    assert asked == len(everything)
    assert warehouse.questions == questions
    for p, index in indexes.items():
        slots = index.outcomes.find(keys[p]).tolist()
        found = [None if slot < 0 else index.outcomes.get("log_ts", slot) - START for slot in slots]
        assert found == [number if number < len(stored()) else None for number in numbers[p]]
