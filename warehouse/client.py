"""The one way to ClickHouse: inserts and queries that wait out an outage, and fail at once on what is our own fault."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import clickhouse_connect
import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_delay,
    stop_when_event_set,
    wait_exponential_jitter,
)
from urllib3.exceptions import HTTPError

from schemas.tables import Table

log = structlog.get_logger()

# async_insert is on by default: an acknowledged insert must be readable. Retried inserts are idempotent by identity
# (ReplacingMergeTree), and block de-duplication would drop a repaired row that happens to equal a block seen before.
_SETTINGS = {"async_insert": 0, "insert_deduplicate": 0}

# Rows of one identity never come in one insert: looking for them there, which took 40% of its time, is left to merges
# and to FINAL.
_INSERT = {"optimize_on_insert": 0}

_INSERT_JSON = _INSERT | {"input_format_skip_unknown_fields": 1, "input_format_json_named_tuples_as_objects": 0}


_PIECE_BYTES = 64_000_000
"""Of rows that go into one request; the embedded ClickHouse refuses one of 256 MB."""

T = TypeVar("T")


def pieces(rows: Sequence[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Rows, in order, in lists of 64 MB at most, or of one row.

    Args:
        rows: to insert.
        size: bytes of a row.
    """
    piece, total = list[T](), 0
    for row in rows:
        if piece and total + size(row) > _PIECE_BYTES:
            yield piece
            piece, total = [], 0
        piece.append(row)
        total += size(row)
    if piece:
        yield piece


def not_now(error: BaseException) -> bool:
    """Whether waiting may help: the server is away, restarting, overloaded or out of space."""
    if isinstance(error, OperationalError | HTTPError | ConnectionError | TimeoutError):
        return True
    return isinstance(error, DatabaseError) and any(
        sign in str(error)
        for sign in (
            "TOO_MANY_PARTS", "TIMEOUT_EXCEEDED", "MEMORY_LIMIT", "NETWORK_ERROR",
            # A full disk: somebody will make room.
            "NOT_ENOUGH_SPACE", "No space left on device",
        )
    )  # fmt: skip


