"""The native decoder says what the careful one says, or nothing; and of plain events it says all."""

import gc
import json
import random
import sys
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("driftline_native", reason="not built: that needs a C compiler and Python's headers")

import native_world as world
from driftline_native import MAX_EVENT_BYTES, Decoder, Plan

from benchmarks import events
from schemas import events as wire
from schemas.events import SourceTopic
from streams.aggregate.models import Models

TOPICS: tuple[SourceTopic, ...] = ("predictions", "outcomes")
GOLDEN = Path(__file__).parents[2] / "contract" / "golden" / "dead_letters.json"
EVENT = {
    "namespace": "demo", "model": "delay", "version": "1", "prediction_id": "a-1",
    "event_time": "2013-02-01T05:00:00Z", "features": {"x": 1.5, "höhe": 2, "origin": "JFK", "wet": True, "half": None},
    "prediction": "late", "scores": {"late": 0.25}, "latency_ms": 1.5, "segments": {"origin": "JFK"}, "role": "shadow",
}  # fmt: skip
OUTCOME = {
    "namespace": "demo", "model": "delay", "prediction_id": "a-1", "event_time": "2013-02-01T05:00:00Z",
    "label": "late",
}  # fmt: skip


def text(event: dict[str, Any], **given: Any) -> bytes:
    return json.dumps(event | given, ensure_ascii=False).encode()


def is_sure(value: bytes, topic: SourceTopic = "predictions") -> bool:
    return world.check(world.decoder(), topic, [value]) == [0]


# JSON texts, since Python's objects cannot say all that a sender can.
_SPACE = st.sampled_from(["", "", "", " ", "\n\t", "\r "])
_FLOATS = st.floats(allow_nan=False, allow_infinity=False).map(repr)
_DIGITS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?\Z")
_NUMBERS = st.integers(-(2**70), 2**70).map(str) | _FLOATS | _DIGITS | st.sampled_from(["-0", "-0.0", "0", "1", "0.5"])
_WORDS = st.sampled_from(
    ["late", "cat", "3", "true", "EWR", "JFK", "Nürnberg", "champion", "canary", "shadow", "", "x", "🛫"]
)
_STRINGS = (_WORDS | st.text(max_size=12)).map(lambda s: json.dumps(s, ensure_ascii=False)) | _WORDS.map(json.dumps)
_ODD = st.sampled_from(
    ["NaN", "Infinity", "1e400", "01", "1.", ".5", "+1", "1_0", "'x'", '"\\ud800"', '"\t"', '"\x7f"', "tru", "[]", "{}",
     "[1,[2]]", '{"a":{"b":[1,null]}}', "[" * 20 + "]" * 20, '"' + "x" * 200 + '"', '"' + "é" * 201 + '"', "9" * 70]
)  # fmt: skip
_SCALARS = _NUMBERS | _STRINGS | st.sampled_from(["true", "false", "null"])
_UNIT = st.floats(0, 1).map(repr) | st.sampled_from(["0", "1", "-0", "0.5", "1e-3"])
_BOOLEANS = st.sampled_from(["true", "false", "null"])
_KINDS = {"x": _NUMBERS, "höhe": _NUMBERS, 'quo"ted': _NUMBERS, "origin": _STRINGS, "wet": _BOOLEANS, "half": _BOOLEANS}


@st.composite
def _objects(draw: st.DrawFn, members: dict[str, st.SearchStrategy[str]], others: st.SearchStrategy[str]) -> str:
    """An object of some of these members and others, now and then with one twice or of another kind."""
    names = draw(
        st.lists(st.sampled_from([*members, "other", "", "a b"]), max_size=6, unique=draw(st.integers(0, 9)) > 0)
    )
    odd = draw(st.integers(0, 9)) == 0
    pairs = [(name, draw(others if odd else members.get(name, others))) for name in names]
    parts = [f"{draw(_SPACE)}{json.dumps(name, ensure_ascii=False)}{draw(_SPACE)}:{value}" for name, value in pairs]
    return "{" + f"{draw(_SPACE)},".join(parts) + "}"


