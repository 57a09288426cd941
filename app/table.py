"""A table of predictions (Parquet or CSV) as typed columns: what ``init``, ``replay`` and ``model register`` read.

Columns with a meaning: ``event_time``, ``prediction``, ``score`` or ``score_<class>``, ``label``, ``label_time``,
``prediction_id``, ``version``, ``latency_ms``. A spec says which of the others are features and segments; what neither
knows is left alone. Rows are numbered from 1, without the header.
"""

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from app.columns import Wrong, booleans, classes, instants, named, numbers, probabilities, texts
from schemas.spec import FeatureKind, ModelSpec

TEXTS = ("event_time", "label_time", "prediction_id", "version")
"""Columns that a CSV file must not be guessed a type for."""

NO_VERSION = "unknown"
"""Version of all rows of a table that has no such column."""


class TableError(SystemExit):
    """The table cannot be used; the text says where it is wrong, what is valid and what to do."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Rows in the order of event time (rows of one instant in the file's order).

    Attributes:
        event_time: ms since the epoch, ascending.
        prediction_id: of the file, or ``row-<number>``.
        version: of the file, or :data:`NO_VERSION`.
        features: by name in the spec's order: float64, string or bool arrays; null is a missing value.
        segments: tag -> string array.
        prediction: what was decided: numbers (regression), else names of classes; None without such a column (binary).
        scores: class -> probability in [0, 1], float64 with nulls.
        label: what really happened, as ``prediction``; null where it is not known; None without such a column.
        label_time: ms since the epoch, null where not given; None without such a column.
        latency_ms: float64 with nulls; None without such a column.
        notes: what a person should know about how the table was read.
    """

    event_time: NDArray[np.int64]
    prediction_id: list[str]
    version: list[str]
    features: dict[str, pa.Array]
    segments: dict[str, pa.Array]
    prediction: pa.Array | None
    scores: dict[str, pa.Array]
    label: pa.Array | None
    label_time: pa.Array | None
    latency_ms: pa.Array | None
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.event_time)


def load(path: Path, columns: Mapping[str, str] | None = None, *, as_text: Collection[str] = TEXTS) -> pa.Table:
    """A file as it is, with columns renamed.

    Args:
        path: ``.parquet``, ``.pq`` or ``.csv`` (also ``.csv.gz``), with a header.
        columns: our name -> the file's.
        as_text: our names of columns that a CSV file must not be guessed a type for.

    Raises:
        TableError: no such file, another format, broken, no rows, or a column to rename that is not there.
    """
    renames = dict(columns or {})
    if not path.is_file():
        raise TableError(f"{path}: no such file; name a Parquet or CSV file of predictions")
    name = path.name.lower()
    try:
        if name.endswith((".parquet", ".pq")):
            table = pq.ParquetFile(path).read()
        elif name.endswith((".csv", ".csv.gz")):
            table = _csv(path, [renames.get(column, column) for column in as_text])
        else:
            raise TableError(f"{path}: neither .parquet nor .csv; write the table as one of them")
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path}: cannot be read: {error}; write the file again") from None
    twice = sorted({column for column in table.column_names if table.column_names.count(column) > 1})
    if twice:
        raise TableError(f"{path}: columns named twice: {', '.join(twice)}; name each of them once")
    for ours, theirs in renames.items():
        if theirs not in table.column_names:
            raise TableError(f"{path}: --column {ours}={theirs}: {missing(theirs, table.column_names)}")
    if not len(table):
        raise TableError(f"{path}: 0 rows (columns: {', '.join(table.column_names)}); give it at least one prediction")
    back = {theirs: ours for ours, theirs in renames.items()}
    # A column that is in the way of a new name is not what the user means by it.
    kept = [column for column in table.column_names if column in back or column not in renames]
    return table.select(kept).rename_columns([back.get(column, column) for column in kept])


def read(
    path: Path,
    spec: ModelSpec,
    columns: Mapping[str, str] | None = None,
    *,
    timezone: str | None = None,
    scored: bool = True,
) -> Predictions:
    """Read a table by a model's spec.

    Args:
        path: see :func:`load`.
        spec: which columns are features and segments, of which kinds, and what the task needs.
        columns: our name -> the file's.
        timezone: IANA name of the zone of times that have none; None: such times are an error.
        scored: whether the columns of what the model answered are needed.

    Raises:
        TableError: with the file, the column, the row, the value, what is valid and what to do.
    """
    names = [feature.name for feature in spec.features if feature.kind == "string"]
    table = load(path, columns, as_text=(*TEXTS, *names, *spec.segments))
    reader = Reader(path, table, timezone)
    event_time = reader.needed("event_time", reader.times)
    order = np.argsort(event_time.to_numpy(), kind="stable")
    place = pa.array(order)
    notes = []
    if "prediction_id" in table.column_names:
        ids = reader.needed("prediction_id", texts)
    else:
        digits = len(str(len(table)))
        ids = pa.array([f"row-{row:0{digits}d}" for row in range(1, len(table) + 1)])
        notes.append("no column prediction_id: each row is a prediction of its own, named row-<number>")
    if "version" in table.column_names:
        version = reader.needed("version", texts).take(place).to_pylist()
    else:
        version = [NO_VERSION] * len(table)
    given = answers(reader, spec) if scored else (None, {})
    return Predictions(
        event_time=event_time.to_numpy()[order],
        prediction_id=ids.take(place).to_pylist(),
        version=version,
        features={f.name: reader.column(f.name, CONVERT[f.kind], "a feature").take(place) for f in spec.features},
        segments={tag: reader.column(tag, texts, "a segment").take(place) for tag in spec.segments},
        prediction=_take(given[0], place),
        scores={name: scores.take(place) for name, scores in given[1].items()},
        label=_take(label(reader, spec), place),
        label_time=_take(reader.optional("label_time", reader.times), place),
        latency_ms=_take(reader.optional("latency_ms", numbers), place),
        notes=tuple(notes),
    )


