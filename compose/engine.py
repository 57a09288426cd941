"""chDB, the ClickHouse engine inside this process: a connection for every request, many at once."""

import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chdb.state import connect

from compose.statements import Insert, quoted, result_format, split_insert

# chDB's defaults that differ from a server's.
_AS_A_SERVER = {"implicit_select": "0", "allow_introspection_functions": "0"}
_STATEMENT_CHARACTERS = 50_000
"""Well below ``max_query_size``, which is in bytes (262,144 by default)."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CODE = re.compile(r"Code: (\d+)\. DB::(?:NetException|Exception): ")


class QueryError(Exception):
    """ClickHouse refused a statement.

    Attributes:
        code: ClickHouse's number of the error.
    """

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Request:
    """One statement with what came along with it.

    Attributes:
        text: the statement, and an insert's data after it.
        database: where names without one are looked up; None for the session's.
        settings: ClickHouse settings, and parameters as ``param_<name>`` (escaped as in TabSeparated).
        default_format: of results when the statement names none.
        session: requests with one session share temporary tables and ``SET``; None for none.
        session_seconds: how long an idle session lives.
    """

    text: bytes
    database: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    default_format: str = "TabSeparated"
    session: str | None = None
    session_seconds: float = 60.0


@dataclass(frozen=True)
class Answer:
    """A statement's result and its counters (rows, bytes, nanoseconds)."""

    body: bytes
    format: str
    summary: dict[str, str]


class _Session:
    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.lock = threading.Lock()
        self.expires = 0.0


class Engine:
    """ClickHouse at one directory. Methods may be called from many threads; one process may open one directory.

    A request gets a connection of its own (about 0.3 ms), so settings, ``USE`` and temporary tables cannot leak into
    another request; statements on different connections run side by side.
    """

    def __init__(self, path: Path) -> None:
        self._path = str(path.resolve())
        # The engine ends with its last connection: this one keeps it.
        self._keep = connect(self._path)
        self.version = self._text("SELECT version()")
        self.timezone = self._text("SELECT timezone()")
        self._sessions: dict[str, _Session] = {}
        self._sessions_lock = threading.Lock()

    def run(self, request: Request) -> Answer:
        """Run one statement.

        Raises:
            QueryError: with ClickHouse's text and code.
        """
        try:
            if request.session:
                return self._run_in_session(request, request.session)
            connection = connect(self._path)
            try:
                return _run(connection, request)
            finally:
                connection.close()
        except RuntimeError as error:  # chDB's own error is one
            raise self._explained(error) from error

    def close(self) -> None:
        """Stop the engine."""
        for session in self._sessions.values():
            session.connection.close()
        self._keep.close()

    def _run_in_session(self, request: Request, name: str) -> Answer:
        with self._sessions_lock:
            now = time.monotonic()
            for old, session in list(self._sessions.items()):
                if session.expires < now and not session.lock.locked():
                    del self._sessions[old]
                    session.connection.close()
            session = self._sessions.setdefault(name, _Session(None))
            if session.connection is None:
                session.connection = connect(self._path)
            if not session.lock.acquire(blocking=False):
                raise QueryError(
                    f"Code: 373. DB::Exception: Session {name} is locked by a concurrent client. (SESSION_IS_LOCKED)",
                    373,
                )
        try:
            return _run(session.connection, request)
        finally:
            if request.settings:
                _reset(session.connection, request.settings)
            session.expires = time.monotonic() + request.session_seconds
            session.lock.release()

    def _text(self, sql: str) -> str:
        text: bytes = self._keep.query(sql, "TabSeparated").bytes()
        return text.decode().strip()

    def _explained(self, error: RuntimeError) -> QueryError:
        text = str(error)
        codes = list(_CODE.finditer(text))
        if not codes:
            return QueryError(f"Code: 1001. DB::Exception: {text} (STD_EXCEPTION)", 1001)
        # chDB says some errors twice, each time with the code.
        text = text[codes[-1].start() :] if codes[0].group() == codes[-1].group() else text[codes[0].start() :]
        return QueryError(text if "(version " in text else f"{text} (version {self.version})", int(codes[0][1]))


def _run(connection: Any, request: Request) -> Answer:
    started = time.perf_counter_ns()
    _set(connection, request.settings)
    if request.database:
        connection.query(f"USE `{request.database.replace('`', '``')}`")
    insert = split_insert(request.text)
    if insert:
        return _insert(connection, insert, started)
    sql = request.text.decode()
    result = connection.query(sql, request.default_format)
    counters = {
        "read_rows": result.storage_rows_read(),
        "read_bytes": result.storage_bytes_read(),
        "written_rows": result.rows_written(),
        "written_bytes": result.bytes_written(),
        "result_rows": result.rows_read(),
        "result_bytes": result.size(),
    }
    return Answer(result.bytes(), result_format(sql, request.default_format), _summary(counters, started))


def _insert(connection: Any, insert: Insert, started: int) -> Answer:
    # From a file in memory: chDB's own way for data in memory, send_insert, says nothing when the last step fails, and
    # a full disk would lose rows that were acknowledged.
    with os.fdopen(os.memfd_create("insert"), "wb") as file:
        file.write(insert.data)
        file.flush()
        source = f"FROM INFILE '/proc/self/fd/{file.fileno()}' COMPRESSION 'none'"
        done = connection.query(f"{insert.head} {source} {insert.settings} FORMAT {insert.format}")
    written = {"written_rows": done.rows_written(), "written_bytes": done.bytes_written()}
    return Answer(b"", "TabSeparated", _summary({"read_rows": 0, "read_bytes": 0, **written}, started))


def _summary(counters: Mapping[str, int], started: int) -> dict[str, str]:
    elapsed = time.perf_counter_ns() - started
    return {name: str(value) for name, value in {**counters, "elapsed_ns": elapsed}.items()}


def _set(connection: Any, settings: Mapping[str, str]) -> None:
    for name in settings:
        if not _NAME.fullmatch(name):
            raise QueryError(f"Code: 115. DB::Exception: Unknown setting {name!r}. (UNKNOWN_SETTING)", 115)
    # `readonly` last: it forbids to set anything after it.
    ordered = sorted({**_AS_A_SERVER, **settings}.items(), key=lambda item: item[0] == "readonly")
    statement = "SET " + ", ".join(f"{name} = {quoted(value)}" for name, value in ordered)
    if len(statement) > _STATEMENT_CHARACTERS:
        # A server is told its parameters beside the statement, whose length alone is limited; here they are one.
        connection.query(f"SET max_query_size = {4 * len(statement)}")
        if "max_query_size" not in settings:
            statement += ", max_query_size = DEFAULT"
    connection.query(statement)


def _reset(connection: Any, settings: Mapping[str, str]) -> None:
    names = [name for name in settings if not name.startswith("param_")]
    if names:
        connection.query("SET " + ", ".join(f"{name} = DEFAULT" for name in names))
