"""Which columns can be features, and of which kind."""

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from detectors.reference import MAX_CATEGORIES
from schemas.spec import FeatureKind

UNIQUE = 0.5
"""A text of which more than this share of the values are different names or describes one row: nothing to compare."""

FEW_ROWS = 50
"""In fewer rows values are different by chance."""

_ID = re.compile(r"(^|_)(id|uuid|guid|key)$", re.IGNORECASE)
_LONGEST = 100
NAMELESS = "''"
"""How a column without a name is called."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A column; ``kind`` None: it is left out, and ``note`` says why."""

    name: str
    kind: FeatureKind | None
    note: str


def infer(name: str, column: pa.Array) -> Feature:
    """What a column can be, and what is in it, in a few words."""
    kind = column.type
    if not 0 < len(name) <= _LONGEST:
        long = f"a name of {len(name)} characters; at most {_LONGEST}"
        return Feature(
            name, None, long if name else "a column without a name, perhaps row numbers; name it to watch it"
        )
    if column.null_count == len(column):
        return Feature(name, None, "no values, so that its kind is not known")
    if pa.types.is_boolean(kind):
        return Feature(name, "boolean", _missing(column, f"{pc.mean(column.cast(pa.int8())).as_py():.0%} true"))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _text(name, column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return _number(name, column)
    return Feature(name, None, f"{kind} is neither number, text nor boolean; make it one of them to watch it")


def _text(name: str, column: pa.Array) -> Feature:
    values, different = _counts(column)
    if values >= FEW_ROWS and different > UNIQUE * values:
        return Feature(name, None, f"an id or free text: {different:,} different values in {values:,} rows")
    more = f"; the {MAX_CATEGORIES} most frequent are told apart" if different > MAX_CATEGORIES else ""
    return Feature(name, "string", _missing(column, f"{different:,} values{more}"))


def _number(name: str, column: pa.Array) -> Feature:
    values, different = _counts(column)
    if values >= FEW_ROWS and different == values and pa.types.is_integer(column.type) and _ID.search(name):
        return Feature(name, None, f"an id: a different number in each of {values:,} rows")
    numbers = column.cast(pa.float64(), safe=False)
    infinite = pc.sum(pc.is_inf(numbers)).as_py() or 0
    low, high = pc.min_max(numbers.filter(pc.is_finite(numbers))).as_py().values()
    if low is None:
        return Feature(name, None, "no finite value")
    what = f"always {low:g}" if low == high else f"{low:g} to {high:g}"
    more = f", and {infinite:,} infinite: leave those empty, replay takes none" if infinite else ""
    return Feature(name, "number", _missing(column, what + more))


def _counts(column: pa.Array) -> tuple[int, int]:
    """How many values, and how many different ones."""
    return len(column) - column.null_count, int(pc.count_distinct(column).as_py())


def _missing(column: pa.Array, what: str) -> str:
    return f"{what}, {column.null_count / len(column):.1%} missing" if column.null_count else what