CONVERT: dict[FeatureKind, Any] = {"number": numbers, "string": texts, "boolean": booleans}
"""How a column becomes one of a kind."""


class Reader:
    """Converts columns of one table; what is wrong becomes a :class:`TableError` that names the place."""

    def __init__(self, path: Path, table: pa.Table, timezone: str | None) -> None:
        self.path = path
        self.table = table
        self._timezone = timezone

    def has(self, name: str) -> bool:
        """Whether the table has a column."""
        return name in self.table.column_names

    def times(self, column: pa.Array) -> pa.Array:
        """Convert times to ms since the epoch."""
        return instants(column, self._timezone)

    def column(self, name: str, convert: Any, use: str = "") -> pa.Array:
        """A column, converted; its nulls stay."""
        if not self.has(name):
            what = f"column {name!r} ({use} of the spec)" if use else f"column {name!r}"
            raise TableError(f"{self.path}: {what}: {missing(name, self.table.column_names)}{_way_out(name)}")
        column = self.table[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        try:
            return convert(column)
        except Wrong as wrong:
            raise TableError(f"{self.path}: column {name!r}{wrong}") from None

    def needed(self, name: str, convert: Any) -> pa.Array:
        """A column without nulls."""
        column = self.column(name, convert)
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0]) + 1
            raise TableError(
                f"{self.path}: column {name!r}, row {row}: no value; every prediction needs one "
                f"({column.null_count} of {len(column)} rows have none: fill or remove them)"
            )
        return column

    def optional(self, name: str, convert: Any) -> pa.Array | None:
        """A column if there is one."""
        return self.column(name, convert) if self.has(name) else None


def answers(reader: Reader, spec: ModelSpec) -> tuple[pa.Array | None, dict[str, pa.Array]]:
    """What the model decided, and its probabilities by class.

    Raises:
        TableError: a column that the task needs is missing or wrong.
    """
    if spec.task == "regression":
        return reader.needed("prediction", numbers), {}
    if spec.task == "multiclass":
        return _several(reader, spec.classes)
    positive = spec.positive_class
    own = f"score_{positive}"
    name = own if reader.has(own) or not reader.has("score") else "score"
    if not reader.has(name):
        raise TableError(
            f"{reader.path}: no column 'score' or {own!r} with the probability of {positive!r}: "
            f"{missing('score', reader.table.column_names)}{_way_out('score')}"
        )
    return reader.optional("prediction", classes), {positive: reader.needed(name, probabilities)}


def _several(reader: Reader, names: tuple[str, ...]) -> tuple[pa.Array, dict[str, pa.Array]]:
    """Predicted classes (the most probable ones, where the table does not say), and probabilities of all or of none."""
    there = [name for name in names if reader.has(f"score_{name}")]
    scores = {name: reader.needed(f"score_{name}", probabilities) for name in (names if there else ())}
    if reader.has("prediction") or not scores:
        return reader.needed("prediction", named(names)), scores
    best = np.argmax(np.column_stack([column.to_numpy() for column in scores.values()]), axis=1)
    return pa.array([names[place] for place in best]), scores


def label(reader: Reader, spec: ModelSpec) -> pa.Array | None:
    """What really happened, where the table says.

    Raises:
        TableError: a value is no label of the task.
    """
    convert = {"binary": classes, "multiclass": named(spec.classes), "regression": numbers}[spec.task]
    return reader.optional("label", convert)


def _take(column: pa.Array | None, place: pa.Array) -> pa.Array | None:
    return None if column is None else column.take(place)


def _csv(path: Path, as_text: Collection[str]) -> pa.Table:
    # Types are guessed from the first block: make it the whole file (of one that is packed, most of it).
    block = min(max(path.stat().st_size * (20 if path.suffix == ".gz" else 1), 1 << 20), 1 << 30)
    return pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=block),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(as_text, pa.string()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def missing(name: str, there: Collection[str]) -> str:
    """What is there instead of a column, and which of it was perhaps meant."""
    lower = {column.lower(): column for column in there}
    close = difflib.get_close_matches(name.lower(), lower, n=1)
    meant = f"did you mean {lower[close[0]]!r}? " if close else ""
    return f"not in the table; {meant}it has: {', '.join(there)}"


def _way_out(name: str) -> str:
    return f"; another name is told by --column {name}=NAME"


def parse_columns(options: Collection[str]) -> dict[str, str]:
    """``--column OURS=THEIRS`` options as a mapping.

    Raises:
        TableError: one is not of that form, or names the same column twice.
    """
    found: dict[str, str] = {}
    for option in options:
        ours, equals, theirs = option.partition("=")
        if not (ours and equals and theirs):
            raise TableError(f"--column {option}: write it as OURS=THEIRS, e.g. --column label=y_true")
        if ours in found or theirs in found.values():
            raise TableError(f"--column {option}: {ours!r} or {theirs!r} is named twice")
        found[ours] = theirs
    return found
