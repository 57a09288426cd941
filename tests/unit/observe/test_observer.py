"""What a process says of itself: names that Prometheus takes, no label without bounds, and why it is not ready."""

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from observe import Observer, serve
from observe.metrics import MODELS
from observe.observer import STALLED_AFTER
from observe.server import answer


class Clock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def observer(clock: Clock) -> Observer:
    return Observer("aggregate", wall=clock, steady=clock)


def samples(observer: Observer) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All that a scrape gives: (name, labels) -> value."""
    text = answer(observer, "/metrics")[2].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(observer: Observer, name: str, **labels: str) -> float:
    return samples(observer)[name, tuple(sorted(labels.items()))]


def test_what_was_done_is_counted_by_what_became_of_it(observer: Observer) -> None:
    observer.events("predictions", "counted", 3)
    observer.events("predictions", "late")
    observer.events("predictions", "counted", 2)
    observer.dead_letters("undecodable", 4)
    assert value(observer, "driftline_events_total", topic="predictions", verdict="counted") == 5
    assert value(observer, "driftline_events_total", topic="predictions", verdict="late") == 1
    assert value(observer, "driftline_dead_letters_total", reason="undecodable") == 4
    assert value(observer, "driftline_role", role="aggregate") == 1
    assert value(observer, "process_resident_memory_bytes") > 1e6


def test_event_time_lag_grows_while_nothing_comes(observer: Observer, clock: Clock) -> None:
    observer.event_time("default/delay", 990_000)
    assert value(observer, "driftline_event_time_lag_seconds", model="default/delay") == 10
    clock.now += 50
    assert value(observer, "driftline_event_time_lag_seconds", model="default/delay") == 60
    observer.tick("default/delay", 1_040_000)
    assert value(observer, "driftline_event_time_lag_seconds", model="default/delay") == 10
    assert value(observer, "driftline_ticks_total") == 1


def test_the_age_of_a_checkpoint_is_that_of_the_oldest_work_that_none_holds(observer: Observer, clock: Clock) -> None:
    clock.now += 500
    assert value(observer, "driftline_checkpoint_age_seconds") == 0
    observer.uncommitted()
    clock.now += 7
    observer.uncommitted()
    assert value(observer, "driftline_checkpoint_age_seconds") == 7
    observer.checkpoint(0.3)
    assert value(observer, "driftline_checkpoint_age_seconds") == 0
    assert value(observer, "driftline_checkpoint_seconds_sum") == 0.3
    observer.uncommitted()
    observer.checkpoint()
    assert value(observer, "driftline_checkpoint_age_seconds") == 0
    assert value(observer, "driftline_checkpoint_seconds_count") == 1


def test_models_beyond_a_thousand_share_a_series(observer: Observer, clock: Clock) -> None:
    for number in range(MODELS + 5):
        observer.event_time(f"default/{number}", int(clock.now * 1000) - number)
    observer.event_time("default/0", 0)
    found = {key: lag for key, lag in samples(observer).items() if key[0] == "driftline_event_time_lag_seconds"}
    assert len(found) == MODELS + 1
    assert value(observer, "driftline_event_time_lag_seconds", model="default/0") == clock.now
    assert value(observer, "driftline_event_time_lag_seconds", model="(others)") == pytest.approx((MODELS + 4) / 1000)


def statistics(**partitions: Any) -> str:
    found = {number: {"partition": int(number), **given} for number, given in partitions.items()}
    return json.dumps({"name": "rdkafka#consumer-1", "topics": {"t": {"topic": "t", "age": 1, "partitions": found}}})


def test_lag_is_read_from_the_client_s_statistics(observer: Observer) -> None:
    take = observer.statistics()["stats_cb"]
    active = {"fetch_state": "active", "hi_offset": 100, "ls_offset": 90, "committed_offset": 50, "app_offset": 80}
    take(
        statistics(
            **{
                "0": active,
                "1": active | {"committed_offset": -1001},
                "2": active | {"ls_offset": -1001},
                "3": active | {"fetch_state": "stopped"},
                "4": active | {"committed_offset": -1001, "app_offset": -1001},
                "5": active | {"committed_offset": 91},
                "-1": {},
            }
        )
    )
    lags = {
        dict(key[1])["partition"]: lag for key, lag in samples(observer).items() if key[0] == "driftline_consumer_lag"
    }
    assert lags == {"0": 40, "1": 10, "2": 50, "5": 0}
    take(statistics(**{"0": active | {"fetch_state": "none"}}))
    assert value(observer, "driftline_consumer_lag", topic="t", partition="0") == 40, "it only fetches nothing now"
    take(statistics(**{"0": active | {"committed_offset": 90}}))
    lags = {
        dict(key[1])["partition"]: lag for key, lag in samples(observer).items() if key[0] == "driftline_consumer_lag"
    }
    assert lags == {"0": 0}, "what is not ours any more is not ours to tell of"


def test_lag_of_partitions_that_were_taken_is_no_more(observer: Observer) -> None:
    observer.lag({("t", 0): 7})
    observer.joining()
    assert not [key for key in samples(observer) if key[0] == "driftline_consumer_lag"]


@given(st.text(), st.text(max_size=20), st.integers(-(2**53), 2**53))
def test_whatever_a_label_is_the_text_can_be_parsed(model: str, reason: str, at: int) -> None:
    observer = Observer()
    observer.event_time(model, at)
    observer.dead_letters(reason)
    assert ("driftline_dead_letters_total", (("reason", reason),)) in samples(observer)


def test_a_loop_that_stands_still_is_not_alive(observer: Observer, clock: Clock) -> None:
    assert answer(observer, "/healthz")[::2] == (200, b"ok\n")
    clock.now += STALLED_AFTER + 1
    status, _, said = answer(observer, "/healthz")
    assert (status, said) == (503, b"the main loop has not turned for 121 s (limit 120 s)\n")
    observer.waited()
    assert answer(observer, "/healthz")[0] == 200, "who waits for a server, and says so, is alive"
    assert value(observer, "driftline_waits_total") == 1


def test_it_is_ready_when_every_condition_holds_and_says_which_does_not(observer: Observer, clock: Clock) -> None:
    away = ["no answer within 2 s"]
    observer.require("clickhouse", lambda: away[0])
    observer.require("kafka", lambda: "")
    observer.joining()
    status, _, said = answer(observer, "/readyz")
    assert status == 503
    assert said.decode().splitlines() == [
        "assigned: no partitions were assigned by the consumer group yet",
        "clickhouse: no answer within 2 s",
        "kafka: ok",
    ]
    assert value(observer, "driftline_ready", check="clickhouse") == 0
    away[0] = ""
    observer.assigned()
    clock.now += 5
    assert answer(observer, "/readyz")[0] == 200
    assert value(observer, "driftline_ready", check="assigned") == 1
    observer.joining()
    assert answer(observer, "/readyz")[0] == 503, "it lost its partitions"


def test_who_asks_often_does_not_burden_what_is_checked(observer: Observer, clock: Clock) -> None:
    asked: list[float] = []

    def check() -> str:
        asked.append(clock.now)
        return ""

    observer.require("clickhouse", check)
    for _ in range(50):
        answer(observer, "/readyz")
        answer(observer, "/metrics")
    assert len(asked) == 1
    clock.now += 3
    answer(observer, "/readyz")
    assert len(asked) == 2


@pytest.fixture
def port(observer: Observer) -> Iterator[int]:
    with serve(observer, host="127.0.0.1", port=0) as found:
        yield found


def get(port: int, path: str, method: str = "GET") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path)
    found = connection.getresponse()
    said = found.read().decode()
    connection.close()
    return found.status, found.headers["Content-Type"], said


def test_it_answers_over_http_while_somebody_else_dawdles(port: int) -> None:
    slow = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    slow.connect()
    slow.sock.sendall(b"GET /metrics HT")
    status, kind, said = get(port, "/metrics?x=1")
    assert (status, kind.split(";")[0]) == (200, "text/plain")
    assert "# TYPE driftline_events_total counter" in said
    assert get(port, "/healthz")[::2] == (200, "ok\n")
    assert get(port, "/elsewhere")[::2] == (404, "valid: /metrics, /healthz, /readyz\n")
    assert get(port, "/metrics", "POST")[0] == 501
    slow.close()


def test_nothing_is_left_when_it_ends(observer: Observer) -> None:
    with serve(observer, host="127.0.0.1", port=0) as port:
        assert get(port, "/healthz")[0] == 200
    with pytest.raises(OSError, match="refused"):
        get(port, "/healthz")
    assert "observe" not in {thread.name for thread in threading.enumerate()}
