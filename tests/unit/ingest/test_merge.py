"""Records of several partitions are taken in the order of their timestamps."""

from typing import Any

from streams.ingest.merge import InTime

A, B = ("a", 0), ("b", 0)


class Stamped:
    def __init__(self, offset: int, timestamp: int) -> None:
        self._offset, self._timestamp = offset, timestamp

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, self._timestamp


def add(merge: InTime, place: tuple[str, int], *stamps: int, first: int = 0) -> None:
    for offset, stamp in enumerate(stamps, first):
        message: Any = Stamped(offset, stamp)
        merge.add(place, message)


def taken(merge: InTime, limit: int = 100) -> list[tuple[str, int]]:
    return [(place[0], message.timestamp()[1]) for place, message in merge.take(limit)]


def test_nothing_is_taken_before_every_partition_has_spoken() -> None:
    merge = InTime({A: 0, B: 0})
    add(merge, A, 1, 5)
    assert taken(merge) == []
    add(merge, B, 3, 4)
    assert taken(merge) == [("a", 1), ("b", 3), ("b", 4)]
    assert taken(merge) == []
    merge.end(B)
    assert taken(merge) == [("a", 5)]
    assert taken(merge) == []


def test_a_partition_keeps_the_order_of_its_offsets() -> None:
    merge = InTime({A: 0, B: 0})
    add(merge, A, 9, 2, 3)
    add(merge, B, 4)
    merge.end(A)
    merge.end(B)
    assert taken(merge) == [("b", 4), ("a", 9), ("a", 2), ("a", 3)]


def test_a_limit_leaves_the_rest_for_the_next_time() -> None:
    merge = InTime({A: 0})
    add(merge, A, *range(10))
    merge.end(A)
    assert len(taken(merge, 4)) == 4
    assert len(taken(merge)) == 6


def test_what_came_before_or_is_not_ours_is_left_out() -> None:
    merge = InTime({A: 5})
    add(merge, A, 1, 2, first=4)
    add(merge, A, 2, first=5)
    add(merge, B, 1)
    merge.end(A)
    merge.end(B)
    assert taken(merge) == [("a", 2)]


def test_a_partition_far_ahead_is_paused_and_read_again() -> None:
    merge = InTime({A: 0, B: 0}, full=4)
    add(merge, A, 1, 2, 3, 4)
    assert merge.throttle() == ({A}, set())
    assert merge.throttle() == (set(), set())
    add(merge, B, 3)
    taken(merge)
    assert merge.throttle() == (set(), {A})


def test_a_topic_that_nobody_asks_for_any_more_holds_up_nobody() -> None:
    merge = InTime({A: 0, B: 0})
    add(merge, A, 1)
    merge.end(A)
    assert taken(merge) == []
    merge.keep(["a"])
    assert taken(merge) == [("a", 1)]
