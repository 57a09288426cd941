"""The embedded server is a ClickHouse to clickhouse-connect and to plain HTTP, and keeps what it acknowledged."""

import datetime as dt
import gzip
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import clickhouse_connect
import lz4.frame  # type: ignore[import-untyped]
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compose.clickhouse import LocalClickHouse

UTC = dt.UTC


def connect(url: str, **options: Any) -> Client:
    parts = urlsplit(url)
    return clickhouse_connect.get_client(host=parts.hostname or "", port=parts.port or 0, **options)


def http(url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, Any]:
    """Send a plain request, as curl would; headers are named with underscores."""
    request = urllib.request.Request(url, data=body, headers={k.replace("_", "-"): v for k, v in headers.items()})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


COLUMNS: dict[str, tuple[str, list[Any]]] = {
    "id": ("UInt64", [0, 2**64 - 1, 7]),
    "i": ("Int64", [-(2**63), 2**63 - 1, 0]),
    "big": ("Int128", [-(2**127), 2**127 - 1, 0]),
    "f": ("Float64", [0.1, -1e300, 5e-324]),
    "s": ("String", ["", "tab\t quote' back\\slash\n", "grüße 漢"]),
    "lc": ("LowCardinality(String)", ["a", "b", "a"]),
    "t": (
        "DateTime64(3, 'UTC')",
        [
            dt.datetime(2013, 1, 1, 5, 0, 0, 123000, tzinfo=UTC),
            dt.datetime(1970, 1, 1, tzinfo=UTC),
            dt.datetime(2100, 1, 1, tzinfo=UTC),
        ],
    ),
    "nf": ("Nullable(Float64)", [None, 1.5, -0.0]),
    "arr": ("Array(UInt64)", [[], [1, 2], [2**64 - 1]]),
    "arr128": ("Array(Int128)", [[], [-(2**100)], [1, 2]]),
    "m": ("Map(String, String)", [{}, {"k": "v"}, {"a": "", "b": "ü"}]),
    "e": ("Enum8('counted' = 1, 'late' = 2)", ["counted", "late", "late"]),
    "d": ("Date", [dt.date(2013, 12, 31), dt.date(1970, 1, 1), dt.date(2100, 1, 1)]),
    "u": ("UUID", [uuid.UUID(int=0), uuid.UUID(int=1), uuid.UUID(int=2**128 - 1)]),
}


def create(client: Client, name: str, columns: str, order: str = "tuple()", engine: str = "MergeTree") -> None:
    client.command(f"CREATE TABLE {name} ({columns}) ENGINE = {engine} ORDER BY {order}")


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_every_type_survives_a_round_trip_in_every_compression(clickhouse: Client, compress: Any) -> None:
    create(clickhouse, "types", ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items()))
    rows = list(zip(*(values for _, values in COLUMNS.values()), strict=True))
    with connect(clickhouse.uri, database=clickhouse.database, compress=compress, tz_mode="aware") as client:
        written = client.insert("types", rows, column_names=list(COLUMNS))
        assert written.written_rows == 3
        read = client.query("SELECT * FROM types").result_rows
    key = [str(row[0]) for row in read]
    assert [read[key.index(str(row[0]))] for row in rows] == rows


