"""A doorbell that cannot be answered: who is waited for, and who must not hold up the others."""

import asyncio
from typing import Any

import monitor_world as world
import msgspec
import pytest
from aiokafka.errors import KafkaConnectionError  # type: ignore[import-untyped]
from clickhouse_connect.driver.exceptions import OperationalError
from confluent_kafka import KafkaError, KafkaException
from retraining_world import report

import bus.patience
from bus.patience import TRIES, Patience
from retrain.rollout import _Bell
from schemas.lifecycle import Report
from streams.monitor.core import ModelMonitor
from streams.monitor.generations import Generations
from streams.monitor.held import Held
from streams.monitor.records import Rebuilt
from streams.monitor.stage import Stage

AWAY = [
    OperationalError("no route"),
    KafkaConnectionError(),
    KafkaException(KafkaError(KafkaError._TRANSPORT)),
    TimeoutError(),
    OSError(28, "No space left on device"),
]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bus.patience, "_BACK_OFF", (0.0,))


def tries(*errors: Exception) -> list[bool]:
    async def all_of_them() -> list[bool]:
        patience = Patience()
        return [await patience.again(error) for error in errors]

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("error", AWAY, ids=repr)
def test_what_is_away_is_waited_for(error: Exception) -> None:
    assert all(tries(*[error] * 50))


def test_an_error_of_ours_is_tried_a_few_times() -> None:
    assert tries(*[ValueError("no column")] * TRIES) == [True] * (TRIES - 1) + [False]


def test_an_outage_in_between_does_not_count() -> None:
    assert tries(*[KeyError("x"), AWAY[0]] * (TRIES - 1), *AWAY * 3) == [True] * (2 * (TRIES - 1) + 3 * len(AWAY))


class Decider:
    """Decides nothing; fails for one model, ``failures`` times."""

    def __init__(self, error: Exception, failures: int) -> None:
        self.error = error
        self.failures = failures
        self.decided: list[str] = []
        self.forgotten = 0

    def touch(self, key: tuple[str, str], _report: Report | None) -> None:
        self.decided.append(key[1])

    def decide(self, key: tuple[str, str]) -> None:
        if key[1] == "toy" and self.failures:
            self.failures -= 1
            raise self.error

    def forget(self, _key: tuple[str, str]) -> None:
        self.forgotten += 1


@pytest.mark.parametrize(
    ("error", "failures", "tried"),
    [(ValueError("always"), 10**6, TRIES), (ValueError("twice"), 2, 3), (AWAY[0], 4 * TRIES, 4 * TRIES + 1)],
)
def test_a_rollout_that_fails_does_not_hold_up_other_models(error: Exception, failures: int, tried: int) -> None:
    decider = Decider(error, failures)

    async def ring() -> None:
        bell = _Bell(decider, None)  # type: ignore[arg-type]
        for given in (report(1), msgspec.structs.replace(report(1), model="other")):
            await bell.ring(msgspec.json.encode(given), Report)

    asyncio.run(ring())
    assert decider.decided == ["toy"] * tried + ["other"]
    assert decider.forgotten == min(failures, tried)


class Records:
    """Can rebuild nothing."""

    def __init__(self) -> None:
        self.asked = 0

    def rebuild(self, *_: Any) -> None:
        self.asked += 1
        raise ValueError("a row that cannot be read")


class Models:
    """Knows one model."""

    def read(self) -> None:
        """There is nothing more to learn."""

    def of(self, *_: str) -> Generations:
        return Generations.of([world.record()])


def test_a_monitor_that_fails_goes_on_to_the_next_message() -> None:
    records = Records()
    stage = Stage(records, Models(), None)  # type: ignore[arg-type]
    messages = world.stream(1)[0][:2]
    for message in messages:
        asyncio.run(stage.handle([message]))
    assert records.asked == TRIES + 1, "it is tried once with each later message"
    stage.forget()
    asyncio.run(stage.handle(messages[:1]))
    assert records.asked == 2 * TRIES + 1, "with other partitions nobody knows that it failed"


class Some:
    """Can rebuild all models but the broken one; says whose turn it was."""

    def __init__(self) -> None:
        self.turns: list[str] = []
        self.mended = False

    def rebuild(self, _namespace: str, model: str, *_: Any) -> Rebuilt:
        self.turns.append(model)
        if model == "broken" and not self.mended:
            raise ValueError("a row that cannot be read")
        return Rebuilt(ModelMonitor("default", model, Held(2)), None)


def test_a_model_that_fails_is_waited_for_once_and_comes_after_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    records, waited = Some(), list[float]()
    stage = Stage(records, Models(), None)  # type: ignore[arg-type]
    models = ("broken", "one", "two")

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    def handle(place: int) -> list[str]:
        before = len(records.turns)
        messages = [msgspec.structs.replace(world.stream(1)[0][place], model=model) for model in models]
        asyncio.run(stage.handle(messages))
        return records.turns[before:]

    monkeypatch.setattr(asyncio, "sleep", sleep)
    first = handle(0)
    # Together, then each alone, and what failed again when the others are done.
    assert first[-(TRIES - 1) :] == ["broken"] * (TRIES - 1)
    assert {"one", "two"} <= set(first[: -(TRIES - 1)])
    assert len(waited) == TRIES - 1
    assert handle(1) == ["broken"], "the others are held, and nobody waits for it again"
    assert len(waited) == TRIES - 1
    records.mended = True
    assert handle(0) == ["broken"]
    assert handle(1) == []
