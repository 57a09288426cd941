"""The router stays with what it knows: in memory, and on disk over a restart."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from driftline import Decision, NotDecided, Route, Router


class FakeMessage:
    """One record."""

    def __init__(self, offset: int, key: bytes, value: bytes | None) -> None:
        self._offset, self._key, self._value = offset, key, value

    def error(self) -> None:
        return None

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes | None:
        return self._value


class FakeConsumer:
    """A log that is read from its beginning; ``away`` is a broker that does not answer."""

    def __init__(self) -> None:
        self.log: list[FakeMessage] = []
        self.next = 0
        self.away = False

    def say(self, value: Any, key: bytes = b"team/model") -> None:
        self.log.append(
            FakeMessage(len(self.log), key, value if isinstance(value, bytes) else json.dumps(value).encode())
        )

    def assign(self, _partitions: object) -> None:
        return None

    def get_watermark_offsets(self, _partition: object, **_options: object) -> tuple[int, int]:
        if self.away:
            raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        return 0, len(self.log)

    def consume(self, num_messages: int, timeout: float) -> list[FakeMessage]:
        found = [] if self.away else self.log[self.next : self.next + num_messages]
        self.next += len(found)
        return found

    def close(self) -> None:
        return None


def rollout(version: str, through: int, shadows: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "namespace": "team",
        "model": "model",
        "decided_through": through,
        "phase": "shadow" if shadows else "steady",
        "champion": {"version": version, "artifact": version * 8},
        "shadows": [{"version": name, "artifact": name * 8} for name in shadows],
        "step_id": f"rollout-{version}",
        "a field from the future": [1, 2],
    }


def router(consumer: FakeConsumer, cache: Path | None = None) -> Router:
    return Router({}, "team", "model", cache_path=cache, consumer=consumer)  # type: ignore[arg-type]


def test_the_newest_record_of_the_model_decides() -> None:
    log = FakeConsumer()
    log.say(rollout("1", 10))
    log.say(rollout("9", 99), key=b"team/another")
    log.say(rollout("2", 20, shadows=("3",)))
    follow = router(log)
    assert follow.refresh()
    assert follow.decision == Decision(
        Route("2", "2" * 8), (Route("3", "3" * 8),), decided_through=20, phase="shadow", step_id="rollout-2"
    )


def test_what_is_decided_never_goes_back(tmp_path: Path) -> None:
    log = FakeConsumer()
    log.say(rollout("2", 20))
    log.say(rollout("1", 10))
    cache = tmp_path / "decision.json"
    follow = router(log, cache)
    assert follow.refresh()
    assert (follow.decision.champion, follow.decision.decided_through) == (Route("2", "2" * 8), 20)
    again = FakeConsumer()
    again.say(rollout("1", 10))
    restarted = router(again, cache)
    assert restarted.refresh()
    assert restarted.decision == follow.decision
    again.say(rollout("3", 20, shadows=("2",)))
    assert restarted.refresh()
    assert restarted.decision.champion == Route("3", "3" * 8)


def test_before_any_record_there_is_no_champion() -> None:
    follow = router(FakeConsumer())
    assert follow.refresh()
    assert follow.decision.champion is None


def test_the_last_decision_survives_a_restart_without_a_broker(tmp_path: Path) -> None:
    log = FakeConsumer()
    log.say(rollout("2", 20, shadows=("3",)))
    cache = tmp_path / "deep" / "decision.json"
    first = router(log, cache)
    first.refresh()
    dead = FakeConsumer()
    dead.away = True
    second = router(dead, cache)
    assert not second.refresh()
    assert second.decision == first.decision


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"key": "team/another", "decision": {}}', b'{"key": "team/model"}']
)
def test_a_damaged_cache_is_ignored(tmp_path: Path, content: bytes) -> None:
    cache = tmp_path / "decision.json"
    cache.write_bytes(content)
    assert router(FakeConsumer(), cache).decision == Decision()


@pytest.mark.parametrize("value", [b"{", b"[]", b'{"champion": {"version": "7"}}', b'{"decided_through": null}'])
def test_a_record_that_cannot_be_read_changes_nothing(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    log = FakeConsumer()
    log.say(rollout("2", 20))
    log.say(value)
    follow = router(log)
    with caplog.at_level(logging.ERROR, "driftline"):
        assert follow.refresh()
    assert follow.decision.champion == Route("2", "2" * 8)
    assert "staying with" in caplog.text


def test_waiting_in_vain_says_how_far_it_is() -> None:
    log = FakeConsumer()
    log.say(rollout("2", 1_359_694_800_000))
    follow = router(log)
    with pytest.raises(NotDecided, match=r"decided through 2013-02-01T05:00:00\+00:00.*serving version 2"):
        follow.wait_decided(1_359_694_800_001, timeout=0.05)


def test_waiting_ends_as_soon_as_it_is_decided() -> None:
    log = FakeConsumer()
    for through in (10, 20, 30):
        log.say(rollout("2", through))
    assert router(log).wait_decided(20, timeout=5).decided_through == 30
