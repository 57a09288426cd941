"""``driftline dead-letters list`` and ``show``: every letter has its place, its reason, its bytes and a way out."""

import json
from typing import Any

import pytest
from aggregate_world import START, outcome
from clickhouse_connect.driver.client import Client
from counted_world import count
from typer.testing import CliRunner, Result

from app.cli import app
from schemas.events import MAX_EVENT_BYTES
from schemas.settings import Settings
from schemas.tables import DEAD_LETTER_REPLAYS
from streams.aggregate.decode import Record
from warehouse.client import Warehouse
from warehouse.migrate import migrate

LOG_TS = START + 3_600_000
NOBODYS = json.dumps(outcome(1, START, "late", model="unheard")).encode()
BODIES: list[tuple[bytes, bytes | None, Any]] = [
    (b"\xff\x00", None, None),
    (b"\x1b[2J{", b"f2", [("trace", b"00-1"), ("empty", None)]),
    (b"x" * (MAX_EVENT_BYTES + 1), b"", None),
]


@pytest.fixture(autouse=True)
def warehouse(clickhouse: Client, clickhouse_url: str, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """Three letters of predictions, one of outcomes an hour later."""
    made = Warehouse(clickhouse, patience=30)
    migrate(made)
    monkeypatch.setenv("DRIFTLINE_CLICKHOUSE_URL", clickhouse_url)
    monkeypatch.setenv("DRIFTLINE_DATABASE", str(clickhouse.database))
    monkeypatch.setenv("COLUMNS", "200")
    predictions = [
        Record("predictions", 0, offset, LOG_TS, value, headers, key)
        for offset, (value, key, headers) in enumerate(BODIES)
    ]
    later = [Record("outcomes", 0, 0, LOG_TS + 3_600_000, NOBODYS, None, b"f1")]
    count(made, Settings(), {("predictions", 0): predictions, ("outcomes", 0): later}, batch=2)
    return made


def driftline(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["dead-letters", *arguments])


def listed(*arguments: str) -> list[str]:
    return [letter["place"] for letter in json.loads(driftline("list", "--json", *arguments).stdout)]


def test_the_newest_come_first_and_can_be_narrowed_down() -> None:
    assert listed() == ["outcomes/0/0", "predictions/0/0", "predictions/0/1", "predictions/0/2"]
    assert listed("--topic", "outcomes") == listed("--model", "unheard") == ["outcomes/0/0"]
    assert listed("--model", "default/unheard", "--reason", "unknown_model") == ["outcomes/0/0"]
    assert listed("--model", "other/unheard") == listed("--since", "1h") == []
    assert listed("--since", "2013-01-01T01:30:00Z") == ["outcomes/0/0"]
    assert listed("--limit", "1") == ["outcomes/0/0"]


def test_the_list_says_what_is_wrong_and_how_many_there_are() -> None:
    text = driftline("list", "--limit", "2").stdout
    assert "outcomes/0/0  2013-01-01T02:00:00Z  unknown_model  default/unheard  waiting\n" in text
    assert '    $.namespace, $.model: "default/unheard"; expected a model whose spec is applied' in text
    assert text.endswith("4 dead letters, the newest 2 are shown: undecodable 2, too_large 1, unknown_model 1\n")
    assert driftline("list", "--reason", "invalid").stdout == "no dead letters\n"


def test_show_has_everything_and_nothing_reaches_the_terminal_unescaped() -> None:
    text = driftline("show", "predictions/0/1").stdout
    for piece in ("undecodable", "byte 0 of 5", "key          f2", "header trace 00-1", "header empty null"):
        assert piece in text
    assert text.endswith("5 bytes:\n\\x1b[2J{\n")
    assert "\x1b" not in text + driftline("list").stdout
    assert "00000000  ff 00" in driftline("show", "predictions/0/0").stdout
    assert (
        f"… {MAX_EVENT_BYTES + 1 - 10_000:,} bytes more (--raw writes all)"
        in driftline("show", "predictions/0/2").stdout
    )


def test_the_original_bytes_come_back_whole() -> None:
    for offset, (value, key, _) in enumerate(BODIES):
        assert driftline("show", "--raw", f"predictions/0/{offset}").stdout_bytes == value
        found = json.loads(driftline("show", "--json", f"predictions/0/{offset}").stdout)
        assert found["key"] == {None: None, b"f2": "ZjI=", b"": ""}[key]
    assert json.loads(driftline("show", "--json", "predictions/0/1").stdout)["headers"] == [
        ["trace", "MDAtMQ=="],
        ["empty", None],
    ]


def test_a_letter_that_was_sent_again_says_where_it_is_now(warehouse: Warehouse) -> None:
    warehouse.insert(DEAD_LETTER_REPLAYS, [["outcomes", 0, 0, 0, 0, 7, LOG_TS]])
    assert "unheard  replayed\n" in driftline("list").stdout
    assert (
        "replayed     2013-01-01T01:00:00Z to outcomes/0/7: not read yet\n" in driftline("show", "outcomes/0/0").stdout
    )
    found = json.loads(driftline("show", "outcomes/0/0", "--json").stdout)
    assert found["replayed"] == {"at": "2013-01-01T01:00:00Z", "place": "outcomes/0/7", "became": "not read yet"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "predictions/0/9"], 1, "no dead letter at predictions/0/9; driftline dead-letters list shows"),
        (["show", "predictions-9"], 2, "'predictions-9' is no place; write TOPIC/PARTITION/OFFSET"),
        (["list", "--since", "yesterday"], 2, "'yesterday' is no time; write a span (30m, 2h, 1d) or an instant"),
        (["replay"], 2, "name letters by PLACE, or by --reason, --model, --topic, --since, or say --all"),
        (["replay", "--all", "predictions/0/1"], 2, "name letters by PLACE, or by"),
        (["replay", "predictions/0/9"], 2, "no dead letter at predictions/0/9"),
    ],
)
def test_an_unclear_question_says_how_to_ask(arguments: list[str], code: int, message: str) -> None:
    found = driftline(*arguments)
    text = found.stderr if code == 1 else str(found.exception)
    assert message in text
    assert (found.exit_code == 1) == (code == 1 or isinstance(found.exception, SystemExit))
