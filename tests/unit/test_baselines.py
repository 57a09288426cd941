"""The counterfactual knows on the first of a month what one could know then, and nothing more."""

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from app.demo.baselines import BaselineError, always_promote, compared, insert
from app.demo.flights import DAY, FEATURES, Flights, step_on, step_start

UNTIL = date(2013, 3, 10)
MARCH = step_start(step_on(date(2013, 3, 1)))
HOUR = DAY // 24


def flights(flip_from: int | None = None, flip_until: int = 0) -> Flights:
    """2,000 flights, late when the wind blows; labels of arrivals in [``flip_from``, ``flip_until``) turned round."""
    random = np.random.default_rng(1)
    departure = np.sort(random.integers(step_start(step_on(date(2013, 1, 1))), step_start(step_on(UNTIL) + 1), 2_000))
    wind = random.normal(size=len(departure))
    late = wind + random.normal(size=len(departure)) > 0
    arrival = departure + 3 * HOUR
    if flip_from is not None:
        late ^= (arrival >= flip_from) & (arrival < flip_until)
    instant = pa.timestamp("ms", tz="UTC")
    columns: dict[str, Any] = {
        "prediction_id": [f"f{i:04d}" for i in range(len(departure))],
        "departure": pa.array(departure).cast(instant),
        "arrival": pa.array(arrival).cast(instant),
        "late": late,
    }
    values = {"number": wind, "string": ["UA"] * len(wind), "boolean": [False] * len(wind)}
    return Flights(pa.table(columns | {name: values[kind] for name, kind in FEATURES.items()}))


def scores(data: Flights) -> tuple[list[float], list[float]]:
    """Scores of the flights of February, and of March."""
    found = always_promote(data, UNTIL)["always_promote"].to_pylist()
    split = sum(at.timestamp() * 1000 < MARCH for at in compared(data, UNTIL)["departure"].to_pylist())
    return found[:split], found[split:]


def test_a_label_counts_from_the_month_after_its_arrival() -> None:
    february, march = scores(flights())
    first = step_start(step_on(date(2013, 2, 1)))
    again, changed = scores(flights(flip_from=first, flip_until=MARCH))
    assert again == february
    assert changed != march


def test_a_flight_in_the_air_on_the_first_is_not_known() -> None:
    _, march = scores(flights())
    assert scores(flights(flip_from=MARCH, flip_until=MARCH + 3 * HOUR))[1] == march


def test_all_flights_after_january_are_scored_once() -> None:
    data = flights()
    found = always_promote(data, UNTIL)
    assert found["prediction_id"].to_pylist() == compared(data, UNTIL)["prediction_id"].to_pylist()
    values = found["always_promote"].to_numpy()
    assert ((values >= 0) & (values <= 1)).all()


def test_scores_of_other_flights_are_refused() -> None:
    rows = compared(flights(), UNTIL)
    nobody: Any = None
    with pytest.raises(BaselineError, match="others"):
        insert(nobody, rows, np.zeros(len(rows)), pa.table({"prediction_id": ["x"], "always_promote": [0.5]}))