@dataclass(frozen=True)
class Waiting:
    """How an outage is waited out.

    Args:
        patience: seconds after which the last error is raised.
        stop: once it is set nothing is waited for any more: what fails then is raised at once.
        told: called whenever a call failed and will be repeated.
    """

    patience: float = 600.0
    stop: threading.Event = field(default_factory=threading.Event)
    told: Callable[[], None] = lambda: None

    def retrying(self, *, longest: float = 5.0) -> Retrying:
        """The repetition of calls, with pauses of at most ``longest`` seconds."""
        return Retrying(
            retry=retry_if_exception(not_now),
            wait=wait_exponential_jitter(initial=0.1, max=longest, jitter=0.1),
            stop=stop_after_delay(self.patience) | stop_when_event_set(self.stop),
            sleep=sleep_using_event(self.stop),
            before_sleep=self._say,
            reraise=True,
        )

    def _say(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        # ClickHouse's name of the error comes last in its text, which may be long.
        name = getattr(error, "name", None) or type(error).__name__
        log.warning("clickhouse.away", attempt=state.attempt_number, error=str(error)[:300], name=name)
        self.told()


class Warehouse:
    """A ClickHouse database.

    Every call repeats until it is answered, with exponential back-off up to 5 s, for as long as ``waiting`` says; then
    the last error is raised. Errors that waiting cannot mend (syntax, types) are raised at once.
    """

    def __init__(self, client: Client, *, patience: float = 600.0, waiting: Waiting | None = None) -> None:
        self.client = client
        self._waiting = waiting or Waiting(patience)
        self._retrying = self._waiting.retrying()

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        user: str,
        password: str,
        database: str,
        patience: float = 600.0,
        waiting: Waiting | None = None,
    ) -> Self:
        """Connect to ``url`` (``http://host:port``), waiting for it to answer as ``waiting`` says (or ``patience``)."""
        parts = urlsplit(url)
        waiting = waiting or Waiting(patience)
        for attempt in waiting.retrying(longest=2.0):
            with attempt:
                client = clickhouse_connect.get_client(
                    host=parts.hostname or "127.0.0.1",
                    port=parts.port or (8443 if parts.scheme == "https" else 8123),
                    secure=parts.scheme == "https",
                    username=user,
                    password=password,
                    database=database,
                    autogenerate_session_id=False,
                    tz_mode="aware",
                    settings=_SETTINGS,
                )
        return cls(client, waiting=waiting)

    def impatient(self, patience: float) -> "Warehouse":
        """The same database, asked by somebody who gives up after ``patience`` seconds."""
        return Warehouse(self.client, waiting=replace(self._waiting, patience=patience))

    def insert(self, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows (values in the order of ``table.columns``) and wait for the acknowledgement."""
        if rows:
            self._insert(table, rows, column_oriented=False)

    def insert_columns(self, table: Table, columns: Sequence[Sequence[Any]]) -> None:
        """Insert columns (in the order of ``table.columns``, all of one length), acknowledged."""
        if columns and len(columns[0]):
            self._insert(table, columns, column_oriented=True)

    def insert_arrow(self, table: Table, rows: Any) -> None:
        """Insert a ``pyarrow.Table``, whose columns are named as those of ``table``, acknowledged."""
        self._retrying(self.client.insert_arrow, table.name, rows, settings=_INSERT)

    def insert_json(self, table: Table, rows: Sequence[bytes]) -> None:
        """Insert rows that are JSON objects already, acknowledged; what is no column's name is ignored.

        Named tuples are arrays in it, as ``msgspec`` writes what is ``array_like``. Many rows are several requests: one
        that fails leaves those before it.
        """
        for piece in pieces(rows, len):
            self._retrying(
                self.client.raw_insert,
                f"`{table.name}`",
                list(table.columns),
                b"\n".join(piece),
                settings=_INSERT_JSON,
                fmt="JSONEachRow",
            )

    def _insert(self, table: Table, data: Sequence[Sequence[Any]], *, column_oriented: bool) -> None:
        self._retrying(self._insert_once, table, data, column_oriented=column_oriented)

    def _insert_once(self, table: Table, data: Sequence[Sequence[Any]], *, column_oriented: bool) -> None:
        context = self.client.create_insert_context(
            table.name,
            column_names=list(table.columns),
            column_type_names=list(table.columns.values()),
            column_oriented=column_oriented,
            settings=_INSERT,
            data=data,
        )
        try:
            self.client.insert(context=context)
        finally:
            # It refers to itself, and so would hold the rows until cycles are looked for, which is seldom: a stage 1
            # that writes 2 MB of redo records a second grew by 130 MB a minute.
            vars(context).clear()

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query; ``{name:Type}`` in the SQL is bound on the server from ``parameters``."""
        result = self._retrying(self.client.query, sql, parameters=dict(parameters or {}))
        return [tuple(row) for row in result.result_rows]

    def arrow(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> Any:
        """A query's result as a ``pyarrow.Table`` (strings as Arrow strings)."""
        return self._retrying(
            self.client.query_arrow,
            sql,
            parameters=dict(parameters or {}),
            settings=dict(settings or {}),
            use_strings=True,
        )

    def arrow_blocks(self, sql: str, take: Callable[[Any], object], parameters: Mapping[str, Any]) -> None:
        """Give a query's result to ``take`` block by block, so that it never is in memory as a whole.

        What was given before an error is given again.
        """

        def read() -> None:
            with self.client.query_arrow_stream(sql, parameters=dict(parameters)) as blocks:
                for block in blocks:
                    take(block)

        self._retrying(read)

    def command(self, sql: str) -> Any:
        """Run a statement that returns nothing or one value."""
        return self._retrying(self.client.command, sql)

    def commands(self, statements: Iterable[str]) -> None:
        """Run statements in order."""
        for statement in statements:
            self.command(statement)
