"""No ring is lost, and only the one that was on its way is made again, wherever it is cut."""

import random

from hypothesis import given
from hypothesis import strategies as st

from streams.notify.progress import Progress

CHANNELS = ("chat", "pager", "mail")


def test_the_slowest_channel_holds_the_commit_and_the_others_are_not_repeated() -> None:
    progress = Progress(CHANNELS, None, "", 0)
    for offset in range(5):
        for name in CHANNELS:
            progress.add(name, offset, f"incident-{offset}")
        progress.read(offset + 1)
        for name in CHANNELS[:2]:
            progress.done(name, offset, f"incident-{offset}")
    progress.done("mail", 0, "incident-0")
    offset, metadata = progress.commit()
    assert offset == 1
    again = Progress(CHANNELS, offset, metadata, 5)
    assert [o for o in range(5) if again.live(o)] == [1, 2, 3, 4]
    assert [o for o in range(1, 5) if again.wanted("mail", o)] == [1, 2, 3, 4]
    assert not any(again.wanted(name, o) for name in CHANNELS[:2] for o in range(5))
    assert again.commit()[0] == 1


def test_a_topic_with_history_rings_for_what_is_open_at_its_end_only() -> None:
    first = Progress(CHANNELS, None, "", 10)
    assert (first.collapse, first.live(9), first.live(10)) == (9, False, True)
    # Killed before the first ring was made: whoever comes next does the same, though more has been written.
    again = Progress(CHANNELS, *first.commit(), 15)
    assert (again.collapse, again.live(9), again.live(10)) == (9, False, True)
    again.add("pager", 9, "incident-1")
    again.add("pager", 9, "incident-2")
    again.collapsed = True
    again.read(10)
    again.done("pager", 9, "incident-1")
    assert again.commit()[0] == 9
    again.done("pager", 9, "incident-2")
    assert again.commit()[0] == 10
    assert Progress(CHANNELS, *again.commit(), 15).collapse is None


def test_a_topic_that_was_made_anew_is_not_waited_for() -> None:
    progress = Progress(CHANNELS, 100, '{"ahead":{},"since":0}', 3)
    assert (progress.start, progress.since, progress.live(3)) == (2, 3, True)


def test_the_metadata_fits_into_what_a_broker_takes() -> None:
    names = [f"channel-with-a-long-name-{n}" for n in range(500)]
    progress = Progress(names, None, "", 0)
    progress.add(names[0], 0, "incident-1")
    progress.read(1)
    offset, metadata = progress.commit()
    assert offset == 0
    assert 1_000 < len(metadata) <= 4_000


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_over_any_kills_every_ring_is_made_and_at_most_those_of_the_kills_twice(seed: int, records: int) -> None:
    rng = random.Random(seed)
    made: dict[tuple[str, int], int] = {}
    committed: tuple[int | None, str] = (None, "")
    kills = 0
    first = rng.randrange(records)
    end = first
    while True:
        progress = Progress(CHANNELS, *committed, end)
        committed = progress.commit()
        end = records
        waiting: dict[str, list[int]] = {name: [] for name in CHANNELS}
        killed = False
        for offset in range(records):
            if progress.live(offset):
                for name in CHANNELS:
                    if progress.wanted(name, offset):
                        progress.add(name, offset, "incident")
                        waiting[name].append(offset)
            progress.read(offset + 1)
        progress.collapsed = True
        while any(waiting.values()) and not killed:
            name = rng.choice([name for name, left in waiting.items() if left])
            offset = waiting[name].pop(0)
            made[name, offset] = made.get((name, offset), 0) + 1
            if kills < 5 and rng.random() < 0.3:
                kills, killed = kills + 1, True
                break
            progress.done(name, offset, "incident")
            committed = progress.commit()
        if not killed:
            break
    wanted = {(name, offset) for name in CHANNELS for offset in range(first, records)}
    assert set(made) == wanted
    assert sum(made.values()) - len(wanted) <= kills