@st.composite
def _times(draw: st.DrawFn) -> str:
    zone = draw(
        st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=23, minutes=59))])
    )
    at = draw(st.datetimes(datetime(1969, 12, 30), datetime(9999, 12, 30), timezones=st.just(zone)))  # noqa: DTZ001
    whole = at.isoformat()
    fraction = draw(st.just("") | st.from_regex(r"\A\.[0-9]{1,11}\Z"))
    base = at.replace(microsecond=0).isoformat()
    ending = draw(st.sampled_from([base[19:], "Z", "z", "", "-00:00", "+0100", "+24:00", "+01"]))
    return draw(
        st.sampled_from(
            [whole, whole.replace("+00:00", "Z"), base[:19] + fraction + ending, base[:19].replace("T", " ") + "Z"]
        )
    )


_IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), min_size=1, max_size=8)
_CLASSES = {"cat": _UNIT, "3": _UNIT, "true": _UNIT}
_PLAIN: dict[str, st.SearchStrategy[str]] = {
    "namespace": st.just('"demo"'),
    "model": st.just('"delay"'),
    "prediction_id": _IDS.map(lambda s: f'"{s}"'),
    "event_time": st.just('"2013-02-01T05:00:00Z"') | _times().map(json.dumps),
    "version": st.sampled_from(['"1"', '"v2"', '"größer"']),
    "features": _objects(_KINDS, _SCALARS),
    "prediction": _SCALARS,
    "scores": st.just('{"late":0.25}') | _objects({"late": _UNIT}, _UNIT),
    "latency_ms": st.floats(0, 1e6).map(repr) | _NUMBERS | st.just("null"),
    "segments": _objects({"origin": _STRINGS, "cabin": _STRINGS}, _STRINGS),
    "role": st.sampled_from(['"champion"', '"canary"', '"shadow"']),
    "label": _STRINGS | _BOOLEANS | st.sampled_from(["0", "1", "1.0", "2", "-0.0"]),
    "type": st.sampled_from(['"progress"', "1"]),
    "unknown": _SCALARS | _ODD,
}
_OF_MODELS: dict[str, dict[str, st.SearchStrategy[str]]] = {
    "delay": {},
    "animal": {
        "prediction": st.sampled_from(['"cat"', "3", "true", '"3"', '"true"', "3.0", "3.5", '"dog"', "null"]),
        "scores": st.just('{"3":0.25,"cat":0.5,"true":0}') | st.just("{}") | _objects(_CLASSES, _UNIT),
        "label": st.sampled_from(['"cat"', "3", "true", "3.5", '"dog"']),
    },
    "price": {"prediction": _NUMBERS | _SCALARS, "scores": _objects({}, _UNIT), "label": _NUMBERS | _SCALARS},
}
_FIELDS = st.sampled_from(sorted(_PLAIN))


@st.composite
def _events(draw: st.DrawFn) -> tuple[SourceTopic, bytes]:
    """An event with its fields in any order: mostly right, with some missing, odd, or there twice."""
    topic = draw(st.sampled_from(TOPICS))
    optional = st.sets(st.sampled_from(["unknown", "type", "latency_ms", "segments", "role"]))
    left_out = draw(optional) | draw(st.sampled_from([*[set[str]()] * 6, {"version"}, {"features"}, {"model"}]))
    model = draw(st.sampled_from(sorted(_OF_MODELS)))
    fields = _PLAIN | {"model": st.just(json.dumps(model))} | _OF_MODELS[model]
    pairs = [(name, draw(values)) for name, values in fields.items() if name not in left_out]
    if draw(st.booleans()):
        pairs = draw(st.permutations(pairs))
    for name, value in draw(
        st.lists(st.tuples(_FIELDS, _ODD | _SCALARS), max_size=draw(st.sampled_from([0, 0, 0, 2])))
    ):
        if draw(st.booleans()):
            pairs = [pair for pair in pairs if pair[0] != name]
        pairs.insert(draw(st.integers(0, len(pairs))), (name, value))
    body = f"{draw(_SPACE)},".join(
        f'{draw(_SPACE)}"{name}"{draw(_SPACE)}:{draw(_SPACE)}{value}' for name, value in pairs
    )
    return topic, f"{draw(_SPACE)}{{{body}{draw(_SPACE)}}}{draw(_SPACE)}".encode("utf-8", "surrogatepass")


