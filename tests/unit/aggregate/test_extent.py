"""What a checkpoint will hold is known before it is made, and messages are taken by that."""

import numpy as np
import pytest
from aggregate_world import DAY, START, model_record

from streams.aggregate.extent import Extent, Portion
from streams.aggregate.models import Models


def extent(*, windows: int, partitions: int = 1, events: int = 1) -> Extent:
    """Of so many windows of one model in each of some partitions, in each so many events."""
    models = Models()
    models.learn(model_record())
    found = Extent()
    window = np.tile(np.repeat(START + DAY * np.arange(windows), events), partitions)
    partition = np.repeat(np.arange(partitions), windows * events)
    found.add(partition, np.zeros(len(window), np.int64), window, models.everything)
    return found


def test_windows_fill_it_and_events_of_the_same_do_not() -> None:
    few, many = extent(windows=1_000), extent(windows=2_000)
    assert 0 < few.fullness() < 1
    assert many.fullness() == pytest.approx(2 * few.fullness())
    assert extent(windows=1_000, events=20).fullness() == few.fullness()
    assert extent(windows=100_000).fullness() > 1
    many.clear()
    assert many.fullness() == 0


def test_partitions_have_a_message_each_and_one_checkpoint() -> None:
    assert extent(windows=1_000, partitions=5).fullness() == pytest.approx(extent(windows=1_000).fullness())
    assert extent(windows=1_000, partitions=50).fullness() > extent(windows=1_000).fullness()


def test_a_few_windows_never_fill_it() -> None:
    # However many partitions, the next batch would touch them again.
    assert extent(windows=7, partitions=20_000).fullness() == 0


def test_what_is_judged_at_once_falls_with_what_it_fills_and_comes_back() -> None:
    portion = Portion()
    taken = []
    for share in (0.0, 0.3, 5.0, 5.0, 5.0, 5.0, 5.0, 0.3, *[0.0] * 9):
        taken.append(portion.records())
        portion.filled(share, portion.records())
    assert taken[:8] == [10_000, 40_000, 40_000, 10_000, 2_500, 625, 156, 100]
    assert taken[-1] == 250_000


def test_of_a_few_events_nothing_follows_for_many() -> None:
    portion = Portion()
    portion.filled(0.0, 5_000)
    assert portion.records() == 10_000
    portion.filled(0.0, 5_001)
    assert portion.records() == 40_000
