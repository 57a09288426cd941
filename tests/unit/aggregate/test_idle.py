"""Who is silent, and what a silent partition adopts; a loop that was stalled is not silence."""

import json
from typing import Any

import pytest
from aggregate_world import DAY, START, model_record

from observe import Observer
from schemas.settings import Settings
from schemas.windows import NEVER
from streams.aggregate import consumer
from streams.aggregate.breaker import Breaker
from streams.aggregate.checkpoint import Outputs
from streams.aggregate.index import Index
from streams.aggregate.models import Models
from streams.aggregate.state import State
from warehouse.client import Warehouse

IDLE = 100.0
KEY = "default/delay"


class Heads(Warehouse):
    """Another partition is far ahead; a query takes ``outage`` seconds of the clock."""

    def __init__(self, clock: list[float]) -> None:
        self.clock, self.outage = clock, 0.0
        self.predictions = self.outcomes = START + 9 * DAY
        self.labelled = True

    def rows(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        self.clock[0] += self.outage
        if "raw_outcomes" in sql:
            return [(1,)] if self.labelled else []
        return [(json.dumps({KEY: {"predictions": self.predictions, "outcomes": self.outcomes}}),)]


class Silence:
    """A consumer that stands at the ends of its logs."""

    def __init__(self, _config: object) -> None:
        """Nothing to read."""

    def consume(self, _number: int, _timeout: float) -> list[object]:
        return []


class Loop:
    """A member that owns one partition, turn by turn, in seconds of an injected clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(consumer, "Consumer", Silence)
        monkeypatch.setattr(consumer, "checkpoint", self.checkpoint)
        self.clock, self.stall, self.adopted = [0.0], 0.0, list[tuple[float, str, int]]()
        self.models = Models()
        self.models.learn(model_record())
        self.heads = Heads(self.clock)
        nothing: Any = None
        out = Outputs(Settings(), self.heads, nothing, lambda _point: None)
        self.member = consumer.Member(
            Settings(idle_after_seconds=IDLE),
            models=self.models,
            reader=nothing,
            out=out,
            breaker=Breaker(1.0, 1),
            now=lambda: self.clock[0],
            owner_id=str,
            observer=Observer(),
        )
        index = Index(self.models, 10, (0, 0))
        self.state = State(0, "me", 1, [0, 0], {KEY: [START, START]}, index, set(), 0.0)
        self.state.at_end = [True, True]
        self.member._states, self.member._waits_since = {0: self.state}, None

    def checkpoint(self, states: dict[int, State], *_: object) -> None:
        for state in states.values():
            self.adopted += [(self.clock[0], a.topic, a.watermark) for a in state.adoptions]
            state.committed(state.seq + 1, 1)
        self.clock[0] += self.stall

    def turns(self, until: float) -> None:
        while self.clock[0] < until:
            self.member._turn()
            self.clock[0] += 1


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    return Loop(monkeypatch)


def test_silence_of_a_loop_that_listens_is_adopted(loop: Loop) -> None:
    loop.turns(IDLE)
    assert loop.adopted == []
    loop.turns(IDLE + 11)
    assert {adopted[1:] for adopted in loop.adopted} == {
        ("predictions", START + 9 * DAY),
        ("outcomes", START + 9 * DAY),
    }


def test_a_stopped_process_listens_anew(loop: Loop) -> None:
    loop.turns(50)
    loop.clock[0] += 10 * IDLE
    woken = loop.clock[0]
    loop.turns(woken + IDLE)
    assert loop.adopted == []
    loop.turns(woken + IDLE + 11)
    assert loop.adopted != []


def test_an_outage_inside_a_checkpoint_is_no_silence(loop: Loop) -> None:
    loop.turns(50)
    loop.state.positions[0], loop.stall = 1, 10 * IDLE  # something to write, and nobody who takes it
    loop.turns(loop.clock[0] + 1)
    woken, loop.stall = loop.clock[0], 0.0
    assert woken > 10 * IDLE
    loop.turns(woken + IDLE)
    assert loop.adopted == []


def test_an_outage_between_the_look_and_the_adoption_adopts_nothing(loop: Loop) -> None:
    loop.heads.outage = IDLE
    loop.turns(IDLE + 11)
    assert loop.clock[0] > 2 * IDLE
    assert loop.adopted == []


def test_labels_that_stopped_follow_the_predictions_a_maturity_behind(loop: Loop) -> None:
    loop.heads.outcomes = START
    loop.turns(IDLE + 11)
    assert ("outcomes", START + 8 * DAY) in {adopted[1:] for adopted in loop.adopted}
    loop.heads.predictions += DAY
    loop.turns(IDLE + 22)
    assert ("outcomes", START + 9 * DAY) in {adopted[1:] for adopted in loop.adopted}


def test_labels_within_a_maturity_of_the_predictions_are_waited_for(loop: Loop) -> None:
    loop.heads.predictions, loop.heads.outcomes = START + DAY, START
    loop.turns(IDLE + 11)
    assert {adopted[1:] for adopted in loop.adopted} == {("predictions", START + DAY)}


def test_a_model_without_labels_waits_for_none(loop: Loop) -> None:
    loop.heads.outcomes, loop.heads.labelled = NEVER, False
    loop.turns(IDLE + 11)
    assert {adopted[1:] for adopted in loop.adopted} == {
        ("predictions", START + 9 * DAY),
        ("outcomes", START + 9 * DAY),
    }
