"""``driftline init``: propose a model's document from a table of its predictions.

Reading order: ``task`` (what is predicted), ``features`` (columns and their kinds), ``times`` (windows, maturity and
the reference, from how many rows there are and how late labels come), ``text`` (the YAML with its reasons).
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path

import pyarrow as pa
import yaml
from pydantic import ValidationError

from app.propose import features, task, text, times
from app.table import Reader, TableError, load, missing
from schemas.spec import NAME_PATTERN, Model

MEANT = ("event_time", "prediction", "score", "label", "label_time", "prediction_id", "version", "latency_ms")
"""Columns that are no features, beside ``score_<class>``."""


def document(
    path: Path,
    columns: Mapping[str, str],
    segments: Collection[str],
    *,
    name: str | None = None,
    timezone: str | None = None,
) -> tuple[str, list[str]]:
    """The proposed document as YAML with comments, and what a person should look at.

    Args:
        path: Parquet or CSV file.
        columns: our name -> the file's.
        segments: columns whose values are watched by themselves.
        name: of the model; None: the file's.
        timezone: IANA name of the zone of times that have none.

    Raises:
        TableError: the table cannot be used, or says too little.
    """
    if name is not None and not re.fullmatch(NAME_PATTERN, name):
        raise TableError(
            f"--name {name!r}: no name of a model; valid: up to 100 letters, digits, _, . and -, the first a letter or "
            "a digit"
        )
    table = load(path, columns)
    segments = list(dict.fromkeys(segments))
    reader = Reader(path, table, timezone)
    for segment in segments:
        if segment not in table.column_names:
            raise TableError(f"{path}: --segment {segment}: {missing(segment, table.column_names)}")
        if "=" in segment:
            raise TableError(f"{path}: --segment {segment}: a segment cannot have '=' in its name; rename the column")
    found_task = task.infer(reader)
    rest = [column for column in table.column_names if column not in MEANT and column not in found_task.score_columns]
    found = [features.infer(column, plain(table, column)) for column in rest]
    if not any(feature.kind for feature in found):
        raise TableError(f"{path}: no column can be a feature; it has: {', '.join(table.column_names)}")
    timing = times.infer(reader)
    proposed = text.write(
        path=path, name=name, task=found_task, features=found, segments=segments, timing=timing, table=table
    )
    try:
        Model.model_validate(yaml.safe_load(proposed))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise TableError(f"{path}: what the table says is no valid document: {wrong}") from None
    skipped = [
        f"{feature.name or features.NAMELESS} is left out: {feature.note}" for feature in found if not feature.kind
    ]
    return proposed, [*found_task.notes, *timing.notes, *skipped]


def plain(table: pa.Table, column: str) -> pa.Array:
    """A column in one piece, not as codes."""
    values = table[column].combine_chunks()
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