def test_a_large_insert_in_many_blocks_arrives_whole(clickhouse: Client) -> None:
    create(clickhouse, "big", "a UInt64, s String")
    n = 300_000
    clickhouse.insert("big", [list(range(n)), ["x" * 20] * n], column_oriented=True, column_names=["a", "s"])
    assert clickhouse.query("SELECT count(), sum(a), max(length(s)) FROM big").result_rows == [
        (n, n * (n - 1) // 2, 20)
    ]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\x00")), number=st.integers(0, 2**64 - 1))
def test_bound_parameters_arrive_as_they_were(clickhouse: Client, text: str, number: int) -> None:
    sql = "SELECT {text:String}, {number:UInt64}, {many:Array(String)}, {none:Nullable(String)}"
    parameters = {"text": text, "number": number, "many": [text, "'"], "none": None}
    assert clickhouse.query(sql, parameters=parameters).result_rows == [(text, number, [text, "'"], None)]


def test_parameters_that_are_too_long_for_a_url_arrive_in_a_form(clickhouse: Client) -> None:
    # What stage 1 looks up at once: ids as long as people make them.
    ids = [f"{number:036d}" for number in range(20_000)]
    answer = clickhouse.query("SELECT length(ids), ids[-1] FROM (SELECT {ids:Array(String)} AS ids)", {"ids": ids})
    assert answer.result_rows == [(len(ids), ids[-1])]


def test_data_in_a_form_are_refused(clickhouse_url: str) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="t"; filename="t"\r\n\r\n1\r\n--x--\r\n'
    status, said, _ = http(f"{clickhouse_url}/?query=SELECT+1", form, Content_Type="multipart/form-data; boundary=x")
    assert (status, b"only query and param_* are supported" in said) == (501, True)


def test_bound_times_are_utc(clickhouse: Client) -> None:
    at = dt.datetime(2013, 7, 1, 12, 30, tzinfo=UTC)
    sql = "SELECT {at:DateTime64(3, 'UTC')}"
    assert clickhouse.query(sql, parameters={"at": at}, tz_mode="aware").result_rows == [(at,)]


def test_the_largest_version_of_a_row_wins(clickhouse: Client) -> None:
    create(clickhouse, "r", "k String, n UInt64, seq UInt64", "k", "ReplacingMergeTree(seq)")
    for n, seq in ((10, 1), (30, 3), (20, 2), (30, 3)):
        clickhouse.insert("r", [["a", n, seq]], column_names=["k", "n", "seq"])
    assert clickhouse.query("SELECT n FROM r FINAL").result_rows == [(30,)]
    assert clickhouse.query("SELECT n FROM r", settings={"final": 1}).result_rows == [(30,)]


def test_settings_hold_for_their_request_only(clickhouse: Client) -> None:
    sql = "SELECT getSetting('max_block_size')"
    assert clickhouse.query(sql, settings={"max_block_size": 1234}).result_rows == [(1234,)]
    assert clickhouse.query(sql).result_rows != [(1234,)]


def test_a_session_keeps_its_temporary_table_and_nobody_else_sees_it(clickhouse: Client) -> None:
    with connect(clickhouse.uri, session_id="mine") as mine, connect(clickhouse.uri, session_id="yours") as yours:
        mine.command("CREATE TEMPORARY TABLE scratch (a UInt8)")
        mine.insert("scratch", [[1], [2]], column_names=["a"])
        assert mine.query("SELECT sum(a) FROM scratch").result_rows == [(3,)]
        with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
            yours.query("SELECT * FROM scratch")


def test_arrow_and_frames(clickhouse: Client) -> None:
    table = clickhouse.query_arrow("SELECT number AS n, toString(number) AS s FROM numbers(3)", use_strings=True)
    assert table.to_pydict() == {"n": [0, 1, 2], "s": ["0", "1", "2"]}
    assert clickhouse.query_df("SELECT number AS n FROM numbers(3)")["n"].tolist() == [0, 1, 2]
    assert clickhouse.query("SELECT 1 AS a WHERE 0").result_rows == []
    assert clickhouse.command("SELECT 'one value'") == "one value"


def test_many_clients_at_once(clickhouse: Client) -> None:
    create(clickhouse, "shared", "w UInt8, i UInt64", "(w, i)")

    def work(writer: int) -> int:
        with connect(clickhouse.uri, database=clickhouse.database, autogenerate_session_id=False) as client:
            for i in range(20):
                client.insert("shared", [[writer, i]], column_names=["w", "i"])
                rows = client.query(
                    "SELECT count() FROM shared WHERE w = {w:UInt8}", parameters={"w": writer}
                ).result_rows
                assert rows == [(i + 1,)], "an acknowledged insert is visible"
        return 20

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == clickhouse.command("SELECT count() FROM shared")


@pytest.mark.parametrize(
    ("sql", "code", "name", "status"),
    [
        ("SELEKT 1", "62", "SYNTAX_ERROR", 400),
        ("SELECT * FROM nowhere", "60", "UNKNOWN_TABLE", 404),
        ("SELECT nothing", "47", "UNKNOWN_IDENTIFIER", 404),
        ("SELECT throwIf(1)", "395", "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", 500),
        ("INSERT INTO nowhere FORMAT CSV\n1\n", "60", "UNKNOWN_TABLE", 404),
    ],
)
def test_errors_are_clickhouse_s_own(clickhouse: Client, sql: str, code: str, name: str, status: int) -> None:
    got, body, headers = http(clickhouse.uri, sql.encode())
    assert (got, headers["X-ClickHouse-Exception-Code"]) == (status, code)
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert f"({name})" in body.decode()
    with pytest.raises(DatabaseError, match=name):
        clickhouse.command(sql)


def test_a_broken_row_is_refused(clickhouse: Client) -> None:
    create(clickhouse, "n", "a UInt8")
    status, body, headers = http(clickhouse.uri, f"INSERT INTO {clickhouse.database}.n FORMAT CSV\n1\nx\n".encode())
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (400, "117"), body
    assert clickhouse.command("SELECT count() FROM n") == 0


def test_plain_requests(clickhouse_url: str) -> None:
    assert http(f"{clickhouse_url}/ping")[:2] == (200, b"Ok.\n")
    assert http(clickhouse_url)[:2] == (200, b"Ok.\n")
    assert http(f"{clickhouse_url}/?query=SELECT+1")[:2] == (200, b"1\n")
    status, body, headers = http(f"{clickhouse_url}/?query={quote('SELECT 1 AS a')}&default_format=JSONEachRow")
    assert (status, body, headers["X-ClickHouse-Format"]) == (200, b'{"a":1}\n', "JSONEachRow")
    assert headers["Content-Type"].startswith("application/x-ndjson")
    assert headers["X-ClickHouse-Timezone"] == "UTC" or headers["X-ClickHouse-Timezone"].endswith("UTC")
    assert http(clickhouse_url, b"SELECT 1 AS a FORMAT CSVWithNames")[1] == b'"a"\n1\n'
    assert http(f"{clickhouse_url}/?query=SELECT+1,&default_format=CSV", b"'x'")[1] == b'1,"x"\n'
    assert http(f"{clickhouse_url}/?query={quote('SELECT {x:UInt8} + 1')}&param_x=41")[1] == b"42\n"


def test_a_link_changes_nothing(clickhouse: Client) -> None:
    status, body, _ = http(f"{clickhouse.uri}/?query={quote('CREATE DATABASE by_link')}")
    assert status == 403
    assert b"READONLY" in body


def test_an_empty_post_is_no_acknowledgement(clickhouse_url: str) -> None:
    assert http(clickhouse_url, b"")[0] == 400


@pytest.mark.parametrize(
    "values", ["(1, 'a;b'), (2, 'FORMAT CSV')", " (1, 'it''s') , (2, '\\'')"], ids=["words", "quotes"]
)
def test_values(clickhouse: Client, values: str) -> None:
    create(clickhouse, "v", "a UInt8, s String")
    clickhouse.command(f"INSERT INTO v (a, s) VALUES {values}")  # noqa: S608
    assert clickhouse.command("SELECT sum(a) FROM v") == 3


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t FORMAT CSV",
        "insert into `t` (a) settings async_insert = 0 format CSV ",
        "/* FORMAT */ INSERT INTO TABLE t(a) -- VALUES\n FORMAT CSV",
    ],
)
@pytest.mark.parametrize("pack", [None, "gzip", "lz4"])
def test_the_statement_in_the_url_and_the_data_in_the_body(clickhouse: Client, sql: str, pack: str | None) -> None:
    create(clickhouse, "t", "a UInt8")
    body = {None: b"1\n2\n", "gzip": gzip.compress(b"1\n2\n"), "lz4": lz4.frame.compress(b"1\n2\n")}[pack]
    url = f"{clickhouse.uri}/?query={quote(sql)}&database={clickhouse.database}"
    status, answer, headers = http(url, body, **({"Content_Encoding": pack} if pack else {}))
    assert status == 200, answer
    assert '"written_rows":"2"' in headers["X-ClickHouse-Summary"]
    assert clickhouse.command("SELECT sum(a) FROM t") == 3


