"""The oracle of the fault tests: that it can fail, and that its load has everything it promises."""

import json

import numpy as np
import pytest
from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]
from comparison import differences
from loads import LATENESS, Load, Shape
from loads import murmur2 as murmur2_of_all
from oracle import Oracle


@pytest.fixture(scope="module")
def load() -> Load:
    return Load(Shape(events=20_000, seed=3))


def test_partitions_are_those_of_other_clients(load: Load) -> None:
    expected = [murmur2(key) & 0xFFFFFFFF for key in load.keys[:500]]
    assert murmur2_of_all(load.keys[:500]).tolist() == expected
    for length in range(1, 9):
        key = b"abcdefgh"[:length]
        assert murmur2_of_all([key]).tolist() == [murmur2(key) & 0xFFFFFFFF]


def test_a_seed_makes_the_same_bytes() -> None:
    shape = Shape(events=2_000, seed=5)
    one, two = Load(shape), Load(shape)
    assert list(one.records(0, len(one))) == list(two.records(0, len(two)))
    other = Load(Shape(events=2_000, seed=6))
    assert list(one.records(0, 100)) != list(other.records(0, 100))


def test_every_kind_of_fault_is_in_it(load: Load) -> None:
    oracle = Oracle(load)
    topics = load.table.topic
    found = {(int(topic), str(verdict)) for topic, verdict in zip(topics, oracle.verdict, strict=True)}
    assert found == {
        *((0, verdict) for verdict in ("counted", "late", "duplicate", "dead")),
        *((1, verdict) for verdict in ("counted", "duplicate", "correction", "dead")),
    }
    views = {key.view for key in oracle.expected()}
    assert views == {"feature", "score", "latency", "tally", "matured", "overdue"}
    predicted = set(load.table.request[topics == 0].tolist())
    labelled = set(load.table.request[topics == 1].tolist())
    assert labelled - predicted, "labels without a prediction"
    prediction, outcome = oracle.pairs()
    assert np.any(prediction > outcome), "labels before their prediction"
    assert 0.9 * LATENESS < disorder(load, oracle) <= LATENESS


def disorder(load: Load, oracle: Oracle) -> int:
    """How far at most, but for those that come hours later, a counted prediction is behind one that came before it."""
    t = load.table
    rows = np.flatnonzero((t.topic == 0) & (oracle.verdict == "counted") & (t.sent - t.time <= LATENESS))
    most = 0
    for model in range(load.shape.models):
        for partition in range(load.shape.partitions):
            mine = rows[(load.model[t.request[rows]] == model) & (load.place[rows] == partition)]
            most = max(most, int((np.maximum.accumulate(t.time[mine]) - t.time[mine]).max()))
    return most


def test_what_was_not_sent_is_not_counted(load: Load) -> None:
    oracle = Oracle(load)
    sent = np.arange(len(load)) < len(load) // 2
    tallies = [
        n.n for key, n in oracle.when_only(sent).expected().items() if key.view == "tally" and _verdict(key.name)
    ]
    assert sum(tallies) == len(load) // 2
    assert "not sent" not in oracle.verdict


def test_the_books_balance(load: Load) -> None:
    """In = counted + late + duplicate + correction + dead."""
    tallies = [
        numbers.n for key, numbers in Oracle(load).expected().items() if key.view == "tally" and _verdict(key.name)
    ]
    assert sum(tallies) == len(load)


def _verdict(name: str) -> bool:
    return name not in ("predictions.served", "outcomes.late_label")


def test_the_numbers_are_those_of_a_count_by_hand(load: Load) -> None:
    """The mean of one feature in one window of one model, from the bytes that are sent."""
    oracle = Oracle(load)
    total = rows = 0
    window = load.shape.end - load.shape.end % 3_600_000 - 10 * 3_600_000
    for index, record in enumerate(load.records(0, len(load))):
        if record.topic == "predictions" and oracle.verdict[index] == "counted":
            body = json.loads(record.value)
            at = int(np.datetime64(body["event_time"][:-1], "ms").astype(np.int64))
            y = body["features"]["y"]
            if body["model"] == "model1" and body["role"] != "shadow" and at // 3_600_000 * 3_600_000 == window:
                rows += 1
                total += round((y or 0) * 2**20)
    found = next(
        numbers
        for key, numbers in oracle.expected().items()
        if key[:3] == ("model1", window, "feature") and key.segment == "" and key.name == "y"
    )
    assert rows > 100
    assert (found.n, found.sums) == (rows, (total,))


def test_a_difference_is_shown() -> None:
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 2}) == ""
    found = differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
    assert found.splitlines() == [
        "2 of 3 differ", "b", "    expected 2", "    got      3", "c", "    expected None", "    got      4",
    ]  # fmt: skip
