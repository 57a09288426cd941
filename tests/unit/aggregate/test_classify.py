"""Verdicts, pairs and sketches against a slow oracle, whatever the order of events and the cuts of batches."""

import json
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from aggregate_world import (
    DAY,
    HOUR,
    START,
    Key,
    Numbers,
    Oracle,
    events,
    joined,
    model_record,
    outcome,
    prediction,
    progress,
)
from engine_world import Engine
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.events import SourceTopic
from schemas.models import ModelRecord
from schemas.spec import FeatureSpec, WindowSpec
from streams.aggregate.decode import Record
from streams.aggregate.rows import SIDES
from warehouse.client import Warehouse

RECORDS = [model_record(), model_record(generation=2, effective_from=START + 2 * DAY)]


class NoWarehouse(Warehouse):
    """Nothing may be asked: memory is complete."""

    def __init__(self) -> None:
        """No client."""

    def rows(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        raise AssertionError(f"unexpected query: {sql}")


class Partition(Engine):
    """A partition in memory, its records given batch by batch, beside the oracle."""

    def __init__(self, records: Sequence[ModelRecord] = RECORDS) -> None:
        super().__init__(NoWarehouse(), records)
        self.oracle = Oracle(records)
        self.offsets = {"predictions": 0, "outcomes": 0}

    def record(self, topic: SourceTopic, value: bytes, log_ts: int) -> Record:
        offset = self.offsets[topic]
        self.offsets[topic] += 1
        return Record(topic, 0, offset, log_ts, value)

    def only(self, records: list[Record]) -> tuple[list[Record], list[Record]]:
        """Count a batch in the engine alone."""
        sides = ([r for r in records if r.topic == "predictions"], [r for r in records if r.topic == "outcomes"])
        self.count(*sides)
        self.sketch()
        return sides

    def batch(self, records: list[Record]) -> None:
        """Count a batch, in the engine and in the oracle."""
        sides = self.only(records)
        for record in (*sides[0], *sides[1]):
            self.oracle.record(record.topic, record.offset, record.log_ts, record.value or b"")

    def counted(self) -> dict[Key, Numbers]:
        return {
            (model, s.window_start, s.generation, s.view, s.version, s.segment, s.name): (
                s.n, s.nulls, s.outside, tuple(s.sums), s.minimum, s.maximum, tuple(s.counts),
            )
            for model, rows in self.state.rows()
            for s in rows
        }  # fmt: skip

    def judged(self) -> dict[tuple[str, int], str]:
        return self.verdicts | {(d.record.topic, d.record.offset): "dead" for d in self.work.dead}

    def check(self) -> None:
        assert self.judged() == self.oracle.verdicts
        assert self.counted() == self.oracle.result()


def log_of(partition: Partition, seed: int, count: int) -> list[Record]:
    sent = events(count, seed)
    # The broker's clock: some ids come again after the horizon, some events are from the future.
    rng = random.Random(seed)
    clock, records = START + 3 * DAY, []
    for item in sent:
        clock += rng.choice([0, 0, HOUR, HOUR // 7]) if rng.random() < 0.2 else 0
        value = item.value
        if rng.random() < 0.03:
            value = progress(START + rng.randrange(5 * DAY))
        records.append(partition.record(item.topic, value, clock))  # type: ignore[arg-type]
    return records


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 60), min_size=1, max_size=8))
def test_any_log_in_any_batches_is_counted_as_the_oracle_counts(seed: int, cuts: list[int]) -> None:
    partition = Partition()
    records = log_of(partition, seed, 60)
    start, turn = 0, 0
    while start < len(records):
        size = cuts[turn % len(cuts)]
        partition.batch(records[start : start + size])
        start, turn = start + size, turn + 1
    partition.check()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.integers(1, 100), order=st.randoms(use_true_random=False))
def test_cuts_and_interleaving_change_only_whether_a_pair_at_the_edge_is_overdue(
    seed: int, cut: int, order: random.Random
) -> None:
    whole, cut_up = Partition(), Partition()
    records = log_of(whole, seed, 60)
    whole.batch(records)
    queues = [[r for r in records if r.topic == topic] for topic in SIDES]
    while any(queues):
        queue = order.choice([queue for queue in queues if queue])
        cut_up.batch(queue[:cut])
        del queue[:cut]
    assert whole.judged() == cut_up.judged()
    assert joined(whole.counted()) == joined(cut_up.counted())


