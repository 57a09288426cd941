"""Convert one column of a table; what cannot be converted is told with its row and value."""

from collections.abc import Callable, Collection
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_ZONED = r"\d\d:\d\d.*(Z|z|[+-]\d\d(:?\d\d)?)$"
_SHOWN = 80
"""Characters of a value that a message shows."""


class Wrong(ValueError):
    """A column cannot be used; the text follows the column's name."""


def show(value: Any) -> str:
    """A value for a message, cut when it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def numbers(column: pa.Array) -> pa.Array:
    """float64; nan becomes null.

    Raises:
        Wrong: a value is no finite number.
    """
    if pa.types.is_null(column.type):
        return column.cast(pa.float64())
    if _is_text(column.type):
        column = _each(column, float, pa.float64(), "a number")
    elif not (
        pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)
    ):
        raise Wrong(f": {column.type}, must be numbers; mend the column, or the kind in the spec")
    # A whole number above 2^53 is rounded, as it is in JSON.
    values = column.cast(pa.float64(), safe=False)
    values = pc.if_else(pc.is_nan(values), None, values)
    _refuse(values, pc.is_inf(values), "a finite number; leave it empty if it is not known")
    return values


def probabilities(column: pa.Array) -> pa.Array:
    """float64 in [0, 1].

    Raises:
        Wrong: a value is none.
    """
    values = numbers(column)
    outside = pc.or_(pc.less(values, 0.0), pc.greater(values, 1.0))
    _refuse(values, outside, "a probability in [0, 1]; a raw score must be turned into one first")
    return values


def booleans(column: pa.Array) -> pa.Array:
    """Booleans.

    Raises:
        Wrong: they are something else.
    """
    if pa.types.is_boolean(column.type) or pa.types.is_null(column.type):
        return column.cast(pa.bool_())
    raise Wrong(f": {column.type}, must be booleans; mend the column, or the kind in the spec")


def texts(column: pa.Array) -> pa.Array:
    """Strings; whole numbers and booleans are written out, as ids and codes often are numbers in a table.

    Raises:
        Wrong: they are something else.
    """
    kind = column.type
    if _is_text(kind) or pa.types.is_null(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return column.cast(pa.string())
    raise Wrong(f": {kind}, must be text; mend the column, or the kind in the spec")


def classes(column: pa.Array) -> pa.Array:
    """Names of classes: 0 and 1 (or booleans) as they are, everything else as text.

    Raises:
        Wrong: a number that is not whole.
    """
    if pa.types.is_floating(column.type):  # integers with gaps, as pandas writes them
        values = numbers(column)
        _refuse(values, pc.not_equal(values, pc.round(values)), "the name of a class")
        column = values.cast(pa.int64())
    if pa.types.is_boolean(column.type):
        return column
    if pa.types.is_integer(column.type) and set(pc.unique(column).to_pylist()) <= {0, 1, None}:
        return column
    return texts(column)


def named(names: Collection[str]) -> Callable[[pa.Array], pa.Array]:
    """A conversion to text in which every value is one of ``names``."""

    def convert(column: pa.Array) -> pa.Array:
        values = texts(classes(column))
        known = pc.is_in(values, value_set=pa.array(sorted(names), pa.string()))
        _refuse(values, pc.and_(values.is_valid(), pc.invert(known)), f"one of spec.classes ({', '.join(names)})")
        return values

    return convert


def instants(column: pa.Array, timezone: str | None) -> pa.Array:
    """Milliseconds since the epoch.

    Args:
        column: timestamps, dates or RFC 3339 text.
        timezone: IANA name of the zone of times that have none; None: such times are an error.

    Raises:
        Wrong: a time without a zone, a mixture, an unknown zone, or something that is no time.
    """
    if timezone is not None:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise Wrong(f": --tz {timezone}: no such time zone; e.g. UTC, Europe/Berlin") from None
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return _milliseconds(column)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if timezone is None:
            raise Wrong(f": {kind} has no time zone; say which one is meant: --tz UTC")
        return _milliseconds(_localize(column.cast(pa.timestamp("us"), safe=False), timezone))
    if pa.types.is_null(kind):
        return column.cast(pa.int64())
    if not _is_text(kind):
        raise Wrong(
            f": {kind} is no time; write timestamps with a zone, or text like 2024-05-01T12:00:00Z (numbers could be "
            "seconds or milliseconds)"
        )
    return _parsed(column, timezone)


def _parsed(column: pa.Array, timezone: str | None) -> pa.Array:
    zoned = pc.match_substring_regex(column, _ZONED)
    naive = pc.invert(zoned)
    if timezone is None and pc.any(naive).as_py():
        bare, row = _first(column, naive)
        if not pc.any(zoned).as_py():
            raise Wrong(f", row {row}: {show(bare)} has no time zone; say which one is meant: --tz UTC")
        other, other_row = _first(column, zoned)
        raise Wrong(
            f", row {row}: {show(bare)} has no time zone, but row {other_row}: {show(other)} has one; write all with "
            "one, or say which one is meant where there is none: --tz UTC"
        )
    with_zone = _timestamps(pc.if_else(zoned, column, None), pa.timestamp("ns", "UTC"))
    if timezone is None or not pc.any(naive).as_py():
        return _milliseconds(with_zone)
    local = _localize(_timestamps(pc.if_else(naive, column, None), pa.timestamp("ns")), timezone)
    return pc.coalesce(_milliseconds(with_zone), _milliseconds(local))


def _timestamps(column: pa.Array, kind: pa.DataType) -> pa.Array:
    def parse(text: str) -> Any:
        return pa.scalar(text).cast(kind)

    try:
        return column.cast(kind)
    except pa.ArrowInvalid:
        return _each(column, parse, kind, "a time like 2024-05-01T12:00:00Z")


def _localize(column: pa.Array, timezone: str) -> pa.Array:
    """Of an hour that a change of the clocks repeats or leaves out, the earlier meaning."""
    return pc.assume_timezone(column, timezone, ambiguous="earliest", nonexistent="earliest")


def _milliseconds(column: pa.Array) -> pa.Array:
    # Cut, not rounded, and towards the past before 1970 as well.
    utc = column.cast(pa.timestamp(column.type.unit, "UTC"))
    return pc.floor_temporal(utc, unit="millisecond").cast(pa.timestamp("ms", "UTC")).cast(pa.int64())


def _each(column: pa.Array, parse: Callable[[str], Any], kind: pa.DataType, valid: str) -> pa.Array:
    values = []
    for row, text in enumerate(column.to_pylist(), start=1):
        try:
            values.append(None if text is None else parse(text))
        except (ValueError, pa.ArrowInvalid):
            raise Wrong(f", row {row}: {show(text)} is not {valid}") from None
    return pa.array(values, kind)


def _refuse(column: pa.Array, wrong: pa.Array, valid: str) -> None:
    if pc.any(wrong).as_py():
        value, row = _first(column, wrong)
        raise Wrong(f", row {row}: {show(value)} is not {valid}")


def _first(column: pa.Array, mask: pa.Array) -> tuple[Any, int]:
    """The first value under a mask, and its row."""
    place = int(np.flatnonzero(pc.fill_null(mask, fill_value=False).to_numpy(zero_copy_only=False))[0])
    return column[place].as_py(), place + 1


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
