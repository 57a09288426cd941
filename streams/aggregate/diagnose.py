"""Where the bytes of a refused event stop to be JSON, or to be the event that was promised."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from schemas.events import SOURCE_EVENTS, Outcome, Prediction, Progress
from streams.aggregate.explain import SHOWN, Literally, explanation, is_number, path, shown

_NAME = "a string of 1 to 200 characters"
_LABEL = "a string, a number, true or false"

EXPECTED: Final[Mapping[str, str]] = {
    "namespace": _NAME,
    "model": _NAME,
    "version": _NAME,
    "prediction_id": _NAME,
    "event_time": 'RFC 3339 text with an offset, as "2013-02-01T06:00:00Z"',
    "features": "an object of feature -> number, string, true, false or null",
    "features.": "a number, a string, true, false or null",
    "prediction": f"{_LABEL}, or null",
    "scores": "an object of class -> probability",
    "scores.": "a number from 0 to 1",
    "latency_ms": "a number of milliseconds, 0 or more, or null",
    "segments": "an object of tag -> string",
    "segments.": "a string",
    "role": '"champion", "canary" or "shadow"',
    "label": _LABEL,
    "type": '"progress"',
}
"""Field of an event, or field and a dot for the values in it -> what may be there."""

WAYS_OUT: Final[Mapping[str, str]] = {
    "namespace": "Name the namespace that the model's spec is applied in.",
    "model": "Name the model as its spec does.",
    "version": "Name the version that answered.",
    "prediction_id": "Give each prediction an id of its own, and its outcome the same one.",
    "event_time": "Send the time as text, with Z or an offset like +01:00.",
    "features": "Send {} when there are none.",
    "scores": "Send the probability of each class by its name.",
    "segments": "Leave it out when there are none.",
    "prediction": "Leave it out, or send the class or the number that was decided.",
    "type": "Leave it out, except for a progress record.",
    "features.": "Flatten what is nested into features of their own.",
    "scores.": "Send probabilities; percent must be divided by 100, and log-odds put through the logistic function.",
    "latency_ms": "Leave it out when it was not measured.",
    "segments.": "Write numbers as text.",
    "label": "Send the outcome when it is known.",
    "role": "Leave it out for the champion.",
}

_FINITE_WAY_OUT = "Numbers must fit a double, and NaN and Infinity are none: send null for a value that is missing."

_BEGINNINGS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\xef\xbb\xbf", "It begins with a byte-order mark: send UTF-8 without one."),
    (b"\xff\xfe", "It looks like UTF-16: send UTF-8."),
    (b"\xfe\xff", "It looks like UTF-16: send UTF-8."),
    (b"\x1f\x8b", "It looks like gzip: let the Kafka client compress (compression.type), not the service."),
    (b"\x00", "It looks like Avro or Protobuf with a Schema Registry's header: send JSON to this topic."),
)
_SAID = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)")
_ARTICLE: Final[Mapping[type, str]] = {
    Prediction: "a prediction",
    Outcome: "an outcome",
    Progress: "a progress record",
}
_MISSING: Final = object()
_JSON_WAY_OUT = "Send one JSON object per record, made by a JSON library rather than by pasting text together."


def undecodable(value: bytes, error: Exception) -> str:
    """Why bytes are no JSON.

    Args:
        value: of the record, not empty.
        error: what the decoder raised.
    """
    if isinstance(error, UnicodeDecodeError):
        place, expected, way_out = error.start, "UTF-8", "Encode the text as UTF-8."
    else:
        for where, number in _not_finite(value):
            return explanation(where, shown(number), "a finite number or null", _FINITE_WAY_OUT)
        place, why = _malformed(value, error)
        expected, way_out = f"JSON ({why})", _JSON_WAY_OUT
    for beginning, hint in _BEGINNINGS:
        if value.startswith(beginning):
            place, way_out = 0, hint
            break
    start = max(0, place - SHOWN // 4)
    near = value[start : start + SHOWN // 2].decode(errors="backslashreplace")
    near = re.sub(r"[\x00-\x1f\x7f\ufeff]", lambda match: f"\\u{ord(match[0]):04x}", near)[:SHOWN]
    found = f"near {near}" if place < len(value) else f"the end, after {near}"
    return explanation(f"byte {place} of {len(value)}", found, expected, way_out)


def _malformed(value: bytes, error: Exception) -> tuple[int, str]:
    """The byte at which JSON ends to be JSON, and why."""
    if said := _SAID.fullmatch(str(error)):
        return int(said[2]), said[1]
    try:
        json.loads(value.decode(), parse_int=float)  # Python refuses to read an int of more than 4300 digits
    except json.JSONDecodeError as found:
        return len(found.doc[: found.pos].encode()), found.msg.lower().removesuffix(" starting at")
    half = re.search(rb"\\u[dD][89a-fA-F]", value)
    return half.start() if half else len(value), "half of a surrogate pair"


def invalid(value: bytes, kind: type, error: Exception) -> str | None:
    """Which field of a JSON value keeps it from being an event of ``kind``; None when it is no JSON further on.

    Args:
        value: of the record: JSON.
        kind: the struct of :mod:`schemas.events` that was expected.
        error: what the decoder raised; quoted when the field cannot be found again.
    """
    try:
        body = _parsed(value)
    except ValueError:
        return None
    if isinstance(body, dict) and body.get("type") == "progress":
        kind = Progress
    what = _ARTICLE[kind]
    if not isinstance(body, dict):
        return explanation("$", shown(body), f"an object with the fields of {what}", _JSON_WAY_OUT)
    for topic, other in SOURCE_EVENTS.items():
        if other is not kind and _fits(body, other):
            return explanation("$", _ARTICLE[other], what, f"Send it to the topic of {topic}.")
    if (wrong := _first_wrong(body, kind)) is not None:
        return wrong
    way_out = f"A name comes twice, and once with a wrong value: {str(error)[:200]}."
    return explanation("$", shown(body), what, way_out)


def _first_wrong(body: dict[str, Any], kind: type) -> str | None:
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        if name not in body:
            if field.required:
                return _wrong((name,), _MISSING)
            continue
        found = body[name]
        if isinstance(found, dict) and f"{name}." in EXPECTED:
            for inner, item in found.items():
                if isinstance(item, Literally) or not _fits({inner: item}, field.type):
                    return _wrong((name, inner), item)
        elif isinstance(found, Literally) or not _fits(found, field.type):
            return _wrong((name,), found)
    return None


def _wrong(names: tuple[str, ...], found: Any) -> str:
    field = names[0] + "." * (len(names) > 1)
    way_out = WAYS_OUT[field]
    if isinstance(found, Literally):
        way_out = _FINITE_WAY_OUT
    elif isinstance(found, str) and "number" in EXPECTED[field] and is_number(found):
        way_out = "Send the number without quotes."
    return explanation(path(*names), "missing" if found is _MISSING else shown(found), EXPECTED[field], way_out)


def _fits(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _number(text: str) -> Any:
    if math.isinf(float(text)):
        return Literally(text)
    return float(text) if re.search("[.eE]", text) else int(text)


def _parsed(value: bytes) -> Any:
    """The JSON value with NaN and Infinity let through as :class:`Literally`.

    Raises:
        ValueError: it is no JSON either way, or has half of a surrogate pair.
    """
    found = json.loads(value.decode(), parse_constant=Literally, parse_float=_number, parse_int=_number)
    json.dumps(found, ensure_ascii=False).encode()
    return found


def _not_finite(value: bytes) -> Iterator[tuple[str, Literally]]:
    """The places of numbers that are none, when that is all that keeps the bytes from being JSON."""
    try:
        yield from _walk(_parsed(value), ())
    except ValueError:
        return


def _walk(value: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Literally]]:
    if isinstance(value, Literally):
        yield path(*names), value
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for name, item in items:
        yield from _walk(item, (*names, str(name)))