@settings(max_examples=400)
@given(batch=st.lists(_events(), min_size=1, max_size=4))
def test_whatever_it_says_of_generated_events_the_careful_decoder_says(batch: list[tuple[SourceTopic, bytes]]) -> None:
    decoder = world.decoder()
    for topic in TOPICS:
        world.check(decoder, topic, [value for _, value in batch])


@settings(max_examples=400)
@given(
    event=_events(),
    at=st.floats(0, 1, exclude_max=True),
    inserted=st.binary(max_size=3) | st.sampled_from([b'"', b"\\", b"{", b"}", b",", b"0", b"\xc3", b"-"]),
    cut=st.integers(0, 3),
)
def test_whatever_it_says_of_damaged_events_the_careful_decoder_says(
    event: tuple[SourceTopic, bytes], at: float, inserted: bytes, cut: int
) -> None:
    topic, whole = event
    place = int(at * len(whole))
    world.check(world.decoder(), topic, [whole[:place] + inserted + whole[place + cut :], whole])


@settings(max_examples=400)
@given(_NUMBERS)
def test_numbers_are_the_nearest_double(number: str) -> None:
    value = text(EVENT, features={"x": 12345.5}).replace(b"12345.5", number.encode())
    world.check(world.decoder(), "predictions", [value])


@pytest.mark.parametrize(
    "number",
    ["0.1", "1e22", "1e23", "123456789012345678", "9007199254740993", "0.30000000000000004", "8.41e21",
     "2.2250738585072011e-308", "179769313486231580000", "5e-324", "0.000001", "18446744073709551615",
     "9007199254740992.5", "1234567.8901234567", "0.9999999999999999", "4503599627370497.5",
     "4503599627370496.5", "-0.0", "-0"],
)  # fmt: skip
def test_numbers_near_the_edges_of_a_double_are_decoded_here(number: str) -> None:
    assert is_sure(text(EVENT, features={"x": 12345.5}).replace(b"12345.5", number.encode()))


def test_numbers_of_many_digits_are_rounded_once() -> None:
    """One in a thousand lies so near the middle between two doubles that only the rest of the division decides."""
    rng = random.Random(1)
    numbers = [f"{rng.randrange(10**4)}.{rng.randrange(10**15):015}" for _ in range(20_000)]
    values = [text(EVENT, features={"x": 12345.5}).replace(b"12345.5", number.encode()) for number in numbers]
    batch = world.decoder().predictions(values, False)
    [(_, found, _, _)] = batch.blocks.values()
    assert np.frombuffer(found).reshape(len(values), -1)[:, 0].tolist() == [float(number) for number in numbers]


def test_times_near_the_edges_of_the_calendar() -> None:
    days = [
        "1970-01-01",
        "1999-12-31",
        "2000-02-29",
        "2023-02-29",
        "2024-02-29",
        "2100-02-28",
        "2100-02-29",
        "2400-02-29",
    ]
    days += [
        "2013-04-31",
        "2013-00-10",
        "2013-13-01",
        "2013-01-00",
        "9998-12-31",
        "9999-12-31",
        "1969-12-31",
        "0001-01-01",
    ]
    clocks = ["00:00:00", "23:59:59", "23:59:60", "24:00:00", "00:60:00", "05:06:07.0009994", "05:06:07.0009995"]
    clocks += [
        "05:06:07.9999994",
        "05:06:07.9999995",
        "05:06:07.1",
        "05:06:07.",
        "05:06:07.123456789",
        "05:06:07.1234567891",
    ]
    zones = ["Z", "+00:00", "-00:00", "+00:01", "-00:01", "+23:59", "-23:59", "+24:00", "+05:60", "+0530", "z", ""]
    times = [f"{day}T{clock}{zone}" for day in days for clock in clocks for zone in zones]
    sure = world.check(world.decoder(), "outcomes", [text(OUTCOME, event_time=at) for at in times])
    assert {times[row][19:] for row in sure} >= {"Z", "+00:00", "-23:59", ".0009995Z", ".123456789Z", ".0009994+23:59"}


def test_nothing_of_an_event_stays_for_the_next() -> None:
    full, bare = EVENT | {"latency_ms": 2, "role": "canary"}, {k: EVENT[k] for k in list(EVENT)[:5]}
    values = [text(full), text(bare, features={}, scores={"late": 1}), text(full), text(bare, features={}, scores={})]
    assert world.check(world.decoder(), "predictions", values) == [0, 1, 2]