def body(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def pairs(partition: Partition) -> dict[str, int]:
    found = {"matured": 0, "overdue": 0}
    for (_, _, _, view, _, segment, _), numbers in partition.counted().items():
        if view in found and segment == "":
            found[view] += numbers[0]
    return found


Send = Callable[[SourceTopic, bytes], None]


@pytest.fixture
def partition() -> Partition:
    return Partition()


@pytest.fixture
def send(partition: Partition) -> Send:
    return lambda topic, value: partition.batch([partition.record(topic, value, START + 30 * DAY)])


P = prediction(1, START, random.Random(1), segments={})
O = outcome(1, START + HOUR, "late")  # noqa: E741
DUE = START + 2 * DAY  # window end + maturity


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("predictions", body(P)), ("outcomes", body(O))], "matured"),
        ([("outcomes", body(O)), ("predictions", body(P))], "matured"),
        ([("predictions", body(P)), ("outcomes", progress(DUE - 1)), ("outcomes", body(O))], "matured"),
        ([("predictions", body(P)), ("outcomes", progress(DUE)), ("outcomes", body(O))], "overdue"),
        ([("outcomes", body(O)), ("outcomes", progress(DUE)), ("predictions", body(P))], "matured"),
        ([("predictions", progress(START + DAY)), ("predictions", body(P)), ("outcomes", body(O))], "overdue"),
        ([("outcomes", body(O)), ("predictions", progress(START + DAY)), ("predictions", body(P))], "overdue"),
    ],
)
def test_a_pair_is_matured_unless_it_came_too_late_for_the_test(
    partition: Partition, send: Send, steps: list[tuple[SourceTopic, bytes]], expected: str
) -> None:
    for topic, value in steps:
        send(topic, value)
    assert pairs(partition) == {"matured": 0, "overdue": 0} | {expected: 1}
    partition.check()


def test_an_outcome_joins_every_version_once(partition: Partition, send: Send) -> None:
    send("predictions", body(P))
    send("predictions", body(P | {"version": "v2", "role": "shadow"}))
    send("outcomes", body(O))
    send("outcomes", body(O))
    send("predictions", body(P | {"version": "v3", "role": "canary"}))
    send("predictions", body(P))
    assert pairs(partition) == {"matured": 3, "overdue": 0}
    partition.check()


@pytest.mark.parametrize(
    ("labels", "verdicts"),
    [
        (["late", "late"], ["counted", "duplicate"]),
        (["late", True, 1.0], ["counted", "duplicate", "duplicate"]),
        (["late", "on time"], ["counted", "correction"]),
        (["late", "on time", "on time"], ["counted", "correction", "duplicate"]),
        (["late", False, "late"], ["counted", "correction", "correction"]),
        (["on time", 1, "late"], ["counted", "correction", "duplicate"]),
    ],
)
def test_the_first_label_counts_and_another_one_is_a_correction(
    partition: Partition, send: Send, labels: list[Any], verdicts: list[str]
) -> None:
    send("predictions", body(P))
    for label in labels:
        send("outcomes", body(O | {"label": label}))
    assert [verdict for (topic, _), verdict in sorted(partition.verdicts.items()) if topic == "outcomes"] == verdicts
    assert pairs(partition) == {"matured": 1, "overdue": 0}
    [performance] = [s for key, s in partition.counted().items() if key[3] == "matured" and key[5] == ""]
    positive = labels[0] == "late"
    assert sum(performance[6][1::2]) == positive, "the label of the pair is the first one"
    partition.check()


def test_another_label_after_the_horizon_is_a_new_outcome_and_then_what_is_compared_with() -> None:
    partition = Partition()
    for label, log_ts in (("late", 0), ("on time", 7 * DAY + 1), ("on time", 8 * DAY), ("late", 8 * DAY)):
        partition.batch([partition.record("outcomes", body(O | {"label": label}), START + DAY + log_ts)])
    found = [verdict for (topic, _), verdict in sorted(partition.verdicts.items()) if topic == "outcomes"]
    assert found == ["counted", "counted", "duplicate", "correction"]
    partition.check()


