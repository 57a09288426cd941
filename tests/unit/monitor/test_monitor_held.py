"""The replace rule and the marks, on which everything else stands."""

import monitor_world as world
import pytest
from msgspec.structs import replace

from schemas.partials import Watermarks
from schemas.windows import NEVER
from streams.monitor.held import Held


def test_nothing_passes_before_every_partition_was_heard_of() -> None:
    held = Held(3)
    for messages in world.stream(2):
        for message in messages:
            held.apply(message)
    assert held.watermark() == NEVER


def test_the_watermark_is_the_smallest_of_all_partitions_and_both_topics() -> None:
    first, second = (messages[0] for messages in world.stream(1))
    held = Held(2)
    held.apply(replace(first, watermarks=Watermarks(world.START + 10, world.START + 30)))
    held.apply(replace(second, watermarks=Watermarks(world.START + 40, world.START + 20)))
    assert held.watermark() == world.START + 10


def test_an_older_or_equal_number_changes_nothing() -> None:
    (old, new), _ = world.stream(1)
    held = Held(1)
    assert held.apply(new)
    counted = held.tally(world.START, "predictions.counted")
    assert not held.apply(old)
    assert not held.apply(replace(new, sketches=[]))
    assert held.tally(world.START, "predictions.counted") == counted == world.ROWS


def test_what_was_added_up_is_added_up_anew_after_every_change() -> None:
    noon, evening = world.stream(1)[0]
    held = Held(1)
    held.apply(noon)
    early = held.tally(world.START, "predictions.counted")
    held.apply(evening)
    assert early < held.tally(world.START, "predictions.counted") == world.ROWS
    assert held.merged(world.START, "feature")
    held.forget(world.START + world.DAY, world.START)
    assert not held.merged(world.START, "feature")


def test_a_sketch_read_from_a_newer_row_survives_the_older_message() -> None:
    (noon, evening), _ = world.stream(1)
    held = Held(1)
    held.put((0, evening.seq, row) for row in evening.sketches)
    held.apply(noon)
    assert held.tally(world.START, "predictions.counted") == world.ROWS
    assert held.watermark() == noon.watermarks.predictions


def test_the_offsets_of_an_instant_are_those_of_the_first_checkpoint_beyond_it() -> None:
    (noon, evening), _ = world.stream(1)
    held = Held(1)
    held.apply(noon)
    held.apply(evening)
    for seq in (3, 4, 5):
        held.apply(replace(evening, seq=seq, positions=(seq * 1000, 0), sketches=[]))
    assert held.passed(world.START + world.DAY)[0].seq == evening.seq
    assert held.passed(world.START)[0].seq == noon.seq
    with pytest.raises(ValueError, match="only 0 of 1"):
        held.passed(world.START + world.DAY + 1)


def test_a_revision_is_the_sum_of_the_numbers_that_it_merges() -> None:
    held = Held(2)
    for message in world.in_turn(world.stream(2)):
        held.apply(message)
    # The second day's evening (4) relabelled the first day in both partitions, overall and in one segment.
    assert held.revision(world.START, "matured") == 2 * 2 * 4


def test_a_window_that_was_let_go_is_missing_until_it_is_restored() -> None:
    held = Held(1)
    (messages, _) = world.stream(5)
    for message in messages[:-2]:
        held.apply(message)
    held.forget(world.START + 4 * world.DAY, world.START + 2 * world.DAY)
    assert held.windows()[0] == world.START + 2 * world.DAY
    late = next(m for m in messages if m.seq == 10)
    held.apply(late)
    touched = world.START + world.DAY
    assert held.missing == {touched}
    rows = [(0, m.seq, row) for m in messages for row in m.sketches if row.window_start == touched]
    held.restore(touched, rows)
    assert not held.missing
    assert held.tally(touched, "predictions.late") == 1
    assert held.tally(touched, "predictions.counted") == world.ROWS


def test_a_partition_that_does_not_exist_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValueError, match="DRIFTLINE_SOURCE_PARTITIONS"):
        Held(1).apply(world.stream(1)[1][0])