def test_a_name_that_comes_twice_is_seen_where_it_was_the_event_before_too() -> None:
    first = text(EVENT, features={"x": 1, "origin": "JFK"})
    twice = first.replace(b'"x": 1', b'"origin": "EWR"')
    assert world.check(world.decoder(), "predictions", [first, twice, first]) == [0, 2]


def test_segments_that_read_alike_have_codes_of_their_own() -> None:
    told = [{"origin": "a", "cabin": "b"}, {"origin": "acabin=b"}, {"cabin": "b"}, {"origin": "a"}, {}]
    decoder = world.decoder()
    assert len(world.check(decoder, "predictions", [text(EVENT, segments=segments) for segments in told])) == len(told)
    assert len(decoder.segments) == len(told)


@pytest.mark.parametrize("topic", TOPICS)
def test_no_golden_dead_letter_is_decoded_here(topic: SourceTopic) -> None:
    """But for what is judged with the record: its headers, and how far it is ahead of the broker's timestamp."""
    letters = [letter for letter in json.loads(GOLDEN.read_text()) if letter["topic"] == topic]
    by_value = [a for a in letters if "headers" not in a and a["reason"] not in ("from_future", "too_old")]
    values = [bytes.fromhex(letter["hex"]) if "hex" in letter else letter["text"].encode() for letter in by_value]
    assert len(values) >= 8
    categories = (("carrier", "string", ()), ("near_holiday", "boolean", ()))
    plan = Plan("demo", "delays", ("distance",), categories, ("origin",), "binary", ("late",))
    assert set(np.frombuffer(getattr(Decoder([plan]), topic)(values, True).model, np.int32)) == {-1}


def test_every_plain_event_is_decoded_here() -> None:
    """No silent fall to the slow path: the benchmark's events, and what json.dumps and msgspec write."""
    [shape] = events.shapes(1)
    values = list(events.Maker([shape]).predictions(0, events.spread(0, 2_000, 2_000, events.HOUR_MS)))
    models = Models()
    models.learn(events.record(shape))
    [layout] = models.layouts.values()
    assert layout.plan is not None
    bench = Plan(*layout.plan)
    batch = Decoder([bench]).predictions(values, True)
    assert not np.frombuffer(batch.model, np.int32).any()
    assert [len(column) for column in batch.blocks[0]] == [2_000 * 4, 2_000 * 7 * 8, 2_000 * 3 * 4, 0]
    times = ("2013-02-01T05:00:00Z", "2013-02-01T05:00:00.123456+01:00", "2013-02-01T05:00:00.123456789Z")
    sent = [
        text(EVENT, features={"x": x / 7, "origin": origin}, event_time=at)
        for x in range(50)
        for origin in ("JFK", "München")
        for at in times
    ]
    assert len(world.check(world.decoder(), "predictions", sent)) == len(sent)
    labels = [text(OUTCOME, label=label) for label in ("late", "early", 0, 1, True, False, 1.0)]
    assert len(world.check(world.decoder(), "outcomes", labels)) == len(labels)


def test_the_order_of_the_fields_is_the_senders() -> None:
    fields = sorted(EVENT)
    assert fields[0] == "event_time", "features and scores before the model"
    assert is_sure(json.dumps(EVENT, sort_keys=True, ensure_ascii=False).encode())
    assert is_sure(json.dumps(dict(reversed(EVENT.items())), ensure_ascii=False).encode())


@pytest.mark.parametrize(
    ("model", "answer", "scores"),
    [
        ("animal", "cat", {"cat": 0.5, "3": 0.25, "true": 0.25}),
        ("animal", 3, {}),
        ("animal", True, {"cat": 0, "3": 0, "true": 1, "unheard": 0.5}),
        ("price", 0.1, {}),
        ("price", 1e300, {}),
        ("delay", 12.5, {"late": 1}),
        ("delay", None, {"late": 0, "early": 1}),
    ],
)
def test_every_task_is_decoded_here(model: str, answer: Any, scores: dict[str, float]) -> None:
    assert is_sure(text(EVENT, model=model, prediction=answer, scores=scores))