def test_a_label_beyond_the_horizon_is_told_apart(partition: Partition, send: Send) -> None:
    send("predictions", body(P))
    send("outcomes", body(O | {"event_time": "2013-01-04T00:00:00.001Z"}))
    assert pairs(partition) == {"matured": 0, "overdue": 0}
    assert ("default/delay", START, 1, "tally", "", "", "outcomes.late_label") in partition.counted()
    partition.check()


@pytest.mark.parametrize(("behind", "verdict"), [(7 * DAY, "duplicate"), (7 * DAY + 1, "counted")])
def test_an_id_is_remembered_for_the_horizon_of_the_brokers_clock(behind: int, verdict: str) -> None:
    partition = Partition()
    log_ts = START + DAY
    partition.batch([partition.record("predictions", body(P), log_ts)])
    partition.batch([partition.record("predictions", body(P), log_ts + behind)])
    assert partition.judged()["predictions", 1] == verdict
    partition.check()


@pytest.mark.parametrize(("ahead", "dead"), [(HOUR, False), (HOUR + 1, True)])
def test_the_future_is_judged_by_the_brokers_clock_and_moves_no_watermark(ahead: int, dead: bool) -> None:
    for value in (body(P), progress(START)):
        partition = Partition()
        partition.batch([partition.record("predictions", value, START - ahead)])
        assert bool(partition.work.dead) is dead
        assert [letter.reason for letter in partition.work.dead] == ["from_future"] * dead
        assert bool(partition.state.watermarks) is not dead


@pytest.mark.parametrize(("behind", "dead"), [(DAY, False), (DAY + 1, True)])
def test_a_past_that_no_service_lives_in_starts_no_clock(behind: int, dead: bool) -> None:
    record = model_record(max_age=timedelta(days=1))
    for value in (body(P), progress(START)):
        partition = Partition([record])
        partition.batch([partition.record("predictions", value, START + behind)])
        assert [letter.reason for letter in partition.work.dead] == ["too_old"] * dead
        assert bool(partition.state.watermarks) is not dead


