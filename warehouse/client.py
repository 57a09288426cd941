"""The one way to ClickHouse: inserts and queries that wait out an outage, and fail at once on what is our own fault."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import clickhouse_connect
import structlog
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential_jitter
from urllib3.exceptions import HTTPError

from schemas.tables import Table

log = structlog.get_logger()

# async_insert is on by default: an acknowledged insert must be readable. Retried inserts are idempotent by identity
# (ReplacingMergeTree), and block de-duplication would drop a repaired row that happens to equal a block seen before.
_SETTINGS = {"async_insert": 0, "insert_deduplicate": 0}


def _not_now(error: BaseException) -> bool:
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


def _say(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    # ClickHouse's name of the error comes last in its text, which may be long.
    name = getattr(error, "name", None) or type(error).__name__
    log.warning("clickhouse.away", attempt=state.attempt_number, error=str(error)[:300], name=name)


class Warehouse:
    """A ClickHouse database.

    Every call repeats until it is answered, with exponential back-off up to 5 s, for at most ``patience`` seconds;
    then the last error is raised. Errors that waiting cannot mend (syntax, types) are raised at once.
    """

    def __init__(self, client: Client, *, patience: float = 600.0) -> None:
        self.client = client
        self._retrying = Retrying(
            retry=retry_if_exception(_not_now),
            wait=wait_exponential_jitter(initial=0.1, max=5.0, jitter=0.1),
            stop=stop_after_delay(patience),
            before_sleep=_say,
            reraise=True,
        )

    @classmethod
    def connect(cls, url: str, *, user: str, password: str, database: str, patience: float = 600.0) -> Self:
        """Connect to ``url`` (``http://host:port``), waiting up to ``patience`` seconds for it to answer."""
        parts = urlsplit(url)
        for attempt in Retrying(
            retry=retry_if_exception(_not_now),
            wait=wait_exponential_jitter(initial=0.1, max=2.0),
            stop=stop_after_delay(patience),
            before_sleep=_say,
            reraise=True,
        ):
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
        return cls(client, patience=patience)

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
        self._retrying(self.client.insert_arrow, table.name, rows)

    def _insert(self, table: Table, data: Sequence[Sequence[Any]], *, column_oriented: bool) -> None:
        self._retrying(
            self.client.insert,
            table.name,
            data,
            column_names=list(table.columns),
            column_type_names=list(table.columns.values()),
            column_oriented=column_oriented,
        )

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query; ``{name:Type}`` in the SQL is bound on the server from ``parameters``."""
        result = self._retrying(self.client.query, sql, parameters=dict(parameters or {}))
        return [tuple(row) for row in result.result_rows]

    def arrow(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """A query's result as a ``pyarrow.Table`` (strings as Arrow strings)."""
        return self._retrying(self.client.query_arrow, sql, parameters=dict(parameters or {}), use_strings=True)

    def command(self, sql: str) -> Any:
        """Run a statement that returns nothing or one value."""
        return self._retrying(self.client.command, sql)

    def commands(self, statements: Iterable[str]) -> None:
        """Run statements in order."""
        for statement in statements:
            self.command(statement)
