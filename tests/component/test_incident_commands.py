"""``driftline incidents`` on what the monitor raised: list, show, acknowledge, silence; and the queries it offers."""

import json
import re
import shlex
from datetime import UTC, datetime, timedelta

import monitor_world as world
import pytest
from clickhouse_connect.driver.client import Client
from typer.testing import CliRunner, Result

from app import incidents
from app.cli import app
from schemas.lifecycle import Incident
from schemas.partials import PartialMessage
from schemas.spec import AlertSpec, RetrainingSpec
from schemas.tables import RAW_PREDICTIONS
from schemas.windows import from_ms, to_ms
from streams.monitor.core import ModelMonitor
from streams.monitor.generations import Generations
from streams.monitor.held import Held
from streams.monitor.records import Records
from warehouse.client import Warehouse
from warehouse.migrate import migrate

FAULTS = world.Faults(nulls=[2], slow=[8], bad=[7, 8])
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def warehouse(clickhouse: Client, clickhouse_url: str, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """Ten days of a model: one incident of a feature is over, one of latency and worse predictions is open."""
    found = Warehouse(clickhouse, patience=30)
    migrate(found)
    monkeypatch.setenv("DRIFTLINE_CLICKHOUSE_URL", clickhouse_url)
    monkeypatch.setenv("DRIFTLINE_DATABASE", str(clickhouse.database))
    monkeypatch.setenv("COLUMNS", "200")
    decide(found, Generations.of([world.record()]), world.stream(11, faults=FAULTS))
    return found


def decide(warehouse: Warehouse, generations: Generations, partitions: list[list[PartialMessage]]) -> Incident:
    """Write what a monitor decides; the newest incident."""
    monitor, records, newest = ModelMonitor(world.NAMESPACE, world.MODEL, Held(2)), Records(warehouse, 2), None
    for message in world.in_turn(partitions):
        monitor.apply(message)
        while (start := monitor.due(generations)) is not None:
            tick = monitor.tick(start, generations)
            records.write([tick])
            newest = tick.report.incident or newest
    assert newest is not None
    return newest


def driftline(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["incidents", *arguments])


def listed(*arguments: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(driftline("list", "--json", *arguments).stdout)
    return found


def opened(state: str = "updated") -> str:
    return next(str(entry["id"]) for entry in listed("--all") if entry["state"] == state)


def test_open_incidents_come_first_and_resolved_ones_when_asked_for(warehouse: Warehouse) -> None:
    (entry,) = listed()
    assert (entry["state"], entry["severity"], entry["team"], entry["model"]) == (
        "updated",
        "critical",
        "default",
        "flights",
    )
    assert [e["state"] for e in listed("--all")] == ["updated", "resolved"]
    assert [e["state"] for e in listed("--all", "--limit", "1", "--model", "default/flights")] == ["updated"]
    shown = driftline("list").stdout
    assert shown.splitlines()[0].startswith(f"{str(entry['id'])[9:17]}  critical  default/flights, since ")
    assert "predicts worse than usual" in shown
    assert max(len(row) for row in shown.splitlines()) <= 100


def test_nothing_open_is_said(clickhouse: Client, warehouse: Warehouse) -> None:
    clickhouse.command("TRUNCATE TABLE incidents")
    assert driftline("list").stdout == "no open incidents\n"
    assert listed("--all") == []


def test_show_tells_everything_and_what_people_did(warehouse: Warehouse) -> None:
    name = opened()
    assert driftline("ack", name[9:14], "--by", "ada", "--note", "looking\x1b[31m").exit_code == 0
    shown = driftline("show", name[:14])
    assert shown.exit_code == 0
    assert f"{name}: acknowledged" in shown.stdout
    assert "What moved" in shown.stdout
    assert "ada acknowledged: looking?[31m" in shown.stdout
    for_a_machine = json.loads(driftline("show", name, "--json").stdout)
    assert for_a_machine["acknowledged_by"] == "ada"
    assert for_a_machine["body"]["id"] == name
    assert [action["action"] for action in for_a_machine["actions"]] == ["ack"]


def test_a_resolved_incident_cannot_be_acknowledged(warehouse: Warehouse) -> None:
    answer = driftline("ack", opened("resolved"))
    assert answer.exit_code == 1
    assert "was resolved at" in answer.stderr


def test_an_incident_is_silenced_and_the_newest_word_counts(warehouse: Warehouse) -> None:
    name = opened()
    assert driftline("silence", name, "--for", "2h", "--note", "deploying").exit_code == 0
    ((model, incident, until),) = warehouse.rows(
        "SELECT model, incident_id, toUnixTimestamp64Milli(until) FROM silences"
    )
    assert (model, incident) == ("flights", name)
    (done,) = incidents.actions(warehouse, incidents.find(warehouse, name))
    assert (done.until, done.until - done.at, done.note) == (until, 2 * 3600 * 1000, "deploying")
    assert "silent until" in driftline("list").stdout
    assert driftline("unsilence", name).stdout == f"{name} is not silent any more\n"
    assert warehouse.rows("SELECT * FROM silences") == []


def test_a_silent_model_silences_its_incidents(warehouse: Warehouse) -> None:
    name = opened()
    assert driftline("silence", "--model", "flights", "--for", "1d").exit_code == 0
    assert warehouse.rows("SELECT incident_id FROM silences") == [("",)]
    assert listed()[0]["silenced_until"] is not None
    assert "stays silent" in driftline("unsilence", name).stdout
    assert driftline("unsilence", "--model", "flights").stdout == "default/flights is not silent any more\n"
    assert listed()[0]["silenced_until"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", "zzz"), 1, "no incident has an id that starts with 'zzz'"),
        (("show", "incident-"), 2, "type one more character"),
        (("list", "--model", "nobody"), 1, "known: default/flights"),
        (("silence", "--for", "2h"), 2, "name either an incident (its ID) or a model (--model MODEL)"),
        (("silence", "--model", "flights", "--for", "2 weeks"), 2, "as in 30m, 2h, 1d"),
        (("silence", "--model", "flights", "--for", "31d"), 2, "up to 30d"),
    ],
)
def test_what_cannot_be_done_is_explained(
    warehouse: Warehouse, arguments: tuple[str, ...], code: int, said: str
) -> None:
    answer = driftline(*arguments)
    assert said in (answer.stderr or str(answer.exception))
    # The entry point turns a message of SystemExit into exit code 2.
    assert answer.exit_code == 1 if code == 1 else isinstance(answer.exception, SystemExit)


def test_what_an_incident_offers_to_look_further_can_be_pasted(warehouse: Warehouse) -> None:
    """Every query of every page runs, and finds the number that the page is about."""
    texts = [t for (t,) in warehouse.rows("SELECT JSONExtractString(body, 'incident', 'text') AS t FROM reports") if t]
    assert len(texts) > 5
    for text in texts:
        commands = [shlex.split(row) for row in text.splitlines() if row.startswith("  driftline ")]
        assert [command[1] for command in commands] == ["incidents", "sql", "sql"]
        assert incidents.find(warehouse, commands[0][3]).summary
        numbers = warehouse.rows(commands[1][2])
        assert any(value is not None for _, _, value, _, _ in numbers)
        warehouse.rows(commands[2][2])


def offered(incident: Incident) -> list[str]:
    """The two queries of a page: the numbers, and the rows."""
    return [shlex.split(row)[2] for row in incident.text.splitlines() if row.startswith("  driftline sql")]


@pytest.fixture
def empty(clickhouse: Client) -> Warehouse:
    """Tables alone."""
    found = Warehouse(clickhouse, patience=30)
    migrate(found)
    return found


def test_the_numbers_of_a_volume_are_what_was_counted(empty: Warehouse) -> None:
    whole = world.calibrated()
    generations = Generations.of([world.record(of=whole, retraining=RetrainingSpec(enabled=False))])
    found = decide(empty, generations, world.stream(13, faults=world.Faults(silent=[12]), of=whole))
    assert [condition.key for condition in found.conditions] == ["quality/volume"]
    newest, before, *_ = [value for _, _, value, _, _ in empty.rows(offered(found)[0])]
    assert (newest, before) == (0.0, 2 * world.ROWS)


def test_the_rows_of_a_segment_are_its_own(empty: Warehouse) -> None:
    rules = AlertSpec(rules=("quality.counted < 1000 [origin=JFK]",), labelled_loss=False)
    found = decide(empty, Generations.of([world.record(alerts=rules)]), world.stream(1))
    (condition,) = found.conditions
    assert condition.segment == "origin=JFK"
    at = from_ms(condition.last + 3_600_000)
    given = {
        "namespace": world.NAMESPACE, "model": world.MODEL, "version": "1", "partition": 0, "row": 0, "log_ts": at,
        "event_time": at, "role": "champion", "prediction": "", "score": 0.5, "scores": "{}", "features": "{}",
        "latency_ms": 1.0, "verdict": "counted", "generation": 1, "seq": 1, "ttl_days": 90,
    }  # fmt: skip
    rows = [
        given | {"prediction_id": origin, "offset": offset, "segments": json.dumps({"origin": origin})}
        for offset, origin in enumerate(["EWR", "JFK"])
    ]
    empty.insert(RAW_PREDICTIONS, [[row[name] for name in RAW_PREDICTIONS.columns] for row in rows])
    assert [row[0] for row in empty.rows(offered(found)[1])] == ["JFK"]


def test_an_action_that_is_written_twice_is_one(warehouse: Warehouse) -> None:
    entry = incidents.find(warehouse, opened())
    for _ in range(2):
        incidents.act(warehouse, entry, "silence", by="ada", at=NOW, until=NOW + timedelta(hours=1))
    assert [done.until for done in incidents.actions(warehouse, entry)] == [to_ms(NOW + timedelta(hours=1))]
    assert not incidents.find(warehouse, entry.id).silenced(to_ms(NOW + timedelta(hours=1)))


def test_ids_are_names_of_their_cause(warehouse: Warehouse) -> None:
    assert all(re.fullmatch(r"incident-[0-9a-f]{16}", str(entry["id"])) for entry in listed("--all"))
