"""Seasonal slots: which, what they expect, and that a window's own week is out."""

from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from detectors.slots import Slots, slot_of, week_of, worthwhile
from detectors.watching import Windows
from schemas.windows import Windows as Grid

NEW_YORK = ZoneInfo("America/New_York")


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def test_slots_follow_the_local_clock_over_daylight_saving() -> None:
    assert slot_of(instant("2013-01-07T14:30:00+00:00"), NEW_YORK) == 9  # Monday, 9:30
    assert slot_of(instant("2013-07-01T13:30:00+00:00"), NEW_YORK) == 9
    assert slot_of(instant("2013-07-04T13:30:00+00:00"), NEW_YORK) == 3 * 24 + 9
    assert slot_of(instant("2013-07-04T13:30:00+00:00"), NEW_YORK, {date(2013, 7, 4)}) == 6 * 24 + 9


def test_weeks_begin_on_monday() -> None:
    sunday, monday = instant("2013-01-06T23:59:00+00:00"), instant("2013-01-07T00:00:00+00:00")
    assert week_of(monday) == week_of(sunday) + 1
    assert week_of(monday) == week_of(instant("2013-01-13T23:59:00+00:00"))


def weeks_of(n: int) -> tuple[list[int], list[int]]:
    """Slot and week of every hour of n weeks."""
    return list(range(168)) * n, [week for week in range(n) for _ in range(168)]


def test_after_eight_weeks_a_slot_speaks_for_itself() -> None:
    slots, weeks = weeks_of(8)
    counts = np.where((np.array(slots) == 5)[:, None], [[0, 10]], [[10, 0]])
    reference = Slots(counts, slots, weeks)
    assert reference.expected([5, 6]).tolist() == [[0, 1], [1, 0]]


def test_a_young_slot_shrinks_to_its_hour_and_a_young_hour_to_all() -> None:
    # One week: slot 5 (Monday 5:00) is seen once, its hour seven times, of which one differs.
    slots, weeks = weeks_of(1)
    counts = np.where((np.array(slots) == 5)[:, None], [[0, 10]], [[10, 0]])
    hour = 7 / 8 * (1 / 7) + 1 / 8 * (1 / 168)
    assert Slots(counts, slots, weeks).expected([5])[0, 1] == pytest.approx(1 / 8 * 1 + 7 / 8 * hour)


def test_a_window_is_not_expected_by_its_own_week() -> None:
    slots, weeks = weeks_of(9)
    counts = np.where((np.array(weeks) == 3)[:, None], [[0, 10]], [[10, 0]])
    reference = Slots(counts, slots, weeks)
    assert reference.expected([7, 7], without=[3, 4])[0].tolist() == [1, 0]
    assert reference.expected([7, 7], without=[3, 4])[1, 1] == pytest.approx(1 / 8)
    assert reference.expected([7], without=[99]).tolist() == reference.expected([7]).tolist()


def test_slots_are_the_reference_where_they_explain_half() -> None:
    assert worthwhile(10.0, 2.0)
    assert not worthwhile(10.0, 6.0)
    assert not worthwhile(1.5, 1.0)  # nothing to explain


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="168"):
        Slots([[1, 2]], [168], [0])
    with pytest.raises(ValueError, match="one slot"):
        Slots([[1, 2]], [1, 2], [0, 0])


def test_days_that_begin_an_hour_later_in_summer_keep_their_weekday() -> None:
    """Windows of a day from midnight UTC: at 1:00 in Berlin in winter, at 2:00 in summer."""
    berlin, day = ZoneInfo("Europe/Berlin"), 86_400_000
    winter = [instant("2026-01-05T00:00:00+00:00") + n * day for n in range(70)]
    slots = [slot_of(start, berlin) for start in winter]
    working = np.array(slots) // 24 < 5
    reference = Slots(np.where(working[:, None], [[8, 2]], [[2, 8]]), slots, [week_of(start) for start in winter])
    summer = [slot_of(instant("2026-06-01T00:00:00+00:00") + n * day, berlin) for n in range(7)]
    assert {slot % 24 for slot in slots} == {1}
    assert {slot % 24 for slot in summer} == {2}
    assert reference.expected(summer)[:, 0].tolist() == pytest.approx([0.8] * 5 + [0.2] * 2)


@pytest.mark.parametrize(("offset", "hours"), [(0, 24), (22, 24), (23, 24), (0, 12), (0, 2)])
def test_windows_of_more_than_an_hour_keep_their_slots_when_the_clocks_change(offset: int, hours: int) -> None:
    """Ten weeks in winter, two in summer: each slot has been seen in all of them."""
    grid = Grid(hours * 3_600_000, offset * 3_600_000)
    first = instant("2026-01-19T00:00:00+00:00") + grid.offset
    starts = np.arange(first, instant("2026-04-13T00:00:00+00:00"), grid.width)
    found = Windows.of(starts, grid, "Europe/Berlin")
    slots, seen = np.unique(found.calendar.slots, return_counts=True)
    assert len(slots) == 7 * 24 // hours
    assert set(seen.tolist()) <= {11, 12}


def test_windows_of_an_hour_go_by_the_clock_on_the_wall() -> None:
    starts = np.array([instant("2026-03-28T08:00:00+00:00"), instant("2026-03-29T07:00:00+00:00")])
    assert (Windows.of(starts, Grid(3_600_000), "Europe/Berlin").calendar.slots % 24).tolist() == [9, 9]


def test_the_nearest_slot_may_be_of_the_day_beside() -> None:
    """Windows of a day from midnight in the Berlin of summer: in winter they begin at 23:00 of the day before."""
    slots, weeks = [24 * weekday for weekday in range(7)] * 8, [week for week in range(8) for _ in range(7)]
    reference = Slots(np.eye(7)[np.array(slots) // 24], slots, weeks)
    assert reference.expected([6 * 24 + 23, 23]).argmax(axis=1).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("zone", "offset"),
    [("Europe/Berlin", 22), ("Europe/Berlin", 23), ("America/New_York", 4), ("Australia/Sydney", 13)],
)
@pytest.mark.parametrize("holiday", [date(2026, 5, 26), date(2026, 12, 24)])
def test_a_day_from_local_midnight_of_either_half_of_the_year_is_of_its_own_date(
    zone: str, offset: int, holiday: date
) -> None:
    """A Tuesday and a Thursday: Sunday's slot in the window that holds that noon, their own weekday's around it."""
    noon = datetime(holiday.year, holiday.month, holiday.day, 12, tzinfo=ZoneInfo(zone))
    start = Grid(24 * 3_600_000, offset * 3_600_000).start(int(noon.timestamp() * 1000))
    around = [start + day * 86_400_000 for day in (-1, 0, 1)]
    found = [slot_of(begins, ZoneInfo(zone), {holiday}, fixed=True) for begins in around]
    weekday = holiday.weekday()
    assert [slot // 24 for slot in found] == [weekday - 1, 6, weekday + 1]
    assert len({slot % 24 for slot in found}) == 1