def test_refusals_say_what_to_do(clickhouse_url: str) -> None:
    url = f"{clickhouse_url}/?query=SELECT+1"
    assert http(url, b"x", Content_Encoding="br")[0] == 415
    assert http(url, gzip.compress(b" " * 100)[:-10], Content_Encoding="gzip")[0] == 400
    status, body, _ = http(url, gzip.compress(b" " * (257 * 2**20), 1), Content_Encoding="gzip")
    assert status == 413, "packed, it is small"
    assert b"Insert fewer rows at a time" in body
    assert http(url, Host="evil.example")[0] == 403
    assert http(url, Origin="https://evil.example")[0] == 403


def test_an_acknowledged_insert_survives_kill_9_and_a_restart(tmp_path: Path) -> None:
    server = LocalClickHouse(tmp_path)
    url = server.start()
    acknowledged = 0
    with connect(url) as client:
        create(client, "facts", "i UInt64", "i")
        for i in range(30):
            client.insert("facts", [[i]], column_names=["i"])
            acknowledged = i + 1
    server.kill()
    assert server.pid is None
    for end in (server.stop, server.kill):
        assert server.start() == url, "the port is remembered"
        with connect(url) as client:
            assert client.query("SELECT count(), max(i) FROM facts").result_rows == [(acknowledged, acknowledged - 1)]
        end()


def test_a_new_owner_ends_the_server_that_outlived_the_old_one(tmp_path: Path) -> None:
    first, second = LocalClickHouse(tmp_path), LocalClickHouse(tmp_path)
    with connect(first.start()) as client:
        create(client, "facts", "i UInt64", "i")
    try:
        with connect(second.start()) as client:
            assert client.command("EXISTS facts") == 1
        assert first.pid is None
    finally:
        second.stop()
        first.kill()
