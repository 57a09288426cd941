"""docs/analysts.md: the dictionary is the database's own, and all of its queries answer on a database as it is met."""

import re
from datetime import datetime
from typing import Any

import analysts_world as world
import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from app import dictionary
from warehouse.client import Warehouse
from warehouse.migrate import migrate

DOCUMENT = dictionary.DOCUMENT.read_text(encoding="utf-8")
QUERIES: dict[str, str] = dict(
    re.findall(r"^### (\d+\. [^\n]*)\n.*?^```sql\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
)


@pytest.fixture
def warehouse(analysts: Client) -> Warehouse:
    return Warehouse(analysts, patience=30)


def answer(warehouse: Warehouse, name: str) -> list[dict[str, Any]]:
    result = warehouse.client.query(QUERIES[name])
    return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]


def number(place: int) -> str:
    return next(name for name in QUERIES if name.startswith(f"{place}. "))


def test_the_dictionary_is_the_database_s_own(clickhouse: Client) -> None:
    warehouse = Warehouse(clickhouse, patience=30)
    migrate(warehouse)
    relations = dictionary.read(warehouse)
    silent = [(r.name, c.name) for r in relations for c in r.columns if not c.meaning] + [
        (r.name, "") for r in relations if not r.meaning
    ]
    assert not silent, "say in the migration, as a COMMENT, what these mean"
    assert dictionary.renewed(DOCUMENT, dictionary.markdown(relations)) == DOCUMENT, "run python -m app.dictionary"


def test_there_are_twenty() -> None:
    assert [name.split(".")[0] for name in QUERIES] == [str(i + 1) for i in range(20)]


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_answers(warehouse: Warehouse, name: str) -> None:
    rows = answer(warehouse, name)
    assert rows
    assert len(rows) <= 200, "a person reads it"
    for column in rows[0]:
        assert any(row[column] is not None for row in rows), f"{column} is never there"


def test_views_have_one_row_per_window_and_metric(warehouse: Warehouse) -> None:
    keys = {
        "windows": "window_start",
        "performance": "window_start, version, slice_key, slice_value, metric",
        "estimated_performance": "window_start, version, metric",
        "drift": "window_start, version, feature, slice_key, slice_value, metric",
        "feature_quality": "window_start, feature, slice_key, slice_value, metric",
        "scores": "window_start, version, metric",
        "latency": "window_start, version, metric",
        "volume": "window_start, slice_key, slice_value, metric",
        "label_coverage": "window_start, version",
        "incident_conditions": "incident_id, condition",
        "pages_by_month": "month",
        "watched_quantities": "window_start, quantity",
        "versions": "version",
        "shadow_comparison": "window_start, challenger, champion",
    }
    for view, key in keys.items():
        twice = f"SELECT namespace, model, {key}, count() AS c FROM {view} GROUP BY ALL HAVING c > 1"  # noqa: S608
        assert warehouse.rows(twice) == [], view
        assert warehouse.rows(f"SELECT count() FROM {view}")[0][0] > 0, view  # noqa: S608


def test_every_view_has_rows(warehouse: Warehouse) -> None:
    views = [r.name for r in dictionary.read(warehouse) if r.is_view]
    empty = [view for view in views if warehouse.rows(f"SELECT count() FROM {view}") == [(0,)]]  # noqa: S608
    assert set(empty) <= {"silences", "delivery_log"}, "what nobody has done yet"


def test_windows_say_how_wide_they_are(warehouse: Warehouse) -> None:
    rows = warehouse.rows("SELECT DISTINCT granularity, dateDiff('second', window_start, window_end) FROM windows")
    assert rows == [("P1D", 86_400)]
    assert warehouse.rows("SELECT count() FROM window_metrics WHERE window_end IS NULL") == [(0,)]


def test_numbers_are_the_metrics_own(warehouse: Warehouse) -> None:
    stored = warehouse.rows(
        "SELECT window_start, version, metric, value, n, coverage FROM metric_values "
        "WHERE view = 'performance' AND segment = '' ORDER BY ALL"
    )
    shown = warehouse.rows(
        "SELECT window_start, version, metric, value, n, coverage FROM performance WHERE slice_key IS NULL ORDER BY ALL"
    )
    assert shown == stored
    tested = "SELECT countIf(n > 0), sum(n) FROM metric_values WHERE view = 'tested' AND segment = 'origin=JFK'"
    shown = warehouse.rows("SELECT countIf(tested_n > 0), sum(tested_n) FROM performance WHERE slice_value = 'JFK'")
    assert shown == warehouse.rows(tested)


def test_an_estimate_is_of_the_version_whose_scores_were_calibrated(warehouse: Warehouse) -> None:
    """Version 1, which leads when the reference comes into force; 2 answers every request too."""
    shown = warehouse.rows(
        "SELECT version, metric, count(), countIf(value IS NULL), min(n) FROM estimated_performance GROUP BY ALL "
        "ORDER BY metric"
    )
    metrics = ["accuracy", "auc", "f1", "precision", "recall"]
    assert shown == [("1", metric, world.DAYS, 0, world.PER_DAY) for metric in metrics]
    stored = "SELECT sum(value) FROM metric_values WHERE view = 'estimate'"
    assert warehouse.rows("SELECT sum(value) FROM estimated_performance") == warehouse.rows(stored)


def test_label_coverage_counts_what_the_outcomes_say(warehouse: Warehouse) -> None:
    rows = answer(warehouse, number(12))
    by_window = {(row["window_start"], row["version"]): row for row in rows}
    full = world.PER_DAY
    last = by_window[world.day(world.DAYS - 1), "1"]
    assert last["predictions"] == full
    assert last["labelled"] == full // 2, "half of the last day's labels have come"


def test_the_story_is_in_the_answers(warehouse: Warehouse) -> None:
    missing = answer(warehouse, number(7))
    assert {(row["feature"], row["window_start"]) for row in missing} == {
        ("temp", world.day(d)) for d in world.FAULTS.nulls
    }
    worst = answer(warehouse, number(14))[0]
    assert worst["window_start"] == world.day(world.FAULTS.slow[0])
    incidents = answer(warehouse, number(15))
    assert any("null_rate" in condition for row in incidents for condition in row["conditions"])
    served = answer(warehouse, number(19))
    assert [(row["version"], row["served_from"]) for row in served] == [
        ("1", world.day(0)),
        ("2", world.day(world.PROMOTED)),
        ("1", world.day(world.ROLLED_BACK)),
    ]
    bad = served[1]["log_loss"]
    assert bad > served[0]["log_loss"]
    versions = answer(warehouse, number(18))
    assert (versions[1]["shadow"], versions[1]["guard"]) == ("pass", "fail")
    wrong = answer(warehouse, number(20))[0]
    assert abs(wrong["score"] - wrong["label"]) > 0.9
    tallies = {(row["topic"], row["verdict"]): row["events"] for row in answer(warehouse, number(11))}
    assert tallies["predictions", "counted"] == world.DAYS * 2 * world.PER_DAY


def test_times_are_utc(warehouse: Warehouse) -> None:
    at = warehouse.rows("SELECT min(window_start) FROM windows")[0][0]
    assert isinstance(at, datetime)
    assert at == world.day(0)


def test_a_view_is_read_without_a_client_of_ours(analysts: Client, clickhouse_url: str) -> None:
    with clickhouse_connect.get_client(dsn=f"{clickhouse_url}/analysts") as client:
        assert client.query("SELECT count() FROM windows").result_rows == [(world.DAYS,)]
        assert client.database == analysts.database
