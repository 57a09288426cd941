"""What driftline knows of a model, as data frames: pandas or polars, times in UTC, numbers as numbers.

``pip install 'driftline[frames]'`` (and ``polars`` if you want it). A model is named ``namespace/name``; without a
namespace it is in ``default``. The views behind it are described in ``docs/analysts.md``; :meth:`Frames.sql` asks any
question of your own.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from types import MappingProxyType, TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

try:
    import clickhouse_connect
    import pandas as pd
    import pyarrow as pa
except ImportError as error:
    raise ImportError(f"driftline.frames needs {error.name}: pip install 'driftline[frames]'") from error

Engine = Literal["pandas", "polars"]
Instant = datetime | date | str | None
"""A time in UTC: ISO 8601 text, a date (its midnight), or a datetime (naive ones are UTC); None is no limit."""

_DTYPES: dict[Any, Any] = {
    pa.bool_(): pd.BooleanDtype(),
    **{getattr(pa, name.lower())(): getattr(pd, f"{name}Dtype")() for name in (
        "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64"
    )},
}  # fmt: skip
"""For columns with nulls, which would be floats otherwise."""


_NOTHING: Mapping[str, str] = MappingProxyType({})


class Frames:
    """Ask a driftline database; use it in a ``with`` block, or :meth:`close` it.

    Args:
        url: ClickHouse's HTTP interface, ``http://host:port`` or ``https://...``.
        user: a user who may only read is enough (``docs/analysts.md``).
        password: of the user.
        database: driftline's.
        engine: ``pandas`` or ``polars``: what every method returns.

    Raises:
        ValueError: another engine.
        clickhouse_connect.driver.exceptions.Error: the server is not there, or refuses; also from every method.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8123",
        *,
        user: str = "default",
        password: str = "",
        database: str = "driftline",
        engine: Engine = "pandas",
    ) -> None:
        if engine not in ("pandas", "polars"):
            raise ValueError(f"engine is {engine!r}; valid: pandas, polars")
        parts = urlsplit(url)
        self._engine = engine
        self._client = clickhouse_connect.get_client(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or (8443 if parts.scheme == "https" else 8123),
            secure=parts.scheme == "https",
            username=user,
            password=password,
            database=database,
            autogenerate_session_id=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def models(self) -> Any:
        """Every model with its windows: namespace, model, first and last window, how many, predictions."""
        return self.sql(
            "SELECT namespace, model, min(window_start) AS first_window, max(window_start) AS last_window, "
            "count() AS windows, sum(predictions) AS predictions FROM windows GROUP BY ALL ORDER BY ALL"
        )

    def metrics(
        self,
        model: str,
        metric: str | None = None,
        *,
        kind: str | None = None,
        since: Instant = None,
        until: Instant = None,
        slices: bool = False,
    ) -> Any:
        """Every stored number of a model (view ``window_metrics``), one row per window and metric.

        Args:
            model: ``namespace/name``.
            metric: only this one.
            kind: feature, score, latency, quality, performance or tested.
            since: windows that start at or after this.
            until: windows that start before this.
            slices: also those of slices (``slice_key``, ``slice_value``), not only of all rows.
        """
        return self._windows("window_metrics", model, since, until, slices=slices, metric=metric, kind=kind)

    def performance(
        self,
        model: str,
        metric: str | None = None,
        *,
        version: str | None = None,
        since: Instant = None,
        until: Instant = None,
        slices: bool = False,
    ) -> Any:
        """Labelled performance: with every label so far (``value``), and as it was tested (``tested_value``)."""
        return self._windows("performance", model, since, until, slices=slices, metric=metric, version=version)

    def drift(
        self,
        model: str,
        metric: str | None = "psi",
        *,
        feature: str | None = None,
        since: Instant = None,
        until: Instant = None,
        slices: bool = False,
    ) -> Any:
        """Distances of features (and of scores: ``feature`` is empty) from the reference."""
        return self._windows("drift", model, since, until, slices=slices, metric=metric, feature=feature)

    def label_coverage(self, model: str, *, since: Instant = None, until: Instant = None) -> Any:
        """How many predictions of each window and version have their label, up to now."""
        return self._windows("label_coverage", model, since, until)

    def incidents(self, model: str | None = None, *, since: Instant = None, until: Instant = None) -> Any:
        """Incidents that were opened in a time, of one model or of all: state, severity, summary, times."""
        return self._select("incident_list", "opened", "opened, id", model=model, since=since, until=until)

    def versions(self, model: str) -> Any:
        """Every version that was asked for: why, what it was trained on, what became of it."""
        return self._select("versions", "requested", "requested, version", model=model)

    def served(
        self,
        model: str,
        *,
        since: Instant = None,
        until: Instant = None,
        features: bool = False,
        limit: int = 1_000_000,
    ) -> Any:
        """Served predictions with their labels (null while there is none), by event time.

        Args:
            model: ``namespace/name``.
            since: event time at or after this.
            until: event time before this.
            features: add a column ``feature.<name>`` for each feature, instead of the text ``features``.
            limit: at most so many rows, the earliest.
        """
        table = self._arrow(
            f"SELECT * EXCEPT ({_PLACES}) FROM served "  # noqa: S608
            f"WHERE {_WHERE} AND event_time >= {{since:DateTime64(3, 'UTC')}} "
            "AND event_time < {until:DateTime64(3, 'UTC')} ORDER BY event_time, prediction_id LIMIT {limit:UInt64}",
            {**_named(model), **_between(since, until), "limit": limit},
        )
        if features:
            table = _with_features(table)
        return self._frame(table)

    def sql(self, statement: str, **parameters: Any) -> Any:
        """The rows of your own query; bind values, never format them in.

        Args:
            statement: of ClickHouse, with ``{name:Type}`` for each parameter.
            parameters: by name; lists for arrays.
        """
        return self._frame(self._arrow(statement, parameters))

    def _windows(
        self, view: str, model: str, since: Instant, until: Instant, *, slices: bool = True, **equal: str | None
    ) -> Any:
        wanted = {name: value for name, value in equal.items() if value is not None}
        further = "" if slices else _NO_SLICES
        return self._select(
            view, "window_start", "ALL", model=model, since=since, until=until, equal=wanted, further=further
        )

    def _select(
        self,
        view: str,
        at: str,
        order: str,
        *,
        model: str | None,
        since: Instant = None,
        until: Instant = None,
        equal: Mapping[str, str] = _NOTHING,
        further: str = "",
    ) -> Any:
        """Everything but values is a constant of this module."""
        where = [f"{at} >= {{since:DateTime64(3, 'UTC')}}", f"{at} < {{until:DateTime64(3, 'UTC')}}"]
        where += [_WHERE] if model is not None else []
        where += [f"{name} = {{{name}:String}}" for name in equal]
        parameters = {**_between(since, until), **(_named(model) if model is not None else {}), **equal}
        statement = f"SELECT * FROM {view} WHERE {' AND '.join(where)}{further} ORDER BY {order}"  # noqa: S608
        return self._frame(self._arrow(statement, parameters))

    def _arrow(self, statement: str, parameters: Mapping[str, Any]) -> Any:
        statement = statement.strip().rstrip(";")
        table = self._client.query_arrow(statement, parameters=dict(parameters), use_strings=True)
        if _SELECT.match(statement) and any(kind in _AMBIGUOUS for kind in table.schema.types):
            described = self._client.query(f"DESCRIBE ({statement})", parameters=dict(parameters))
            for place, (name, kind, *_) in enumerate(described.result_rows):
                table = table.set_column(place, name, _typed(table.column(place), kind))
        return table

    def _frame(self, table: Any) -> Any:
        if self._engine == "polars":
            import polars  # noqa: PLC0415  optional

            return polars.from_arrow(table)
        # A column of integers or booleans with nulls would become floats or objects.
        nullable = {name for name in table.column_names if table[name].null_count and table[name].type in _DTYPES}
        frame = table.select([name for name in table.column_names if name not in nullable]).to_pandas()
        for name in nullable:
            frame[name] = table[name].to_pandas(types_mapper=_DTYPES.get)
        for name in table.column_names:
            if pa.types.is_map(table[name].type):
                frame[name] = [None if pairs is None else dict(pairs) for pairs in table[name].to_pylist()]
        return frame[table.column_names]


_SELECT = re.compile(r"\(|select\b|with\b", re.IGNORECASE)
_ENUM = re.compile(r"'((?:[^'\\]|\\.)*)' = (-?\d+)")
_AMBIGUOUS = (pa.int8(), pa.int16(), pa.uint32())
"""How enums and times without a fraction arrive in Arrow: only the query's types tell them from numbers."""


def _typed(column: Any, kind: str) -> Any:
    """Names for the numbers of an enum, times for the seconds of a DateTime; everything else as it is."""
    if "Enum" in kind:
        names = {int(number): name for name, number in _ENUM.findall(kind)}
        return pa.array([None if value is None else names[value] for value in column.to_pylist()], pa.string())
    if "DateTime" in kind and column.type == pa.uint32():
        return column.cast(pa.int64()).cast(pa.timestamp("s", tz="UTC"))
    return column


_PLACES = "namespace, model, `partition`, prediction_offset, prediction_row, outcome_offset, outcome_row"
_WHERE = "namespace = {namespace:String} AND model = {model:String}"
_NO_SLICES = " AND slice_key IS NULL"
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def _named(model: str) -> dict[str, str]:
    namespace, _, name = model.rpartition("/")
    return {"namespace": namespace or "default", "model": name}


def _between(since: Instant, until: Instant) -> dict[str, datetime]:
    return {"since": _instant(since) or _FIRST, "until": _instant(until) or _LAST}


def _instant(value: Instant) -> datetime | None:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if value is None:
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _with_features(table: Any) -> Any:
    """Replace the column ``features`` by one column for each name in it, in order of first appearance."""
    rows = [json.loads(text) for text in table["features"].to_pylist()]
    names = dict.fromkeys(name for row in rows for name in row)
    table = table.drop_columns(["features"])
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            column = pa.array(values)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            # The owner changed the feature's kind meanwhile: text holds both.
            column = pa.array([None if value is None else str(value) for value in values])
        table = table.append_column(f"feature.{name}", column)
    return table