def test_a_time_of_1970_is_no_time_of_a_model_by_default() -> None:
    record, now = model_record(max_age=WindowSpec().max_age), START + 5_000 * DAY
    for event_time, dead in ((0, True), (now // 1000, True), (START, False), (now, False)):
        partition = Partition([record])
        partition.batch([partition.record("predictions", progress(event_time), now)])
        assert [letter.reason for letter in partition.work.dead] == ["too_old"] * dead


@pytest.mark.parametrize(("log_ts", "reason"), [(10**15, "too_old"), (-(10**15), "from_future")])
def test_a_timestamp_that_no_calendar_has_is_said_as_a_number(log_ts: int, reason: str) -> None:
    partition = Partition()
    partition.batch([partition.record("predictions", body(P), log_ts)])
    [letter] = partition.work.dead
    assert letter.reason == reason
    assert f"{log_ts} ms since 1970" in letter.detail


def test_watermarks_follow_events_by_the_lateness_and_progress_at_once(partition: Partition, send: Send) -> None:
    send("predictions", body(P))
    assert partition.state.watermarks["default/delay"][0] == START - HOUR
    send("outcomes", progress(START + 5))
    assert partition.state.watermarks["default/delay"] == [START - HOUR, START + 5]
    send("outcomes", progress(START))
    assert partition.state.watermarks["default/delay"][1] == START + 5


def test_a_watermark_that_passes_a_windows_end_asks_for_a_checkpoint(partition: Partition, send: Send) -> None:
    send("predictions", progress(START + 1))
    partition.state.passed.clear()
    send("predictions", progress(START + DAY - 1))
    assert not partition.state.passed
    send("predictions", progress(START + 3 * DAY))
    assert partition.state.passed == {("default/delay", 0): START + DAY}, "the first of those it has passed"


@pytest.mark.parametrize(
    ("label", "positive"),
    [("late", 1), ("on time", 0), ("", 0), (True, 1), (False, 0), (1, 1), (1.0, 1), (0, 0), (0.0, 0)],
)
def test_labels(partition: Partition, send: Send, label: Any, positive: int) -> None:
    send("outcomes", body(O | {"label": label}))
    assert partition.state.index.outcomes.get("target", 0) == positive


@pytest.mark.parametrize(
    ("topic", "event", "reason", "names"),
    [
        ("predictions", P | {"model": "unheard"}, "unknown_model", "default/unheard"),
        ("predictions", P | {"namespace": "other"}, "unknown_model", "other/delay"),
        ("predictions", P | {"scores": {"on time": 0.5}}, "missing_score", '"late"'),
        ("predictions", P | {"features": {"x": True}}, "wrong_kind", "$.features.x"),
        ("predictions", P | {"features": {"wet": 1}}, "wrong_kind", "$.features.wet"),
        ("predictions", P | {"features": {"origin": 3.5}}, "wrong_kind", "$.features.origin"),
        ("predictions", P | {"event_time": "1969-12-31T23:59:59Z"}, "invalid", "$.event_time"),
        ("outcomes", O | {"label": 2}, "unknown_label", "$.label"),
        ("outcomes", O | {"model": "unheard"}, "unknown_model", "default/unheard"),
    ],
)
def test_what_the_spec_refuses_is_dead_and_says_why(
    partition: Partition, topic: SourceTopic, event: dict[str, Any], reason: str, names: str
) -> None:
    partition.only([partition.record(topic, body(event), START + 30 * DAY)])
    [letter] = partition.work.dead
    assert letter.reason == reason
    assert names in letter.detail
    assert partition.counted() == {("/", 0, 0, "tally", "", "", f"{topic}.dead"): (1, 0, 0, (), None, None, ())}


def test_missing_and_unheard_of_features_are_tolerated(partition: Partition) -> None:
    event = P | {"features": {"more": "than declared"}}
    partition.only([partition.record("predictions", body(event), START + 30 * DAY)])
    counted = partition.counted()
    for name in ("x", "origin", "wet"):
        assert counted["default/delay", START, 1, "feature", "", "", name][:2] == (1, 1)


def test_an_event_belongs_to_the_newest_generation_of_its_window(partition: Partition, send: Send) -> None:
    for number, day in ((1, 1), (2, 2), (3, 3)):
        send("predictions", body(P | {"prediction_id": f"n{number}", "event_time": f"2013-01-0{day}T12:00:00Z"}))
    generations = {start: number for (_, start, number, view, *_), _ in partition.counted().items() if view == "score"}
    assert generations == {START: 1, START + DAY: 1, START + 2 * DAY: 2}
    partition.check()


def test_a_generation_may_bring_a_feature_while_events_read_before_it_wait() -> None:
    spec = RECORDS[1].parsed()
    new = FeatureSpec(name="new", kind="number")
    spec = spec.model_copy(update={"features": (*spec.features, new)})
    second = replace(RECORDS[1], spec=spec.model_dump(mode="json"), reference=None)
    partition = Partition(RECORDS[:1])
    for number, (day, names) in enumerate(((1, []), (3, [second]), (4, []))):
        for record in names:
            partition.models.learn(record)
        features = P["features"] | {"new": number}
        sent = P | {"prediction_id": f"n{number}", "event_time": f"2013-01-0{day}T12:00:00Z", "features": features}
        partition.count([partition.record("predictions", body(sent), START + 30 * DAY)], [])
    partition.sketch()
    found = {
        (start, number, name): numbers[:2]
        for (_, start, number, view, _, segment, name), numbers in partition.counted().items()
        if view == "feature" and segment == ""
    }
    old = ("x", "origin", "wet")
    expected = {(START, 1, name) for name in old}
    expected |= {(START + day * DAY, 2, name) for day in (2, 3) for name in (*old, "new")}
    assert found.keys() == expected
    assert all(numbers == (1, 0) for (_, _, name), numbers in found.items() if name != "origin")
