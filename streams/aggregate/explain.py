"""What is said of a refused event to the person who sent it: the place, the value found there, and the way out.

Every explanation reads ``PLACE: FOUND; expected WHAT. WAY OUT.`` The place is a path (``$.features.temp``) or, where
the bytes are no JSON, a byte; the value is cut to :data:`SHOWN` characters, for it may be somebody's data. Slow, and
only for what is dead: the hot path has no business here.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

from schemas.windows import iso

SHOWN: Final = 80
"""Longest value that an explanation quotes, in characters."""


class Literally(str):
    """A piece of JSON that is shown as it was written: ``NaN``, ``1e400``."""

    __slots__ = ()


def explanation(place: str, found: str, expected: str, way_out: str) -> str:
    """One sentence about what is wrong and one about what to do."""
    return f"{place}: {found}; expected {expected}. {way_out}"


def shown(value: Any) -> str:
    """A value as JSON, cut to :data:`SHOWN` characters."""
    text = value if isinstance(value, Literally) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def is_number(text: str) -> bool:
    """Whether a text is a number that somebody put into quotes."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def path(*names: str) -> str:
    """``$.features.temp``; a name that is no plain word is quoted: ``$.features["a b"]``."""
    parts = [f".{n}" if re.fullmatch(r"\w{1,80}", n) else f"[{shown(n)}]" for n in names]
    return "$" + "".join(parts)


def empty() -> str:
    """The record has no value."""
    return explanation("$", "an empty value", "an event", "Nothing can be deleted on this topic: send no tombstones.")


def too_large(size: int, limit: int) -> str:
    """More bytes than an event may have."""
    return explanation(
        "$", f"{size:,} bytes", f"at most {limit:,}", "Send the features that the spec declares, not whole documents."
    )


def too_deep(limit: int) -> str:
    """Objects in objects in objects."""
    return explanation("$", f"more than {limit} levels", "an object of plain fields", "Flatten it before sending.")


def header(name: str, found: str, valid: Iterable[str]) -> str:
    """A CloudEvents header that promises something else."""
    return explanation(
        f"header {name}", shown(found), " or ".join(map(shown, valid)),
        "Correct it, or send the bare JSON without ce_ headers.",
    )  # fmt: skip


def unknown_model(key: str, known: Iterable[str]) -> str:
    """Nobody has declared the model ``namespace/model``."""
    near = _near(key, tuple(known))
    meant = f" (did you mean {' or '.join(near)}?)" if near else ""
    return explanation(
        "$.namespace, $.model", shown(key), f"a model whose spec is applied{meant}",
        "Correct the sender, or apply the spec and then: driftline dead-letters replay --reason unknown_model.",
    )  # fmt: skip


@lru_cache(1_000)
def _near(key: str, known: tuple[str, ...]) -> list[str]:
    return get_close_matches(key, known, 3)


def before_1970(event_time: str) -> str:
    """A time that no table holds."""
    way_out = "Correct the sender's clock, or the unit that it converts from."
    return explanation("$.event_time", f'"{event_time}"', "a time after 1970", way_out)


def from_future(event_time: int, log_ts: int, allowed: int) -> str:
    """An event time, in milliseconds, too far ahead of its record's."""
    return explanation(
        "$.event_time", f"{_instant(event_time)}, {_duration(event_time - log_ts)} after the broker took it",
        f"at most {_duration(allowed)} after {_instant(log_ts)} (windows.future_skew)",
        "Correct the sender's clock, or the time zone or unit that it converts from.",
    )  # fmt: skip


def too_old(event_time: int, log_ts: int, allowed: int) -> str:
    """An event time, in milliseconds, too far behind its record's."""
    return explanation(
        "$.event_time", f"{_instant(event_time)}, {_duration(log_ts - event_time)} before the broker took it",
        f"at most {_duration(allowed)} before {_instant(log_ts)} (windows.max_age)",
        "Correct the sender's clock, or the unit that it converts from; for a back-fill of older events apply a larger "
        "max_age before any is counted.",
    )  # fmt: skip


def _instant(ms: int) -> str:
    """A time, or the number of a broker's timestamp that no calendar has."""
    try:
        return iso(ms)
    except OverflowError:
        return f"{ms} ms since 1970"


def _duration(milliseconds: int) -> str:
    for unit, size in (("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if milliseconds >= size * (2 if unit == "days" else 1):
            return f"{milliseconds / size:,.1f}".removesuffix(".0") + f" {unit}"
    return f"{milliseconds} ms"


def missing_score(scores: Mapping[str, float], wanted: str) -> str:
    """No probability of the class that is tested."""
    return explanation(
        "$.scores", shown(dict(scores)), f"a probability of {shown(wanted)} (positive_class)",
        "Send the score of that class, spelled as in the spec.",
    )  # fmt: skip


def missing_scores(scores: Mapping[str, float], classes: Sequence[str]) -> str:
    """Probabilities of some classes only."""
    lacking = [name for name in classes if name not in scores]
    return explanation(
        "$.scores", shown(dict(scores)), f"a probability of every class, or none at all; {_some(lacking)} has none",
        "Send what is missing, spelled as in the spec, or leave scores out.",
    )  # fmt: skip


def no_class(field: str, value: Any, classes: Sequence[str]) -> str:
    """A prediction or a label that names no class of the spec."""
    return explanation(
        path(field), shown(value), f"{_some(classes)} (classes)",
        "Spell it as the spec does; a new class needs a model of another name.",
    )  # fmt: skip


def no_number(field: str, value: Any) -> str:
    """A prediction or a label of a regression that is no number."""
    quoted = isinstance(value, str) and is_number(value)
    return explanation(
        path(field), shown(value), "a number (task regression)",
        "Send the number without quotes." if quoted else "Send the number that was predicted or measured.",
    )  # fmt: skip


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(map(shown, names[:10])) + more


def wrong_kind(name: str, value: Any, kind: str) -> str:
    """A feature's value is of another kind than the spec declares (number, string or boolean)."""
    expected = {"number": "a number", "string": "a string", "boolean": "true or false"}[kind]
    quoted = kind == "number" and isinstance(value, str) and is_number(value)
    return explanation(
        path("features", name), shown(value), f"{expected} or null (kind {kind})",
        "Send the number without quotes." if quoted else "Send that kind, or declare another one in the model's spec.",
    )  # fmt: skip


def unknown_label(value: Any) -> str:
    """A label that names no class."""
    return explanation(
        "$.label", shown(value), "0 or 1, true or false, or the name of a class", "Send the class, not its code."
    )
