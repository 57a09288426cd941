"""A message that Kafka's client gave up is no longer waiting; that is not success."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError, TopicPartition
from retraining_world import record, request

from app.wiring import publish_model
from bus import generations
from retrain import trainer
from retrain.answers import candidate_id
from retrain.store import Store
from schemas.lifecycle import Candidate
from schemas.settings import Settings

TIMED_OUT = KafkaError(KafkaError._MSG_TIMED_OUT)


class Producer:
    """Answers each message with the next of ``answers`` (None is success); keeps it ``waiting`` without one."""

    def __init__(self, *answers: KafkaError | None) -> None:
        self.answers = list(answers)
        self.waiting: list[Callable[[KafkaError | None, None], None]] = []
        self.sent: list[tuple[str, bytes]] = []

    def produce(self, topic: str, value: bytes, on_delivery: Callable[[Any, None], None], **_: object) -> None:
        self.sent.append((topic, value))
        self.waiting.append(on_delivery)

    def flush(self, _timeout: float) -> int:
        while self.waiting and self.answers:
            self.waiting.pop(0)(self.answers.pop(0), None)
        return len(self.waiting)


@pytest.mark.parametrize(
    ("answers", "said"), [([TIMED_OUT], "_MSG_TIMED_OUT"), ([], "no acknowledgement in 0.1 s"), ([None], "")]
)
def test_a_generation_that_is_not_published_is_said(
    monkeypatch: pytest.MonkeyPatch, answers: list[KafkaError | None], said: str
) -> None:
    producer = Producer(*answers)
    monkeypatch.setattr(generations, "Producer", lambda _options: producer)
    if not said:
        publish_model(Settings(), record(), timeout=0.1)
        return
    with pytest.raises(SystemExit, match=said) as raised:
        publish_model(Settings(), record(), timeout=0.1)
    assert "driftline.models" in str(raised.value)
    assert "publish it again" in str(raised.value)


class Consumer:
    """Assigned one partition whose last decision is ``metadata``; quiet after that."""

    def __init__(self, metadata: str, stop: threading.Event) -> None:
        self._metadata = metadata
        self._stop = stop
        self._assign: Callable[..., None] | None = None

    def subscribe(self, _topics: list[str], *, on_assign: Callable[..., None], **_: object) -> None:
        self._assign = on_assign

    def committed(self, _places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition("driftline.retraining", 0, 1, self._metadata)]

    def poll(self, _timeout: float) -> None:
        if self._assign is None:
            self._stop.set()
            return
        assign, self._assign = self._assign, None
        assign(self, [TopicPartition("driftline.retraining", 0)])

    def close(self) -> None:
        """Nothing to leave."""


class Warehouse:
    """Keeps what is inserted."""

    def __init__(self) -> None:
        self.inserted: list[object] = []

    def insert(self, _table: object, rows: list[object]) -> None:
        self.inserted.append(rows)


def test_an_answer_that_was_not_delivered_is_told_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = request(0)
    answer = msgspec.convert(
        {
            "id": candidate_id(asked.id), "request_id": asked.id, "namespace": "default", "model": "toy",
            "version": "1", "status": "error", "error": "no rows", "manifest": "", "artifact": "", "snapshot": "",
            "probe": "", "rows": 0, "holdout_rows": 0, "metrics": {},
        },
        Candidate,
    )  # fmt: skip
    store = Store(tmp_path)
    blob = store.put(msgspec.json.encode([asked, answer]))
    stop = threading.Event()
    producer, warehouse = Producer(TIMED_OUT, None), Warehouse()
    monkeypatch.setattr(trainer, "Producer", lambda _options: producer)
    monkeypatch.setattr(trainer, "Consumer", lambda _options: Consumer(f"1:{asked.id}:{blob}", stop))
    trainer.run(Settings(), warehouse, store, stop=stop)  # type: ignore[arg-type]
    assert [msgspec.json.decode(value, type=Candidate) for _, value in producer.sent] == [answer, answer]
    assert len(warehouse.inserted) == 2
