"""What is usual: a quiet night and a quiet week-end are, one outage is not."""

import numpy as np
from numpy.typing import NDArray

from streams.notify.usual import MINUTE, Arrivals, usual_gaps

HOUR, DAY, WEEK = 60, 24 * 60, 7 * 24 * 60
START = 2_900 * WEEK
"""A Thursday, 00:00 UTC, in minutes since the epoch."""


def minutes(days: int, *, quiet: set[int] = frozenset(), every: int = 1) -> NDArray[np.int64]:  # type: ignore[assignment]
    """Every minute (or every few) of so many days, but for quiet minutes."""
    return np.array([START + m for m in range(0, days * DAY, every) if m not in quiet])


def at(day: int, hour: int) -> int:
    """Minutes are whole hours here, so that a table of 168 is easy to read."""
    return (day * 24 + hour) % 168


def test_steady_traffic_has_short_gaps_at_every_hour() -> None:
    assert set(usual_gaps(minutes(28, every=3))) == {3.0}


def test_a_quiet_night_is_usual_in_all_of_its_hours_and_in_no_other() -> None:
    quiet = {day * DAY + m for day in range(28) for m in range(1 * HOUR, 5 * HOUR)}
    table = usual_gaps(minutes(28, quiet=quiet))
    for day in range(7):
        assert [int(table[at(day, hour)]) for hour in range(8)] == [241, 241, 241, 241, 241, 241, 1, 1]


def test_a_quiet_weekend_is_usual_and_does_not_dull_the_week() -> None:
    # Days 2 and 3 after a Thursday.
    quiet = {m for m in range(28 * DAY) if (START + m) // DAY % 7 in {2, 3}}
    table = usual_gaps(minutes(28, quiet=quiet))
    assert table[at(2, 12)] == table[at(1, 23)] == 2 * DAY + 1
    assert table[at(1, 12)] == table[at(4, 1)] == 1


def test_one_outage_in_four_weeks_is_not_usual() -> None:
    outage = set(range(10 * DAY + 9 * HOUR, 10 * DAY + 15 * HOUR))
    assert set(usual_gaps(minutes(28, quiet=outage))) == {1.0}


def test_with_less_than_two_weeks_all_days_count_alike() -> None:
    quiet = {day * DAY + m for day in range(5) for m in range(1 * HOUR, 5 * HOUR)}
    table = usual_gaps(minutes(5, quiet=quiet))
    assert [int(x) for x in table[:24]] == [int(x) for x in table[144:]]
    assert (table[3], table[12]) == (241, 1)


def test_without_history_nothing_is_usual() -> None:
    assert Arrivals().usual(START * MINUTE) is None
    one = Arrivals()
    one.add(START * MINUTE)
    assert one.usual(START * MINUTE) is None
    assert one.last == (START + 1) * MINUTE - 1


def test_what_a_table_remembers_and_what_was_heard_since_are_one() -> None:
    arrivals = Arrivals()
    arrivals.extend([START, START + 1, START + 2])
    assert arrivals.usual(START * MINUTE) == MINUTE
    arrivals.add((START + 12) * MINUTE + 59_999)
    assert arrivals.last == (START + 13) * MINUTE - 1
    assert arrivals.usual((START + 40) * MINUTE) == 10 * MINUTE


def test_memory_is_bounded() -> None:
    arrivals = Arrivals()
    arrivals.extend(range(START, START + 100_000))
    arrivals.usual(START * MINUTE)
    assert len(arrivals) == 28 * DAY
