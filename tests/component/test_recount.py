"""``driftline reconcile`` agrees with what stage 1 counted, and finds the row and the bin that somebody changed."""

import json

import pytest
from aggregate_world import DAY, START, events
from clickhouse_connect.driver.client import Client
from counted_world import RECORDS, count, logs

from app import cli, reconcile, wiring
from app.recount import Recount, Row
from schemas.settings import Settings
from schemas.tables import PARTIALS
from warehouse.client import Warehouse
from warehouse.migrate import migrate

SETTINGS = Settings()


@pytest.fixture
def warehouse(clickhouse: Client) -> Warehouse:
    made = Warehouse(clickhouse, patience=30)
    migrate(made)
    count(made, SETTINGS, logs(events(1_200, seed=3), partitions=2, log_ts=START + 30 * DAY), batch=150)
    return made


def recounted(warehouse: Warehouse) -> reconcile.Reconciliation:
    return reconcile.reconcile(SETTINGS, warehouse, source="rows", records=RECORDS)


def test_two_counts_of_the_same_rows_agree(warehouse: Warehouse) -> None:
    found = recounted(warehouse)
    assert found.differences == []
    assert found.ok
    totals = found.totals["default/delay"]
    assert totals["in"] == sum(totals[verdict] for verdict in ("counted", "late", "duplicate", "correction"))
    # Where an event was before it came into the right partition, only the log knows.
    assert totals.pop("misrouted") == 0
    assert min(totals.values()) > 0
    assert sum(found.dead.values()) > 0
    views = warehouse.rows("SELECT DISTINCT view FROM partials FINAL WHERE generation = 2")
    assert {"score", "feature"} <= {view for (view,) in views}


def test_the_whole_log_is_recounted_alike(warehouse: Warehouse) -> None:
    """Decoding, lateness by watermarks and duplicates, from the records themselves."""
    count_again = Recount(RECORDS)
    for place, records in sorted(logs(events(1_200, seed=3), partitions=2, log_ts=START + 30 * DAY).items()):
        for record in records:
            count_again.record(place, Row(record.offset), record.log_ts, value=record.value)
    tallies = warehouse.rows(
        "SELECT namespace, model, generation, toUnixTimestamp64Milli(window_start), `partition`, view, version, name, "
        "n FROM partials FINAL WHERE view = 'tally' AND name != 'outcomes.late_label'"
    )
    assert {row[:8]: row[8] for row in tallies} == {
        tuple(place): figures.n for place, figures in count_again.expected.items() if place.view == "tally"
    }


def test_a_deleted_row_is_found_at_its_window(warehouse: Warehouse) -> None:
    ((partition, offset, window),) = warehouse.rows(
        "SELECT `partition`, `offset`, formatDateTime(toStartOfDay(event_time), '%Y-%m-%dT%H:%i:%SZ') FROM predictions "
        "WHERE verdict = 'counted' AND role = 'champion' ORDER BY prediction_id LIMIT 1"
    )
    warehouse.command(
        f"DELETE FROM raw_predictions WHERE `partition` = {partition} AND `offset` = {offset}"  # noqa: S608
    )
    found = recounted(warehouse)
    assert not found.ok
    assert {(d.window, d.partition) for d in found.differences} == {(window, partition)}
    tally = next(d for d in found.differences if d.name == "predictions.counted")
    assert tally.got == tally.expected + 1


def test_an_altered_bin_is_found_to_the_bin(warehouse: Warehouse) -> None:
    columns = ", ".join(f"`{name}`" for name in PARTIALS.columns if name not in ("counts", "seq"))
    ((start, name, partition),) = warehouse.rows(
        "SELECT formatDateTime(window_start, '%Y-%m-%dT%H:%i:%SZ'), name, `partition` FROM partials FINAL "
        "WHERE view = 'feature' AND segment = '' AND name = 'x' AND generation = 2 ORDER BY window_start LIMIT 1"
    )
    warehouse.command(
        f"INSERT INTO partials ({columns}, counts, seq) "  # noqa: S608
        f"SELECT {columns}, arrayMap((c, i) -> c + (i = 2), counts, arrayEnumerate(counts)), seq + 1 "
        f"FROM partials FINAL WHERE view = 'feature' AND segment = '' AND name = '{name}' "
        f"AND `partition` = {partition} AND window_start = parseDateTimeBestEffort('{start}')"
    )
    (difference,) = recounted(warehouse).differences
    assert (difference.window, difference.name, difference.partition) == (start, name, partition)
    assert (difference.view, difference.figure) == ("feature", "counts[1]")
    assert difference.got == difference.expected + 1


def test_a_lost_dead_letter_is_found(warehouse: Warehouse) -> None:
    warehouse.command("DELETE FROM dead_letters WHERE topic = 'predictions' AND `partition` = 0")
    found = [d for d in recounted(warehouse).differences if d.name == "predictions.dead"]
    assert [(d.window, d.partition, d.expected) for d in found] == [("none", 0, 0)]


def test_rows_that_may_have_expired_are_no_differences(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "read_models", lambda _settings: list(RECORDS))
    warehouse.command("INSERT INTO migrations SELECT 'the first', now() - INTERVAL 91 DAY")
    assert reconcile.command(SETTINGS, warehouse, source="rows") == 2
    assert "91 days old, and raw rows are kept for 90 (raw.ttl)" in " ".join(capsys.readouterr().err.split())


def test_the_command_ends_with_1_and_names_the_place(
    warehouse: Warehouse, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "read_models", lambda _settings: list(RECORDS))
    assert reconcile.command(SETTINGS, warehouse, source="rows") == 0
    assert "everything agrees" in capsys.readouterr().out
    warehouse.command("DELETE FROM dead_letters WHERE topic = 'outcomes'")
    assert reconcile.command(SETTINGS, warehouse, source="rows", as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert {difference["name"] for difference in told["differences"]} == {"outcomes.dead"}


def test_an_empty_database_says_what_to_do(clickhouse: Client, capsys: pytest.CaptureFixture[str]) -> None:
    empty = Warehouse(clickhouse, patience=30)
    migrate(empty)
    assert reconcile.command(SETTINGS, empty, source="rows") == 2
    assert "nothing was counted yet" in capsys.readouterr().err


@pytest.mark.parametrize("stack", [(), ("--stack", "/nowhere")])
def test_a_server_that_is_away_is_no_difference(
    stack: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_CLICKHOUSE_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(cli, "PATIENCE", 0.0)
    # It would bind this process's log to the captured stderr of this test.
    monkeypatch.setattr(wiring, "configure_logging", lambda **_: None)
    monkeypatch.setattr("sys.argv", ["driftline", *stack, "reconcile", "--source", "rows"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert ("no stack in /nowhere" if stack else "127.0.0.1:1") in capsys.readouterr().err
