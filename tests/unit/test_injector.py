"""Faults are exclusive, repeatable and as frequent as said, and the books equal what is really sent."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.demo.flights import FEATURES, Flights, step_of, step_on, step_start
from app.demo.injector import CORRUPTED, DELAYED, RESENT, Injector, tally
from app.demo.step import Answer, Identity, Message, content
from app.demo.summary import COMPARED
from schemas.events import SOURCE_EVENTS, Outcome, Prediction, Role
from schemas.windows import from_ms, to_ms

FIRST = step_on(datetime(2013, 1, 1, tzinfo=UTC).date())
LAST = FIRST + 4
ROWS = 1_500


def flights() -> Flights:
    """Made-up flights over four steps; every seventh never arrives, others arrive up to two days later."""
    departures = [from_ms(step_start(FIRST)) + timedelta(minutes=4 * 24 * 60 * row // ROWS) for row in range(ROWS)]
    arrivals = [
        None if row % 7 == 0 else departure + timedelta(minutes=30 + row % 900)
        for row, departure in enumerate(departures)
    ]
    value = {"string": "x", "number": 1.0, "boolean": True}
    return Flights(
        pa.table(
            {
                "prediction_id": [f"flight-{row:05d}" for row in range(ROWS)],
                "departure": pa.array(departures, pa.timestamp("ms", "UTC")),
                "arrival": pa.array(arrivals, pa.timestamp("ms", "UTC")),
                "late": [None if arrival is None else row % 5 == 0 for row, arrival in enumerate(arrivals)],
                **{name: [value[kind]] * ROWS for name, kind in FEATURES.items()},
            }
        )
    )


FLIGHTS = flights()
IDENTITY = Identity("demo", "flight-delay")


def versions(step: int) -> list[str]:
    return ["0"] if step < FIRST + 2 else ["1", "2"]


def answers(step: int) -> list[Answer]:
    rows = FLIGHTS.departing(step).num_rows
    roles: tuple[Role, Role] = ("champion", "shadow")
    return [Answer(name, roles[at], np.full(rows, 0.3), 0.01) for at, name in enumerate(versions(step))]


def sent(injector: Injector) -> dict[int, list[Message]]:
    """All messages of all steps."""
    steps, before = {}, list[Answer]()
    for step in range(FIRST, LAST + 1):
        now = answers(step) if step < LAST else []
        steps[step] = content(FLIGHTS, step, now, before, injector=injector, identity=IDENTITY)
        before = now
    return steps


def decoded(message: Message) -> Prediction | Outcome | None:
    try:
        event: Prediction | Outcome = msgspec.json.decode(message.body, type=SOURCE_EVENTS[message.topic])
    except msgspec.DecodeError:
        return None
    if isinstance(event, Prediction):
        return event if isinstance(event.features["distance"], float | int) else None
    return event if isinstance(event.label, str) else None


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_books_equal_what_is_sent(seed: int) -> None:
    """The books are written from hashes alone; here every message is looked at, as driftline would."""
    tallies: Counter[str] = Counter()
    seen: set[tuple[str, str, str]] = set()
    pairs: dict[str, list[int]] = {}
    records = 0
    for step, messages in sent(Injector(seed)).items():
        for message in messages:
            records += 1
            event = decoded(message)
            if event is None:
                tallies[f"{message.topic}.dead"] += 1
                continue
            version = event.version if isinstance(event, Prediction) else ""
            if (message.topic, version, message.prediction_id) in seen:
                tallies[f"{message.topic}.duplicate"] += 1
                continue
            seen.add((message.topic, version, message.prediction_id))
            late = isinstance(event, Prediction) and step_of(to_ms(event.event_time)) < step
            tallies[f"{message.topic}.late" if late else f"{message.topic}.counted"] += 1
            pairs.setdefault(message.prediction_id, [0, 0])[message.topic == "outcomes"] += 1
    books = tally(FLIGHTS, FIRST, LAST, versions, Injector(seed))
    assert {name: n for name, n in books["tallies"].items() if n} == dict(tallies)
    assert books["events_in"] == records
    assert books["events_in"] == sum(books[name] for name in COMPARED[1:])
    assert books["pairs_joined"] == sum(predictions * outcomes for predictions, outcomes in pairs.values())
    assert books["outcomes_unmatched"] == sum(outcomes for predictions, outcomes in pairs.values() if not predictions)


def test_faults_are_as_frequent_as_said() -> None:
    injector = Injector(7)
    n = 200_000
    fates = Counter(injector.prediction("1", f"id-{row}") for row in range(n))
    resent = fates["resent"] + fates["resent at the end"]
    for found, share in ((fates["corrupted"], CORRUPTED), (fates["delayed"], DELAYED), (resent, RESENT)):
        assert found == pytest.approx(n * share, abs=5 * (n * share) ** 0.5)
    assert fates.total() == n


def test_the_same_seed_repeats_the_same_bytes() -> None:
    assert sent(Injector(11)) == sent(Injector(11))
    assert sent(Injector(11)) != sent(Injector(12))


def test_a_shadow_has_a_fate_of_its_own() -> None:
    injector = Injector(3)
    fates = [(injector.prediction("1", f"id-{row}"), injector.prediction("2", f"id-{row}")) for row in range(20_000)]
    assert any(served == "sent" and shadow == "corrupted" for served, shadow in fates)


def reason(body: bytes) -> str:
    """Why driftline's decoder refuses a body."""
    try:
        kind: type[Prediction | Outcome] = Prediction if b'"version"' in body else Outcome
        event = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        return str(error).split(" - ")[-1]
    except msgspec.DecodeError:
        return "NaN" if b"NaN" in body else "cut off"
    if isinstance(event, Prediction):
        return "accepted" if event.features["distance"] != "far" else "wrong kind"
    return "accepted" if isinstance(event.label, str) else "unknown label"


@pytest.mark.parametrize(
    ("topic", "reasons"),
    [
        ("predictions", {"cut off", "NaN", "wrong kind", "at `$.scores[...]`"}),
        ("outcomes", {"cut off", "unknown label", "at `$.label`", "at `$.event_time`"}),
    ],
)
def test_every_way_of_corruption_is_used_and_none_can_be_read(topic: str, reasons: set[str]) -> None:
    injector = Injector(5)
    event = json.loads(next(m.body for m in sent(injector)[FIRST] if m.topic == topic))
    bodies = [injector.corrupt(json.dumps(event | {"prediction_id": f"id-{n}"}).encode()) for n in range(200)]
    assert {reason(body) for body in bodies} == reasons


def test_timely_events_come_in_the_order_of_event_time() -> None:
    events = [decoded(message) for message in sent(Injector(1))[FIRST]]
    copies = [event for event in events if event is not None]
    first_copy = next(n for n in range(len(copies) - 1) if copies[n].event_time > copies[n + 1].event_time)
    assert len(copies) - first_copy < 0.05 * len(copies), "only the copies at the end are out of order"
