"""When a checkpoint is due: a model's windows end once, for all of its partitions together."""

from typing import Any

import pytest
from aggregate_world import DAY, START, model_record

from streams.aggregate.cadence import Cadence, clocks
from streams.aggregate.index import Index
from streams.aggregate.models import Models
from streams.aggregate.rows import Work
from streams.aggregate.state import State
from streams.notify.watch import stalled_after

EVERY = 10.0
END = START + DAY
A, B = "default/delay", "default/other"
nothing: Any = None


class Member:
    """Owns two partitions, whose logs it has read to their ends unless ``backlog``."""

    def __init__(self, *, backlog: bool = False, every: float = EVERY) -> None:
        self.models = Models()
        self.models.learn(model_record())
        self.states = {
            p: State(
                p, "me", 1, [1, 1], {key: [START, START] for key in (A, B)},
                Index(self.models, 10, (0, 0)), set(), 0.0,
            )
            for p in (0, 1)
        }  # fmt: skip
        for state in self.states.values():
            state.at_end = [not backlog, not backlog]
        self.cadence = Cadence(every, 0.0)

    def passes(self, key: str, *places: tuple[int, int], end: int = END) -> None:
        """In these (partition, side) all events before ``end`` were seen."""
        for partition, side in places:
            self.states[partition].raise_watermark(key, side, end, self.models.generations(A)[0])

    def due(self, now: float) -> bool:
        return self.cadence.due(self.states, Work(), now)

    def checkpointed(self, began: float, now: float) -> None:
        for state in self.states.values():
            state.committed(state.seq + 1, 500)
            state.positions[0] += 1
        self.cadence.checkpointed(began, now)


EVERYWHERE = ((0, 0), (0, 1), (1, 0), (1, 1))


@pytest.mark.parametrize("took", [0.1, 3.0, 10.0, 40.0])
def test_who_rests_longest_in_a_backlog_is_not_taken_for_stalled(took: float) -> None:
    every = 120.0
    member = Member(backlog=True, every=every)
    member.checkpointed(0.0, took)
    rested = next(seconds for seconds in range(1_000) if member.due(took + seconds))
    assert stalled_after(every) > 1_000 * 2 * (rested + took)


def test_nothing_ends_until_the_last_watermark_has_passed() -> None:
    member = Member()
    for place in EVERYWHERE[:-1]:
        member.passes(A, place)
        assert not member.due(1.0)
    assert clocks(member.states.values()) == (set(), {A})
    member.passes(A, EVERYWHERE[-1])
    assert clocks(member.states.values()) == ({A}, set())
    assert member.due(1.0)


def test_models_that_end_together_are_waited_for_a_moment() -> None:
    member = Member()
    member.passes(A, *EVERYWHERE)
    member.passes(B, *EVERYWHERE[:2])
    assert not member.due(1.0)
    assert not member.due(1.1)
    assert member.due(1.3)
    member.passes(B, *EVERYWHERE[2:])
    assert member.due(1.1), "there is nobody left to wait for"


def test_a_window_ends_although_a_partition_is_more_windows_ahead() -> None:
    member = Member()
    member.passes(A, *EVERYWHERE[:3], end=END + 5 * DAY)
    assert not member.due(1.0)
    member.passes(A, EVERYWHERE[3])
    assert clocks(member.states.values()) == ({A}, set()), "one end was passed by all"
    assert member.due(1.3)


def test_what_was_told_is_not_told_again() -> None:
    member = Member()
    member.passes(A, *EVERYWHERE)
    assert member.due(1.0)
    member.checkpointed(1.0, 1.5)
    assert clocks(member.states.values()) == (set(), set())
    assert not member.due(2.0)


@pytest.mark.parametrize(("backlog", "at"), [(True, 2.5), (False, 1.5)])
def test_in_a_backlog_checkpoints_take_a_small_share_of_the_time(backlog: bool, at: float) -> None:
    """Nine tenths of it are left for events, up to a second; who has read everything need not wait."""
    member = Member(backlog=backlog)
    member.passes(A, *EVERYWHERE)
    assert member.due(1.0)
    member.checkpointed(1.0, 1.5)
    member.passes(A, *EVERYWHERE, end=END + DAY)
    assert next(now for now in (1.5, 2.4, 2.5) if member.due(now)) == at


@pytest.mark.parametrize(("took", "at"), [(0.02, 2.02), (0.4, 5.0), (3.0, 9.0)])
def test_in_a_backlog_they_are_larger_and_rarer(took: float, at: float) -> None:
    """A tenth of the time at most, but never later than after three times the usual."""
    member = Member(backlog=True, every=2.0)
    member.checkpointed(0.0, took)
    assert next(now for now in (took + 1.9, 2.02, 3.9, 5.0, 8.9, 9.0) if member.due(now)) == at


def test_who_has_read_everything_makes_them_as_often_as_ever() -> None:
    member = Member(every=2.0)
    member.checkpointed(0.0, 0.4)
    assert not member.due(2.3)
    assert member.due(2.4)


def test_work_is_durable_within_the_given_time_whatever_ends() -> None:
    member = Member()
    assert not member.due(EVERY - 0.01)
    assert member.due(EVERY)
    for state in member.states.values():
        state.positions[:] = [0, 0]
    assert not member.due(2 * EVERY), "there is nothing to make durable"
