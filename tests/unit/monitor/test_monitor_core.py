"""The decision clock: order, one test a window, and the same bytes from any interleaving and after any kill."""

from collections.abc import Iterable, Sequence

import monitor_world as world
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.ids import canonical_json
from schemas.partials import PartialMessage
from schemas.spec import AlertSpec
from streams.monitor import state as states
from streams.monitor.core import ModelMonitor, Tick
from streams.monitor.generations import Generations
from streams.monitor.held import Held, Mark

DAYS = 12
FAULTS = world.Faults(nulls=[5], bad=[6, 7, 8])
PARTITIONS = world.stream(DAYS, faults=FAULTS)
GENERATIONS = Generations.of([world.record(of=world.meaning(world.reference()))])
REVISED = {"quality", "performance"}


def monitor(state: states.State | None = None, held: Held | None = None) -> ModelMonitor:
    return ModelMonitor(world.NAMESPACE, world.MODEL, held or Held(2), state)


def advance(on: ModelMonitor, generations: Generations = GENERATIONS) -> list[Tick]:
    ticks = []
    while (start := on.due(generations)) is not None:
        ticks.append(on.tick(start, generations))
    return ticks


def run(messages: Iterable[PartialMessage], generations: Generations = GENERATIONS) -> list[Tick]:
    on = monitor()
    ticks = []
    for message in messages:
        on.apply(message)
        ticks += advance(on, generations)
    return ticks


def bytes_of(tick: Tick) -> tuple[object, ...]:
    """All that a repetition must repeat: not the numbers that are revised, which have a revision instead."""
    final = [metric for metric in tick.metrics if metric.view not in REVISED]
    return canonical_json(tick.report), states.encode(tick.state), final


EXPECTED = run(world.in_turn(PARTITIONS))


def test_ticks_run_at_every_window_end_in_order() -> None:
    ends = [world.START + day * world.DAY for day in range(1, DAYS + 1)]
    assert [tick.report.at for tick in EXPECTED] == ends
    assert [tick.report.counted for tick in EXPECTED] == [2 * world.ROWS] * DAYS


def test_a_shadow_is_no_traffic_but_is_in_the_tally() -> None:
    on = monitor()
    for message in world.in_turn(world.stream(2, versions=("1", "2"))):
        on.apply(message)
    assert on.held.tally(world.START, "predictions.counted") == 4 * world.ROWS
    tick = on.tick(world.START, GENERATIONS)
    assert tick.report.counted == 2 * world.ROWS
    shown = {metric.segment: metric.n for metric in tick.metrics if metric.metric == "counted"}
    assert set(shown) == {"", "origin=EWR", "origin=JFK"}
    assert shown[""] == 2 * world.ROWS == shown["origin=EWR"] + shown["origin=JFK"]


def test_no_tick_until_every_partition_has_passed() -> None:
    on = monitor()
    fast, slow = PARTITIONS
    for message in fast:
        on.apply(message)
    assert advance(on) == []
    on.apply(slow[0])
    assert advance(on) == []
    on.apply(slow[1])
    assert [tick.report.at for tick in advance(on)] == [world.START + world.DAY]


def test_a_window_is_tested_once_when_its_labels_are_mature() -> None:
    tested = [window for tick in EXPECTED for window in tick.report.tested]
    assert [window.window_start for window in tested] == [world.START + day * world.DAY for day in range(DAYS - 1)]
    assert {window.verdict for window in tested} == {"inside", "outside"}
    assert {(window.n, window.predictions, window.coverage) for window in tested} == {(140, 160, 0.875)}


def test_late_labels_revise_what_people_see_and_never_what_was_tested() -> None:
    window = world.START
    shown = [
        (metric.n, metric.coverage, metric.revision)
        for tick in EXPECTED
        for metric in tick.metrics
        if metric.view == "performance" and metric.window_start == window and metric[4:7] == ("", "", "log_loss")
    ]
    assert [n for n, _, _ in shown] == [80, 140, 150]
    assert [coverage for _, coverage, _ in shown] == [0.5, 0.875, 0.9375]
    revisions = [revision for _, _, revision in shown]
    assert revisions == sorted(set(revisions))


def test_volume_is_revised_when_an_event_comes_late() -> None:
    by_revision = {
        metric.revision: metric.value
        for tick in EXPECTED
        for metric in tick.metrics
        if metric.view == "quality" and metric.window_start == world.START and metric.metric == "late"
    }
    assert [by_revision[revision] for revision in sorted(by_revision)] == [0.0, 2.0]


