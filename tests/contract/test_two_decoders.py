"""Whatever comes, stage 1 and ``driftline reconcile`` judge it alike, and nothing but a reason comes out of either."""

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app import recount
from schemas.events import SourceTopic
from streams.aggregate.decode import Record, Refused, decode

_TIMES = st.sampled_from(
    [
        "2013-02-01T05:00:00Z",
        "2013-02-01t05:00:00.123456789z",
        "2013-02-01 05:00:00+01:00",
        "2013-02-01T05:00:00+0100",
        "2013-02-01T05:00:00",
        "2013-02-01T24:00:00Z",
        "2013-02-01T05:00:60Z",
        "2013-02-30T05:00:00Z",
        "2013-02-01T05:00:00-24:00",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2013-02-01T05:00Z",
        "2013-02-01",
        "١٣-02-01T05:00:00Z",
    ]
)
_SCALARS = st.sampled_from(
    ["null", "true", "0", "-0", "1", "1.5", "2", "-1", "1e400", "-1e400", "9" * 400, "NaN", "Infinity", "-Infinity",
     '"x"', '""', '"\\ud800"', '"\\udc00"', '"\\ud83d\\ude00"', '"é"', '"champion"', '"progress"', "[]", "{}",
     '"' + "x" * 200 + '"', '"' + "x" * 201 + '"', "01", "1.", "'x'", '"\t"', '"\\u0000"', "[1,[2]]"]
)  # fmt: skip
_NAMES = st.sampled_from(["x", "late", "", "a b", "é", "type"])
_OBJECTS = st.lists(st.tuples(_NAMES, _SCALARS), max_size=3).map(
    lambda pairs: "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in pairs) + "}"
)
_VALUES = _SCALARS | _TIMES.map(json.dumps) | _OBJECTS

_GOOD = {
    "namespace": '"demo"', "model": '"delays"', "version": '"1"', "prediction_id": '"a"', "label": '"late"',
    "event_time": '"2013-02-01T05:00:00Z"', "features": '{"x":1}', "scores": '{"late":0.5}', "prediction": "null",
    "latency_ms": "1", "segments": '{"origin":"JFK"}', "role": '"champion"', "type": '"progress"', "unknown": "[]",
}  # fmt: skip
_FIELDS = st.sampled_from(sorted(_GOOD))


@st.composite
def _texts(draw: st.DrawFn) -> str:
    """An event with some fields missing, wrong, or there twice; as text, for Python's JSON cannot say all of it."""
    left_out = draw(st.sets(_FIELDS, max_size=3)) | draw(st.sampled_from([set[str](), {"type"}]))
    pairs = [(name, value) for name, value in _GOOD.items() if name not in left_out]
    for name, value in draw(st.lists(st.tuples(_FIELDS, _VALUES), max_size=2)):
        if draw(st.booleans()):
            pairs = [pair for pair in pairs if pair[0] != name]
        pairs.insert(draw(st.integers(0, len(pairs))), (name, value))
    return "{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}"


def judged(topic: SourceTopic, value: bytes) -> tuple[str, str]:
    """What each decoder makes of the bytes: a kind of event, or ``dead``."""
    detail = "byte 0: x; expected y. z."
    try:
        first = type(decode(Record(topic, 0, 0, 0, value))).__name__.lower()
    except Refused as refused:
        first, detail = "dead", refused.detail
    assert re.fullmatch(r"(\$|byte \d).*: .+; expected .+\. .+\.", detail), detail
    try:
        second = recount.decode(topic, value, None).kind
    except recount.Dead:
        second = "dead"
    return first, second


@settings(max_examples=1_500)
@given(topic=st.sampled_from(["predictions", "outcomes"]), text=_texts())
def test_fields_that_are_missing_wrong_or_doubled(topic: Any, text: str) -> None:
    first, second = judged(topic, text.encode())
    assert first == second, text


@settings(max_examples=500)
@given(
    topic=st.sampled_from(["predictions", "outcomes"]),
    text=_texts(),
    at=st.floats(0, 1, exclude_max=True),
    inserted=st.binary(max_size=3),
    cut=st.integers(0, 3),
)
def test_bytes_that_were_damaged(topic: Any, text: str, at: float, inserted: bytes, cut: int) -> None:
    whole = text.encode()
    place = int(at * len(whole))
    first, second = judged(topic, whole[:place] + inserted + whole[place + cut :])
    assert first == second


@given(st.binary(max_size=200))
def test_bytes_that_are_anything(value: bytes) -> None:
    first, second = judged("predictions", value)
    assert first == second == "dead"


@settings(max_examples=20)
@given(depth=st.integers(1, 100_000), opening=st.sampled_from(['{"a":', "["]))
def test_nesting_of_any_depth_is_an_answer_and_no_end(depth: int, opening: str) -> None:
    nested = opening * depth + "1" + {"[": "]", "{": "}"}[opening[0]] * depth
    text = "{" + ",".join(f'"{name}":{value}' for name, value in {**_GOOD, "unknown": nested}.items()) + "}"
    first, second = judged("predictions", text.encode()[:500_000])
    assert judged("predictions", (opening * depth).encode()[:900]) == ("dead", "dead"), "nothing is closed"
    assert first == second == ("prediction" if depth < 500 else "dead")