@pytest.mark.parametrize(
    "given",
    [
        {"features": {"x": "1"}}, {"features": {"wet": "true"}}, {"features": {"origin": 1}}, {"features": {"x": True}},
        {"features": {"x": [1]}}, {"features": None}, {"features": {"x": 10**400}}, {"scores": {}},
        {"scores": {"late": 1.5}}, {"scores": {"late": 0.5, "early": -0.1}}, {"role": "boss"}, {"role": None},
        {"latency_ms": -1}, {"model": "unheard"}, {"version": ""}, {"version": "v" * 201}, {"prediction_id": ""},
        {"prediction": []}, {"segments": {"origin": 7}}, {"event_time": "2013-02-30T05:00:00Z"},
        {"event_time": "1969-12-31T23:59:59Z"}, {"event_time": "2013-02-01T05:00:60Z"},
        {"event_time": "2013-02-01T24:00:00Z"}, {"event_time": "2013-02-01T05:00:00"}, {"event_time": 1359694800},
        {"model": "animal", "prediction": "dog"}, {"model": "animal", "prediction": None},
        {"model": "animal", "prediction": "cat", "scores": {"cat": 0.5}}, {"model": "price", "prediction": "1"},
        {"model": "price", "prediction": True}, {"unknown": "x" * MAX_EVENT_BYTES},
    ],
)  # fmt: skip
def test_what_the_careful_decoder_refuses_is_left_to_it(given: dict[str, Any]) -> None:
    value = text(EVENT, **given)
    assert world.careful("predictions", value) is None
    assert not is_sure(value)


@pytest.mark.parametrize(
    "value",
    [
        text(EVENT).replace(b'"JFK"', b'"J\\u0046K"'),
        text(EVENT).replace(b'"version"', b'"versi\\u006fn"'),
        text(EVENT).replace(b'"x": 1.5', b'"x": 1.5, "x": 1.5'),
        text(EVENT).replace(b'"x": 1.5', b'"new": 1, "new": 1, "x": 1.5'),
        text(EVENT).replace(b'"role"', b'"version": "1", "role"'),
        text(EVENT).replace(b"2013-02-01T", b"2013-02-01 "),
        text(EVENT, unknown=[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]),
        text(EVENT, features={f"f{i}": i for i in range(300)}),
    ],
)
def test_what_is_unusual_is_left_to_the_careful_decoder(value: bytes) -> None:
    assert world.careful("predictions", value) is not None
    assert not is_sure(value)


@pytest.mark.parametrize(
    "value", [None, b"", b"{}", b"null", b"[", b'{"namespace":"demo","model":"delay"}', b"\xff", b"\0"]
)
def test_what_is_no_event_is_left_to_the_careful_decoder(value: bytes | None) -> None:
    for topic in TOPICS:
        assert world.check(world.decoder(), topic, [value]) == []


def test_every_prefix_and_every_cut_of_an_event_is_left_or_right() -> None:
    whole = text(EVENT, unknown=[1, {"a": None}])
    damaged = [whole[:size] for size in range(len(whole))] + [whole[:at] + whole[at + 1 :] for at in range(len(whole))]
    damaged += [
        whole[:at] + bytes([byte]) + whole[at + 1 :] for at in range(len(whole)) for byte in b'\0 "\\}]09,:\x80\xff'
    ]
    world.check(world.decoder(), "predictions", damaged)


def test_the_largest_event_is_the_protocols() -> None:
    assert MAX_EVENT_BYTES == wire.MAX_EVENT_BYTES
    plain = text(EVENT)
    assert is_sure(plain + b" " * (MAX_EVENT_BYTES - len(plain)))
    assert not is_sure(plain + b" " * (MAX_EVENT_BYTES + 1 - len(plain)))


def test_a_feature_of_two_kinds_is_left_to_the_careful_decoder_unless_it_is_null() -> None:
    plan = Plan("demo", "delay", ("x", "wet"), (("wet", "boolean", ("true",)),), (), "binary", ("late",))
    for value, model in ((1, -1), (True, -1), ("1", -1), (None, 0)):
        found = Decoder([plan]).predictions([text(EVENT, features={"x": 1, "wet": value})], False)
        assert np.frombuffer(found.model, np.int32)[0] == model