def test_too_little_data_is_null_and_never_a_pass() -> None:
    generations = Generations.of([world.record(alerts=AlertSpec(min_rows=10_000))])
    ticks = run(world.in_turn(PARTITIONS), generations)
    decided = [m for tick in ticks for m in tick.metrics if m.view in {"feature", "score", "tested", "performance"}]
    assert decided
    assert {metric.value for metric in decided} == {None}
    assert {window.verdict for tick in ticks for window in tick.report.tested} == {"insufficient"}
    assert not any(tick.report.incident for tick in ticks)


def test_without_a_reference_nothing_is_compared_and_nothing_pages() -> None:
    generations = Generations.of([world.record(with_reference=False)])
    ticks = run(world.in_turn(world.stream(DAYS, faults=FAULTS, with_reference=False)), generations)
    assert not {m.metric for t in ticks for m in t.metrics} & {"psi", "ks", "wasserstein"}
    assert {window.verdict for tick in ticks for window in tick.report.tested} == {"no reference"}
    assert not any(tick.report.incident for tick in ticks)


def test_a_window_belongs_to_the_newest_generation_in_effect() -> None:
    generations = Generations.of(
        [world.record(with_reference=False), world.record(2, effective_from=world.START + 3 * world.DAY)]
    )
    ticks = run(world.in_turn(world.stream(5, with_reference=False)), generations)
    assert [tick.report.generation for tick in ticks] == [1, 1, 1, 2, 2]


def test_the_loss_of_whoever_served_counts_and_no_shadows() -> None:
    generations = Generations.of([world.record()])
    on = monitor()
    for message in world.in_turn(world.stream(DAYS, faults=FAULTS, versions=("2", "1"))):
        on.apply(message)
    versions = set()
    while (start := on.due(generations)) is not None:
        incident = on.tick(start, generations).report.incident
        if incident:
            versions |= {c.version for c in incident.conditions if c.kind == "labelled_loss"}
    assert versions == {"2"}


def shuffled(data: st.DataObject, partitions: Sequence[Sequence[PartialMessage]]) -> list[PartialMessage]:
    """Each partition in its order, mixed at random, with repeats of what was sent before."""
    left = [list(messages) for messages in partitions]
    sent: list[PartialMessage] = []
    while any(left):
        choice = data.draw(st.sampled_from([index for index, messages in enumerate(left) if messages]))
        sent.append(left[choice].pop(0))
        if data.draw(st.integers(0, 3)) == 0:
            sent.append(data.draw(st.sampled_from(sent)))
    return sent


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_interleaving_with_repeats_and_stragglers_decides_the_same(data: st.DataObject) -> None:
    ticks = run(shuffled(data, PARTITIONS))
    assert [bytes_of(tick) for tick in ticks] == [bytes_of(tick) for tick in EXPECTED]


def rebuilt(sent: Sequence[PartialMessage], last: Tick | None) -> ModelMonitor:
    """What a new process has: all rows of the messages that were sent, and the state of the last report."""
    state = states.decode(states.encode(last.state)) if last else None
    held = Held(2)
    for partition in (0, 1):
        for m in sorted((m for m in sent if m.partition == partition), key=lambda m: m.seq):
            if m.seq >= (state.seqs[str(partition)] if state else 0):
                held.mark(partition, Mark(m.seq, min(m.watermarks.predictions, m.watermarks.outcomes), m.positions))
    held.put((m.partition, m.seq, row) for m in sent for row in m.sketches)
    return monitor(state, held)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_kill_at_any_moment_changes_no_byte(data: st.DataObject) -> None:
    """After each message the process may die; stage 1 goes on meanwhile, so the rows may be ahead of the message."""
    messages = shuffled(data, PARTITIONS)
    on, ticks = monitor(), list[Tick]()
    for number, message in enumerate(messages):
        if data.draw(st.integers(0, 4)) == 0:
            ahead = data.draw(st.integers(0, 5))
            on = rebuilt(messages[: number + ahead], ticks[-1] if ticks else None)
        on.apply(message)
        ticks += advance(on)
    assert [bytes_of(tick) for tick in ticks] == [bytes_of(tick) for tick in EXPECTED]


def test_state_survives_json() -> None:
    for tick in EXPECTED:
        assert states.decode(states.encode(tick.state)) == tick.state
        assert msgspec.json.decode(canonical_json(tick.report), type=type(tick.report)) == tick.report
