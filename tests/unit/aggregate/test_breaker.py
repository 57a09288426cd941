"""The breaker opens when most of a topic is dead, and one loud producer does not open it for the others."""

import json

import pytest

from streams.aggregate.breaker import Breaker, BreakerOpen
from streams.aggregate.decode import Dead, Reason, Record


def letters(count: int, model: str = "", reason: Reason = "undecodable") -> list[Dead]:
    value = json.dumps({"namespace": "default", "model": model}).encode() if model else b"{"
    return [Dead(Record("predictions", 0, n, 0, value), reason, "why") for n in range(count)]


def test_most_of_a_topic_opens_it() -> None:
    breaker = Breaker(0.5, 100)
    breaker.count("predictions", 100, letters(51))
    with pytest.raises(
        BreakerOpen, match=r"51 of the last 100 events of predictions .*driftline breaker reset"
    ) as found:
        breaker.check()
    assert found.value.topic == "predictions"


def test_half_of_a_topic_does_not() -> None:
    breaker = Breaker(0.5, 100)
    breaker.count("predictions", 100, letters(50))
    breaker.check()


def test_stretches_are_counted_apart_per_topic() -> None:
    breaker = Breaker(0.5, 100)
    for _ in range(9):
        breaker.count("predictions", 10, letters(10))
    breaker.count("outcomes", 100, [])
    breaker.check()
    breaker.count("predictions", 10, [])
    with pytest.raises(BreakerOpen):
        breaker.check()


def test_one_loud_producer_beside_others_stops_nobody() -> None:
    breaker = Breaker(0.5, 100)
    breaker.count("predictions", 100, letters(90, "loud", "wrong_kind"))
    breaker.check()


def test_two_bad_models_are_a_common_cause() -> None:
    breaker = Breaker(0.5, 100)
    breaker.count("predictions", 100, letters(40, "one", "wrong_kind") + letters(40, "two", "wrong_kind"))
    with pytest.raises(BreakerOpen, match="default/one 40, default/two 40"):
        breaker.check()


def test_a_model_that_is_alone_and_all_bad_opens_it() -> None:
    breaker = Breaker(0.5, 100)
    breaker.count("predictions", 100, letters(100, "only", "wrong_kind"))
    with pytest.raises(BreakerOpen):
        breaker.check()


def test_an_unknown_model_is_nobodys() -> None:
    breaker = Breaker(0.5, 100)
    breaker.count("predictions", 100, letters(90, "unheard", "unknown_model"))
    with pytest.raises(BreakerOpen, match="nobody known 90"):
        breaker.check()
