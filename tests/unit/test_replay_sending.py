"""Sending dead letters again: what is written down as sent has arrived whole."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.dead_letters import replay
from app.dead_letters.letters import Letter
from schemas.settings import Settings
from streams.aggregate.decode import Record


class Broker:
    """Takes predictions, and no outcomes."""

    def produce(self, topic: str, *_: Any, on_delivery: Callable[[Any, Any], None], **__: Any) -> None:
        error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED) if topic.endswith("outcomes") else None
        on_delivery(error, SimpleNamespace(partition=lambda: 0, offset=lambda: 7))

    def flush(self, _seconds: float) -> int:
        return 0


class Rows:
    """Keeps what is inserted."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = []

    def insert(self, _table: object, rows: list[list[Any]]) -> None:
        self.rows += rows


def letter(offset: int) -> Letter:
    return Letter(("shop.decisions", 0, offset, 0), 0, "unmapped", "", "default/delay", "f1", b"{}", None, [], None)


def test_a_letter_that_arrived_in_part_is_offered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "Producer", lambda _options: Broker())
    prediction, outcome = Record("predictions", 0, 0, 0, b"{}"), Record("outcomes", 0, 0, 0, b"{}")
    rows: Any = Rows()
    with pytest.raises(KafkaException):
        replay._send(Settings(), rows, [(letter(1), [prediction]), (letter(2), [prediction, outcome])], lambda: 0)
    assert [row[:3] for row in rows.rows] == [["shop.decisions", 0, 1]]
