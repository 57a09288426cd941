"""The embedded server's user ``analyst`` reads, and nothing else, however the statement is written."""

import base64
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from app import sql
from compose.clickhouse import LocalClickHouse
from warehouse.client import Warehouse

PASSWORD = "pässword:with?signs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalClickHouse]:
    with LocalClickHouse(tmp_path_factory.mktemp("clickhouse"), analyst_password=PASSWORD) as made:
        with connect(made, "default", "") as admin:
            admin.command("CREATE TABLE facts (a UInt8, `file` UInt8 DEFAULT 1) ENGINE = MergeTree ORDER BY a")
            admin.insert("facts", [[1], [2]], column_names=["a"])
        yield made


def connect(server: LocalClickHouse, user: str, password: str, **options: Any) -> Client:
    parts = urlsplit(server.url)
    return clickhouse_connect.get_client(
        host=parts.hostname or "", port=parts.port or 0, username=user, password=password, **options
    )


@pytest.fixture
def analyst(server: LocalClickHouse) -> Iterator[Client]:
    with connect(server, "analyst", PASSWORD) as client:
        yield client


def http(server: LocalClickHouse, statement: str, query: str = "", **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(  # noqa: S310
        f"{server.url}/?{query}", data=statement.encode(), headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def as_analyst(server: LocalClickHouse, statement: str, query: str = "") -> tuple[int, str]:
    token = base64.b64encode(f"analyst:{PASSWORD}".encode()).decode()
    return http(server, statement, query, Authorization=f"Basic {token}")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT sum(a) FROM facts",
        "WITH 1 AS x SELECT x",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "SHOW TABLES",
        "DESCRIBE TABLE facts",
        "EXPLAIN SELECT 1",
        "EXISTS TABLE facts",
        "SELECT 'INTO OUTFILE', 'file', 'DROP TABLE facts' -- INTO OUTFILE",
        "SELECT $a$it's$a$ /* file('/etc/passwd') */",
        "SELECT * FROM numbers(3)",
        "SELECT JSONExtractString('{\"a\": \"\\\\\"}', 'a')",
    ],
)
def test_reading(server: LocalClickHouse, statement: str) -> None:
    assert as_analyst(server, statement)[0] == 200, as_analyst(server, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO facts (a) VALUES (3)",
        "INSERT INTO facts (a) FORMAT CSV\n4\n",
        "DROP TABLE facts",
        "TRUNCATE TABLE facts",
        "ALTER TABLE facts DELETE WHERE 1",
        "DELETE FROM facts WHERE 1",
        "OPTIMIZE TABLE facts",
        "CREATE TABLE more (a UInt8) ENGINE = Memory",
        "CREATE TEMPORARY TABLE more (a UInt8)",
        "CREATE DATABASE more",
        "ATTACH TABLE more (a UInt8) ENGINE = File(CSV)",
        "SET readonly = 0",
        "SET max_threads = 1",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "KILL QUERY WHERE 1",
        "SYSTEM FLUSH LOGS",
        "GRANT SELECT ON *.* TO default",
        "BACKUP TABLE facts TO File('{nothing}')",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT `file`('/etc/passwd')",
        "SELECT \"file\"('/etc/passwd')",
        "SELECT fi/**/le('/etc/passwd'), file /**/ ('/etc/passwd')",
        "SELECT arrayMap(file, ['/etc/passwd'])",
        "SELECT $a$'$a$, file('/etc/passwd'), '",
        "SELECT $a$'$a$, file('/etc/passwd') -- '",
        "SELECT * FROM view(SELECT file('/etc/passwd'))",
        "EXPLAIN SYNTAX SELECT file('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM s3('http://127.0.0.1:1/bucket/x', 'CSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1:1', 'system.one')",
        "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
        "SELECT * FROM sqlite('{nothing}', 't')",
        "SELECT * FROM executable('x', 'TSV', 'a String')",
        "SELECT * FROM filesystem('/etc')",
        "SELECT * FROM Python(engine)",
        "SELECT * FROM eval('SELECT 1')",
        "SELECT 1 INTO OUTFILE '{nothing}'",
        "SELECT 1 into/**/outfile '{nothing}'",
        "SELECT 1; DROP TABLE facts",
        "SELECT 1;; SELECT 2",
    ],
)
def test_anything_else_is_refused(server: LocalClickHouse, statement: str, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    status, said = as_analyst(server, statement.replace("{nothing}", str(nothing)))
    assert status in (400, 403, 404), said
    assert "root:" not in said
    assert not nothing.exists()
    with connect(server, "default", "") as admin:
        assert admin.command("SELECT sum(a) FROM facts") == 3


@pytest.mark.parametrize(
    "query",
    [
        "readonly=0",
        "readonly=2",
        "max_execution_time=0&max_memory_usage=0",
    ],
)
def test_settings_of_the_request_do_not_open_it(server: LocalClickHouse, query: str) -> None:
    assert as_analyst(server, "INSERT INTO facts (a) VALUES (3)", query)[0] == 403
    said = as_analyst(server, "SELECT getSetting('readonly'), getSetting('max_execution_time')", query)
    assert said == (200, "1\t60\n")


@pytest.mark.parametrize(
    "name", ["allow_experimental_eval_table_function", "format_schema", "additional_result_filter"]
)
def test_other_settings_are_refused(server: LocalClickHouse, name: str) -> None:
    status, said = as_analyst(server, "SELECT 1", f"{name}=1")
    assert status == 403
    assert f"Cannot modify '{name}' setting" in said


def test_a_link_reads_too(server: LocalClickHouse) -> None:
    query = urllib.parse.urlencode({"user": "analyst", "password": PASSWORD, "query": "SELECT getSetting('readonly')"})
    with urllib.request.urlopen(f"{server.url}/?{query}", timeout=30) as answer:  # noqa: S310
        assert answer.read() == b"1\n"


def test_who_one_is(server: LocalClickHouse) -> None:
    assert http(server, "SELECT 1", "user=analyst&password=wrong")[0] == 403
    assert "AUTHENTICATION_FAILED" in http(server, "SELECT 1", X_ClickHouse_User="analyst", X_ClickHouse_Key="")[1]
    assert "Users here: default, analyst" in http(server, "SELECT 1", "user=root")[1]
    assert http(server, "SELECT 1", Authorization="Basic !!!")[0] == 403
    assert http(server, "SELECT 1", "user=default") == (200, "1\n")


def test_without_a_password_there_is_no_analyst(clickhouse_url: str) -> None:
    parts = urlsplit(clickhouse_url)
    with pytest.raises(DatabaseError, match="started without DRIFTLINE_ANALYST_PASSWORD"):
        clickhouse_connect.get_client(host=parts.hostname or "", port=parts.port or 0, username="analyst", password="x")


def test_nobody_s_session_is_the_analyst_s(server: LocalClickHouse) -> None:
    with (
        connect(server, "default", "", session_id="mine") as mine,
        connect(server, "analyst", PASSWORD, session_id="mine") as theirs,
    ):
        mine.command("CREATE TEMPORARY TABLE secret (a UInt8)")
        with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
            theirs.query("SELECT * FROM secret")


def test_clients_work_as_usual(analyst: Client) -> None:
    assert analyst.query("SELECT a FROM facts WHERE a = {a:UInt8}", parameters={"a": 2}).result_rows == [(2,)]
    assert analyst.query_df("SELECT a FROM facts ORDER BY a")["a"].tolist() == [1, 2]
    with pytest.raises(DatabaseError, match="READONLY"):
        analyst.insert("facts", [[3]], column_names=["a"])


def test_driftline_sql_reads_unless_told_otherwise(clickhouse: Client, capsys: pytest.CaptureFixture[str]) -> None:
    warehouse = Warehouse(clickhouse, patience=5)
    with pytest.raises(SystemExit, match="driftline sql --write"):
        sql.run(warehouse, "CREATE TABLE t (a UInt8) ENGINE = Memory", as_json=False, write=False)
    sql.run(warehouse, "CREATE TABLE t (a UInt8) ENGINE = Memory", as_json=False, write=True)
    capsys.readouterr()
    sql.run(warehouse, "SELECT count() AS n FROM t", as_json=True, write=False)
    assert capsys.readouterr().out == '{"n": 0}\n'


def test_driftline_sql_shows_data_as_it_is(clickhouse: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """What looks like markup or like the name of a picture is what somebody's service has sent."""
    sent = "[/x] [red]id :warning:"
    sql.run(Warehouse(clickhouse, patience=30), f"SELECT '{sent}' AS id", as_json=False, write=False)
    shown = capsys.readouterr().out
    assert sent in shown
    assert "1 row\n" in re.sub(r" +\n", "\n", shown)
