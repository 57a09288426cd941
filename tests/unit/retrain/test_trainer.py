"""The trainer between a fit and its decision."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from retraining_world import request

from observe import Observer
from retrain import trainer
from schemas.settings import Settings


class Consumer:
    """A member that nothing comes for."""

    def __init__(self, _options: object) -> None:
        self.moved = False

    def subscribe(self, _topics: list[str], **_: object) -> None:
        """Nothing is assigned."""

    def assignment(self) -> list[TopicPartition]:
        return []

    def pause(self, _places: list[TopicPartition]) -> None:
        """Nothing is fetched."""

    resume = pause

    def poll(self, _timeout: float) -> None:
        """Wait a little, as a poll does."""
        time.sleep(0.001)

    def seek(self, _place: TopicPartition) -> None:
        self.moved = True


class Killed:
    """A fit that the signal which stops the trainer has killed."""

    stop = threading.Event()

    def __init__(self, *_: object) -> None:
        """All is given."""

    def run(self) -> str:
        self.stop.set()
        return "the fit was killed by signal 15"


def test_what_a_stop_leaves_of_a_fit_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "Consumer", Consumer)
    monkeypatch.setattr(trainer, "Training", Killed)

    class Done(ThreadPoolExecutor):
        """Returns from submit when the fit has ended, so that the loop never sees it run."""

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            future = super().submit(fn, *args, **kwargs)
            future.result()
            return future

    with Done(1) as pool:
        member = trainer._Member(Settings(), None, None, None, pool=pool, observer=Observer())  # type: ignore[arg-type]
        place = TopicPartition("driftline.retraining", 0, 1)
        assert member._train(request(0), place, Killed.stop) is None
        assert not member._consumer.moved  # type: ignore[attr-defined]
