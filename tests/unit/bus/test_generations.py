"""Two writers, one number: readers hear the first, the second moves on; a deletion takes everything."""

from typing import ClassVar

import msgspec
import pytest
from aggregate_world import model_record
from confluent_kafka import KafkaException
from msgspec.structs import replace

from bus import generations
from bus.compacted import Entry
from bus.generations import Declared, append, delete
from schemas.models import ModelRecord
from schemas.settings import Settings

FIRST = model_record()


class Topic:
    """The ``models`` topic as a list; ``rivals`` are written by somebody else just before one of ours is."""

    log: ClassVar[list[Entry]] = []
    rivals: ClassVar[list[ModelRecord]] = []

    def __init__(self, *_: object) -> None:
        self._next = 0

    def read(self) -> list[Entry]:
        new, self._next = self.log[self._next :], len(self.log)
        return new

    def close(self) -> None:
        """Nothing to leave."""

    @classmethod
    def write(cls, key: bytes, value: bytes | None) -> None:
        cls.log.append(Entry(0, len(cls.log), value, key))

    @classmethod
    def send(cls, _settings: Settings, key: bytes, value: bytes | None) -> None:
        if cls.rivals and value is not None:
            rival = cls.rivals.pop(0)
            cls.write(rival.key(), msgspec.json.encode(rival))
        cls.write(key, value)


@pytest.fixture(autouse=True)
def topic(monkeypatch: pytest.MonkeyPatch) -> type[Topic]:
    monkeypatch.setattr(generations, "CompactedReader", Topic)
    monkeypatch.setattr(generations, "send", Topic.send)
    Topic.log, Topic.rivals = [], []
    return Topic


def known() -> list[ModelRecord]:
    declared = Declared()
    declared.learn(Topic().read())
    return declared.generations("default", "delay")


def another(cause: str) -> ModelRecord | None:
    """Append a generation that names its cause."""

    def make(before: list[ModelRecord]) -> ModelRecord:
        return before[-1].next(reference=None, effective_from=0, cause_id=cause) if before else FIRST

    return append(Settings(), "default", "delay", make)


def test_generations_are_appended_in_order() -> None:
    assert another("") == FIRST
    second = another("a")
    assert second is not None
    assert second.generation == FIRST.generation + 1
    assert known() == [FIRST, second]


def test_a_generation_that_no_stage_could_read_is_refused_with_what_to_leave_out(
    monkeypatch: pytest.MonkeyPatch, topic: type[Topic]
) -> None:
    another("")
    size = len(msgspec.json.encode(FIRST.next(reference=None, effective_from=0, cause_id="a")))
    monkeypatch.setattr(generations, "MAX_RECORD_BYTES", size - 1)
    said = rf"delay has {size:,} bytes, at most {size - 1:,}: 3 features.*fewer"
    with pytest.raises(generations.TooLarge, match=said):
        another("a")
    assert known() == [FIRST]
    assert len(topic.log) == 1, "nothing of it was sent"
    monkeypatch.setattr(generations, "MAX_RECORD_BYTES", size)
    another("a")
    assert len(known()) == 2


def test_the_second_of_two_writers_takes_the_next_number(topic: type[Topic]) -> None:
    another("")
    rival = FIRST.next(reference=None, effective_from=0, cause_id="rival")
    topic.rivals = [rival]
    mine = another("mine")
    assert mine is not None
    assert (mine.generation, mine.cause_id) == (rival.generation + 1, "mine")
    assert known() == [FIRST, rival, mine]
    assert [entry.value is None for entry in topic.log] == [False, False, False, True, False], "it took back its first"


def test_a_writer_that_died_before_it_took_its_record_back_is_not_heard(topic: type[Topic]) -> None:
    rival = replace(FIRST, cause_id="too late")
    topic.write(FIRST.key(), msgspec.json.encode(FIRST))
    topic.write(rival.key(), msgspec.json.encode(rival))
    assert known() == [FIRST]


def test_what_is_there_already_is_not_written_again(topic: type[Topic]) -> None:
    another("")
    assert append(Settings(), "default", "delay", lambda before: before[0]) == FIRST
    assert append(Settings(), "default", "delay", lambda _before: None) is None
    assert len(topic.log) == 1


def test_a_writer_that_is_always_second_says_so(topic: type[Topic]) -> None:
    another("")
    topic.rivals = [replace(FIRST, generation=number, cause_id="rival") for number in range(2, 20)]
    with pytest.raises(KafkaException, match="another writer of default/delay was faster"):
        another("mine")


def test_a_deletion_takes_everything_also_what_came_second(topic: type[Topic]) -> None:
    another("")
    rival = replace(FIRST, cause_id="too late")
    topic.write(rival.key(), msgspec.json.encode(rival))
    assert delete(Settings(), "default", "delay") == [FIRST]
    assert known() == []
    declared = Declared()
    assert declared.learn(Topic().read()) == {"default/delay"}
    assert declared.models() == []


@pytest.mark.parametrize("bad", [b"not json", b"{}", msgspec.json.encode(replace(FIRST, spec={"features": []}))])
def test_a_bad_record_is_left_out(topic: type[Topic], bad: bytes) -> None:
    topic.write(b"default/delay/000001/x", bad)
    topic.write(b"\xff", None)
    topic.write(FIRST.key(), msgspec.json.encode(FIRST))
    assert known() == [FIRST]