def test_texts_are_made_when_they_are_asked_for() -> None:
    batch = world.decoder().predictions([text(EVENT)], False)
    assert batch.texts == {}
    assert world.decoder().outcomes([text(OUTCOME)], False).texts == {}


def test_codes_are_kept_from_batch_to_batch_and_are_the_same_for_all_models() -> None:
    decoder = world.decoder()
    decoder.predictions(
        [text(EVENT, version="1"), text(EVENT, version="2", model="animal", prediction="cat", scores={})], False
    )
    again = decoder.predictions(
        [text(EVENT, version="2"), text(EVENT, version="3", segments={"cabin": "y", "origin": "ü"})], False
    )
    assert np.frombuffer(again.version, np.int32).tolist() == [1, 2]
    assert decoder.versions == ["1", "2", "3"]
    assert decoder.segments == [("origin=JFK",), (), ("origin=ü", "cabin=y")]


def test_codes_come_to_an_end_and_new_texts_are_left_to_the_careful_decoder() -> None:
    decoder, most = world.decoder(), 65_536
    found = decoder.predictions(
        [text(EVENT, version=f"v{i}") for i in range(most + 2)] + [text(EVENT, version="v7")], False
    )
    models = np.frombuffer(found.model, np.int32)
    assert len(decoder.versions) == most
    assert np.flatnonzero(models < 0).tolist() == [most, most + 1]


@pytest.mark.parametrize(
    ("plans", "error", "says"),
    [
        (["demo"], TypeError, "must be tuples"),
        ([("demo", "delay")], TypeError, "argument"),
        ([("d", "m", (), (), (), "ranking", ())], ValueError, "'ranking' with 0 classes; it must be"),
        ([("d", "m", (), (), (), "binary", ())], ValueError, "'binary' with 0 classes"),
        ([("d", "m", (), (("a", "text", ()),), (), "regression", ())], ValueError, "kind 'text' of feature 'a'"),
        ([("d", "m", (), (("a", "string", ("x", "x")),), (), "regression", ())], ValueError, "'x' is there twice"),
        ([("d", "m", (), ("a",), (), "regression", ())], TypeError, "(name, kind, categories)"),
        ([("d", "m", (1,), (), (), "regression", ())], TypeError, ""),
        ([("d", "m", (), (), ("t", "t"), "regression", ())], ValueError, "tags: 't' is there twice"),
        ([("d", "m", ("\ud800",), (), (), "regression", ())], UnicodeEncodeError, ""),
        ([("d", "m\0", (), (), (), "regression", ())], ValueError, "zero"),
        ([("d", "m", (), (), (), "regression", ())] * 2, ValueError, "two plans of one model"),
        (7, TypeError, ""),
    ],
)
def test_a_wrong_plan_is_refused(plans: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as refused:
        Decoder(plans)
    assert says in str(refused.value)


def test_it_keeps_nothing_of_a_batch() -> None:
    """Memory and references after many batches, refusals and wrong plans are those after a few."""
    decoder = world.decoder()
    values = [text(EVENT, prediction=1.5), text(EVENT, model="animal", prediction="cat", scores={}), b"{", None]
    labels = [text(OUTCOME), text(OUTCOME, model="price", label=0.1), b"{", None]
    broken = [("d", "m", ("x",), (("a", "string", ("x", "y")), ("b", "string", ("x", "x"))), (), "regression", ())]

    def work() -> None:
        for _ in range(200):
            decoder.predictions(values, True)
            decoder.outcomes(labels, True)
            Decoder(world.PLANS).predictions(values, False)
            with suppress(ValueError):
                Decoder(broken)
            with suppress(TypeError):
                decoder.predictions(7, True)  # type: ignore[arg-type]
        gc.collect()

    work()
    references = [sys.getrefcount(value) for value in [*values, *labels]]
    tracemalloc.start()
    try:
        work()
        before = tracemalloc.get_traced_memory()[0]
        work()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 200 * 16, "less than a pointer per batch"
    # None is shared by all of Python: its references move by a few, not by one per row.
    now = [sys.getrefcount(value) for value in [*values, *labels]]
    assert all(
        abs(a - b) < 200 if v is None else a == b for v, a, b in zip([*values, *labels], references, now, strict=True)
    )
