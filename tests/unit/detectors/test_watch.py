"""A watch out of a reference's JSON judges a window as the stream that it was calibrated as."""

from math import inf

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import calibration, watch
from detectors.sketch import Floats
from detectors.stream import Measure
from schemas.models import Scale, Slots, Watch

MONDAY = 4 * 86_400_000
"""1970-01-05, 0:00 UTC."""
HOUR = 3_600_000

CHANGE = Watch("loss", "change", usual=0.5, scales=[Scale("change", 0.025, [0.0, 0.01], 0.1, [0.1, 0.05])])
NUMBER = Watch(
    "feature.x",
    "number",
    positions=[0.0, 1.0, 2.0],
    sd=1.0,
    shares=[0.2, 0.5, 0.3],
    scales=[Scale("ks", 0.02, [0.01, 0.02], 0.1, [0.1, 0.05]), Scale("wasserstein", 0.05, [0.0, 0.1], 0.2, [0.2, 0.1])],
)
KINDS = Watch("feature.c", "categories", shares=[0.5, 0.5], scales=NUMBER.scales)
NUMBERS = [
    NUMBER,
    msgspec.structs.replace(NUMBER, positions=[0.0, 0.3, 7.0], sd=2.5, shares=[0.1, 0.3, 0.6]),
    msgspec.structs.replace(NUMBER, sd=0.0, scales=NUMBER.scales[:1]),
]


def factors(of: Watch, observed: float | list[int], window_start: int) -> Floats:
    (found,) = watch.factors([watch.Seen(of, observed, window_start)])
    return found


def test_a_change_is_measured_from_what_is_usual() -> None:
    assert watch.components(CHANGE) == calibration.COMPONENTS
    assert watch.distances(CHANGE, 0.56, 0).tolist() == [pytest.approx(0.06)]
    scale = calibration.Scale(0.025, (0.0, 0.01), 0.1, (0.1, 0.05))
    assert factors(CHANGE, 0.56, 0).tolist() == scale.factors(0.56 - 0.5).tolist()
    assert factors(CHANGE, 0.4, 0).max() < 1  # better than usual is no evidence


def test_counts_are_measured_in_the_bins_of_the_reference() -> None:
    found = watch.distances(NUMBER, [20, 20, 60], MONDAY)
    assert found.tolist() == Measure((0.0, 1.0, 2.0), 1.0).distances(np.array([0.2, 0.5, 0.3]), [20, 20, 60]).tolist()
    assert found.tolist() == [pytest.approx(0.3), pytest.approx(0.3)]
    assert factors(NUMBER, [20, 20, 60], MONDAY).shape == (2 * calibration.COMPONENTS,)
    assert watch.distances(KINDS, [3, 1], 0).tolist() == [0.25, 0.25]


def test_a_season_is_looked_up_in_its_own_zone_and_on_holidays() -> None:
    by_slot = [[1.0, 0.0]] * 168
    by_slot[1] = [0.0, 1.0]  # Monday, 1:00
    slots = Slots("Europe/Berlin", ["1970-01-12"], by_slot)
    seasonal = Watch("feature.c", "categories", shares=[0.5, 0.5], slots=slots, scales=NUMBER.scales)
    assert watch.distances(seasonal, [0, 9], MONDAY).max() == 0  # 1:00 in Berlin
    assert watch.distances(seasonal, [0, 9], MONDAY + HOUR).min() == 1
    assert watch.distances(seasonal, [0, 9], MONDAY + 7 * 24 * HOUR).min() == 1  # like a Sunday


def test_wide_windows_are_looked_up_in_summer_time() -> None:
    by_slot = [[1.0, 0.0]] * 168
    by_slot[2] = [0.0, 1.0]  # Monday, 2:00
    january = 1_767_571_200_000  # Monday 2026-01-05, 0:00 UTC: 1:00 in Berlin, 2:00 in its summer time
    of_days, of_hours = (
        Watch("feature.c", "categories", slots=Slots("Europe/Berlin", [], by_slot, wide), scales=NUMBER.scales)
        for wide in (True, False)
    )
    assert watch.distances(of_days, [0, 9], january).max() == 0
    assert watch.distances(of_hours, [0, 9], january).min() == 1


def test_what_it_says_survives_json() -> None:
    back = msgspec.json.decode(msgspec.json.encode(NUMBER), type=Watch)
    assert factors(back, [1, 2, 3], 0).tolist() == factors(NUMBER, [1, 2, 3], 0).tolist()


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just(CHANGE), st.floats(-10, 10)),
            st.tuples(st.sampled_from(NUMBERS), st.lists(st.integers(0, 1_000), min_size=3, max_size=3).filter(any)),
            st.tuples(st.just(KINDS), st.lists(st.integers(0, 1_000), min_size=2, max_size=2).filter(any)),
        ),
        max_size=20,
    )
)
def test_what_is_said_of_a_stream_does_not_depend_on_the_others(seen: list[tuple[Watch, float | list[int]]]) -> None:
    """To the last bit: a restart may know of other streams, and has to decide the same."""
    together = watch.factors([watch.Seen(of, observed, MONDAY) for of, observed in seen])
    assert [one.tolist() for one in together] == [factors(of, observed, MONDAY).tolist() for of, observed in seen]


@pytest.mark.parametrize("counts", [[1, 2], [0, 0, 0], [1, 2, 3, 4]])
def test_other_bins_are_an_error(counts: list[int]) -> None:
    with pytest.raises(ValueError, match=r"feature\.x: rows in 3 bins are needed"):
        factors(NUMBER, counts, 0)


def test_what_cannot_be_calibrated_has_no_factors_and_never_pages() -> None:
    short = Watch("loss", "change", insufficient="the reference has 2 days, 3 are needed")
    with pytest.raises(ValueError, match="2 days"):
        factors(short, 0.5, 0)
    assert watch.components(short) == 0
    assert watch.examined(short, 10) == ("not enough data", "the reference has 2 days, 3 are needed", inf)


def test_a_page_may_claim_what_the_reference_showed() -> None:
    def of(**parts: float) -> watch.Promise:
        return watch.examined(msgspec.structs.replace(CHANGE, **parts), 100)

    assert (of(reached=50.0).claim, of(reached=50.0).threshold) == ("within budget on held-out reference", 100)
    assert (of(reached=200.0).claim, of(reached=200.0).threshold) == ("estimated, dependence high", 2000)
    alike = of(reached=50.0, autocorrelation=0.6)
    assert (alike.claim, alike.threshold) == ("estimated, dependence high", 500)
    assert of(reached=1e9, habit=50.0).threshold == 500, "one odd stretch raises nothing"
    assert "0.60" in alike.reason
    never = of(variable=True, rows=300.0, effective_rows=12.0)
    assert (never.claim, never.threshold) == ("not enough data", inf)
    assert never.reason == ("structurally variable: a window of 300 rows is worth 12 independent ones, 100 are needed")
