"""What a tick makes of what others have already made of it."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from retraining_world import DAY, SPEC, day, record, report, request

from retrain import decider, examine, models
from retrain.answers import candidate_id
from retrain.decider import Decider, Outbox
from retrain.judge import Finding
from schemas.lifecycle import Candidate
from schemas.models import ModelRecord, Reference
from schemas.settings import Settings

BEGUN = DAY * 20_000
REFERENCE = Reference(day(0), day(1), 1, {}, [], [], [], "log_loss", [], [])


class Book:
    """The ``models`` topic."""

    def __init__(self, *published: ModelRecord) -> None:
        self.published = list(published)

    def record(self, _namespace: str, _model: str, generation: int) -> ModelRecord:
        return self.published[generation - 1]

    def generations(self, _namespace: str, _model: str) -> list[ModelRecord]:
        return self.published


class Warehouse:
    """Nothing is recorded before; windows are counted up to the one before ``BEGUN``."""

    def __init__(self) -> None:
        self.inserted: dict[str, list[Any]] = {}

    def rows(self, sql: str, _parameters: object) -> list[tuple[Any, ...]]:
        return [(BEGUN - DAY,)] if "partials" in sql else []

    def insert(self, table: Any, rows: list[Any]) -> None:
        self.inserted[table.name] = rows


@pytest.fixture(autouse=True)
def _a_good_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(_warehouse: object, asked: Any) -> Candidate:
        return msgspec.convert(
            {
                "id": candidate_id(asked.id), "request_id": asked.id, "namespace": "default", "model": "toy",
                "version": "1", "status": "ready", "error": "", "manifest": "m", "artifact": "a", "snapshot": "s",
                "probe": "", "rows": 1, "holdout_rows": 0, "metrics": {},
            },
            Candidate,
        )  # fmt: skip

    monkeypatch.setattr(decider, "find_answer", answer)
    monkeypatch.setattr(examine, "examine", lambda *_: Finding("pass", "whole", {}))
    monkeypatch.setattr(examine, "reference", lambda *_: REFERENCE)


def first_champion(monkeypatch: pytest.MonkeyPatch, book: Book) -> Outbox:
    """The tick at which the bootstrap is due, by a process that knows nothing yet."""
    monkeypatch.setattr(decider, "ModelBook", lambda _settings: book)
    deciding = Decider(Settings(), Warehouse(), None)  # type: ignore[arg-type]
    key = ("default", "toy")
    deciding.touch(key, report(9))
    held = deciding._held[key]
    held.at, held.width = day(9), DAY
    held.state = replace(held.state, pending=(request(day(9)),))
    outbox = deciding.decide(key)
    assert outbox is not None
    assert outbox.rollout.phase == "steady"
    return outbox


def test_the_first_champion_begins_a_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    made = first_champion(monkeypatch, Book(record())).record
    assert made is not None
    assert (made.generation, made.reference, made.spec) == (2, REFERENCE, SPEC.model_dump(mode="json"))


@pytest.mark.parametrize("later", [False, True], ids=["newest", "the owner published since"])
def test_a_step_that_another_process_took_makes_no_second_generation(
    monkeypatch: pytest.MonkeyPatch, later: bool
) -> None:
    book = Book(record())
    made = first_champion(monkeypatch, book).record
    assert made is not None
    published = replace(made, effective_from=made.effective_from + DAY)
    book.published += [published, replace(record(), generation=3)] if later else [published]
    assert first_champion(monkeypatch, book).record == published


def test_a_generation_that_an_owner_was_faster_with_is_joined_to_the_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their spec and our reference: neither is lost, and a repeat says it once."""
    recorded = first_champion(monkeypatch, Book(record())).record
    assert recorded is not None
    spec = SPEC.model_copy(update={"segments": ()})
    owners = record().next(spec=spec, reference=None, effective_from=recorded.effective_from + DAY, cause_id="")
    topic = [record(), owners]

    def append(_settings: Settings, _namespace: str, _model: str, make: Any) -> ModelRecord:
        made: ModelRecord = make(topic)
        if made not in topic:
            topic.append(made)
        return made

    monkeypatch.setattr(models, "append", append)
    joined = models.publish(Settings(), recorded)
    assert joined is not None
    assert (joined.generation, joined.parsed(), joined.reference) == (3, spec, REFERENCE)
    assert joined.effective_from == owners.effective_from, "never before what it is joined to"
    assert models.publish(Settings(), recorded) == joined
    assert len(topic) == 3
