"""``driftline.frames``: what is in the database, as pandas and as polars, with times in UTC and numbers as numbers."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args

import analysts_world as world
import pandas as pd
import polars as pl
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from driftline.frames import Engine, Frames

MODEL = f"{world.NAMESPACE}/{world.MODEL}"


@pytest.fixture(params=get_args(Engine))
def frames(analysts: Client, clickhouse_url: str, request: pytest.FixtureRequest) -> Iterator[Frames]:
    with Frames(clickhouse_url, database=analysts.database or "", engine=request.param) as made:
        yield made


@pytest.fixture
def pandas(analysts: Client, clickhouse_url: str) -> Iterator[Frames]:
    with Frames(clickhouse_url, database=analysts.database or "") as made:
        yield made


def rows(frame: Any) -> list[dict[str, Any]]:
    """The rows of either kind of frame; missing values as None."""
    if isinstance(frame, pl.DataFrame):
        return frame.to_dicts()
    assert isinstance(frame, pd.DataFrame)
    return [
        {str(k): None if not isinstance(v, dict) and pd.isna(v) else v for k, v in row.items()}
        for row in frame.to_dict("records")
    ]


def test_performance_is_the_view_s(frames: Frames, analysts: Client) -> None:
    found = rows(frames.performance(MODEL, "auc", version="1"))
    stored = analysts.query(
        "SELECT window_start, value, n FROM performance WHERE metric = 'auc' AND version = '1' AND slice_key IS NULL "
        "ORDER BY window_start"
    ).result_rows
    assert [(row["window_start"], row["value"], row["n"]) for row in found] == stored
    assert len(found) == world.DAYS
    assert all(row["window_start"].utcoffset() == timedelta(0) for row in found)
    sliced = rows(frames.performance(MODEL, "auc", version="1", slices=True))
    assert {row["slice_value"] for row in sliced} == {None, "JFK"}


def test_a_time_limits_the_windows(frames: Frames) -> None:
    limits: list[tuple[Any, Any]] = [
        (world.day(3), world.day(5)),
        (world.day(3).replace(tzinfo=None), world.day(5).isoformat()),
        (world.day(3).date(), world.day(5).date()),
    ]
    for since, until in limits:
        found = rows(frames.metrics(MODEL, "p99", kind="latency", since=since, until=until))
        assert {row["window_start"] for row in found} == {world.day(3), world.day(4)}, (since, until)


def test_drift_coverage_and_volume(frames: Frames) -> None:
    assert {row["feature"] for row in rows(frames.drift(MODEL))} == {"", "temp", "origin"}
    temp = rows(frames.drift(MODEL, "psi", feature="temp"))
    assert len(temp) == world.DAYS
    assert [row["n"] for row in temp] == [world.PER_DAY] * world.DAYS
    coverage = rows(frames.label_coverage(MODEL, since=world.day(world.DAYS - 1)))
    assert {row["coverage"] for row in coverage} == {0.5}
    (model,) = rows(frames.models())
    assert (model["model"], model["windows"], model["predictions"]) == (
        world.MODEL,
        world.DAYS,
        world.DAYS * world.PER_DAY,
    )


def test_incidents_and_versions(frames: Frames) -> None:
    (incident,) = rows(frames.incidents(MODEL))
    assert incident["state"] == "resolved"
    assert rows(frames.incidents()) == [incident]
    assert rows(frames.incidents("elsewhere")) == []
    first, second = rows(frames.versions(MODEL))
    assert (first["version"], second["shadow"]) == ("1", "pass")
    assert second["holdout_metrics"]["auc"] == 0.71


def test_served_rows_have_labels_and_features(frames: Frames) -> None:
    day = world.FAULTS.nulls[0]
    found = rows(frames.served(MODEL, since=world.day(day), until=world.day(day + 1), features=True))
    assert len(found) == world.PER_DAY, "one version served each"
    assert {row["label"] for row in found} == {0, 1, None}
    assert {row["feature.origin"] for row in found} == {"EWR", "JFK"}
    assert {type(row["feature.temp"]) for row in found} == {float, type(None)}
    assert len(rows(frames.served(MODEL, limit=7))) == 7
    assert "features" in rows(frames.served(MODEL, limit=1))[0]


def test_types_survive(frames: Frames) -> None:
    (row,) = rows(
        frames.sql(
            "SELECT CAST('it\\'s', 'Enum8(\\'a\\' = -1, \\'it\\\\\\'s\\' = 2)') AS name, toInt8(-3) AS small, "
            "toDateTime('2013-01-02 03:04:05', 'UTC') AS second, "
            "toDateTime64('2013-01-02 03:04:05.678', 3, 'UTC') AS ms, "
            "toUInt64(18446744073709551615) AS large, CAST(NULL, 'Nullable(UInt8)') AS nothing, "
            "CAST(NULL, 'Nullable(Float64)') AS nan, true AS yes, toDate('2013-01-02') AS day ;"
        )
    )
    assert row["small"] == -3
    assert row["second"] == datetime(2013, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert row["ms"] == datetime(2013, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
    assert row["large"] == 2**64 - 1
    assert (row["nothing"], row["nan"], row["yes"]) == (None, None, True)


def test_enums_are_names(frames: Frames) -> None:
    found = rows(frames.sql("SELECT DISTINCT verdict FROM outcomes ORDER BY verdict"))
    assert [row["verdict"] for row in found] == ["counted", "correction"]


def test_values_are_bound_and_never_part_of_the_statement(frames: Frames) -> None:
    evil = "x' OR 1 = 1 --"
    assert rows(frames.sql("SELECT {x:String} AS x, {many:Array(String)} AS many", x=evil, many=[evil]))[0]["x"] == evil
    for call in (frames.performance, frames.drift, frames.incidents, frames.versions, frames.served):
        assert rows(call(f"{world.NAMESPACE}/{evil}")) == []
    assert rows(frames.metrics(MODEL, evil)) == []


def test_pandas_types_are_pandas_own(pandas: Frames) -> None:
    found = pandas.served(MODEL, features=True)
    assert str(found["event_time"].dtype) == "datetime64[ms, UTC]"
    assert str(found["label"].dtype) == "UInt8", "with missing values and yet no float"
    assert found["score"].dtype == "float64"
    weekly = found.set_index("event_time")["score"].resample("7D").mean()
    assert len(weekly) == world.DAYS // 7


def test_statements_that_select_nothing(frames: Frames) -> None:
    assert "windows" in {row["name"] for row in rows(frames.sql("SHOW TABLES"))}
    assert rows(frames.sql("SELECT 1 AS a WHERE 0")) == []
    assert rows(frames.served(MODEL, until=date(1970, 1, 1), features=True)) == []


def test_mistakes_are_told(frames: Frames, clickhouse_url: str) -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        frames.sql("SELECT * FROM nowhere")
    with pytest.raises(ValueError, match="valid: pandas, polars"):
        Frames(clickhouse_url, engine="spark")  # type: ignore[arg-type]
