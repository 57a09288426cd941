"""Golden messages of all that can be wrong with an event: the place, the value and the way out, word for word."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app import recount
from schemas.events import MAX_EVENT_BYTES, Outcome, Prediction, Progress
from schemas.models import ModelRecord
from schemas.windows import from_ms
from streams.aggregate.accept import accept
from streams.aggregate.decode import Record, Refused, decode
from streams.aggregate.diagnose import EXPECTED, WAYS_OUT
from streams.aggregate.explain import SHOWN
from streams.aggregate.models import Models

GOLDEN = Path(__file__).parent / "golden"
MODEL = msgspec.json.decode((GOLDEN / "model.json").read_bytes(), type=ModelRecord)
LOG_TS = 1_359_698_400_000
"""The broker's timestamp of every golden message: 2013-02-01T06:00:00Z."""

LETTERS = [
    pytest.param(letter, id=f"{letter['topic']}: {letter['name']}")
    for letter in json.loads((GOLDEN / "dead_letters.json").read_text())
]


def record(letter: dict[str, Any]) -> Record:
    """The record of a golden letter as stage 1 reads it."""
    value = bytes.fromhex(letter["hex"]) if "hex" in letter else letter["text"].encode()
    headers = [(name, text.encode()) for name, text in letter.get("headers", {}).items()]
    return Record(letter["topic"], 0, 0, LOG_TS, value, headers or None)


@pytest.fixture(scope="module")
def models() -> Models:
    known = Models()
    known.learn(MODEL)
    return known


@pytest.mark.parametrize("letter", LETTERS)
def test_the_message_is_the_golden_one(models: Models, letter: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        accept(record(letter), models)
    assert (refused.value.reason, refused.value.detail) == (letter["reason"], letter["detail"])


@pytest.mark.parametrize("letter", LETTERS)
def test_it_has_the_place_the_value_and_the_way_out(letter: dict[str, Any]) -> None:
    found = re.fullmatch(r"(\$\S*|\$\.namespace, \$\.model|\$.*\"\]|byte .*|header .*?): (.+); expected (.+?)\. (.+)\.",
                         letter["detail"])  # fmt: skip
    assert found, letter["detail"]
    assert len(found[2]) < 4 * SHOWN


@pytest.mark.parametrize("letter", LETTERS)
def test_the_second_decoder_buries_it_too(letter: dict[str, Any]) -> None:
    count = recount.Recount([MODEL])
    dead = record(letter)
    count.record((letter["topic"], 0), recount.Row(0), LOG_TS, value=dead.value, headers=dead.headers)
    assert count.dead


@pytest.mark.parametrize("size", [MAX_EVENT_BYTES + 1, 2_000_000])
def test_too_many_bytes_are_said_with_the_limit(size: int) -> None:
    with pytest.raises(Refused) as refused:
        decode(Record("predictions", 0, 0, LOG_TS, b" " * size))
    assert str(refused.value) == (
        f"too_large: $: {size:,} bytes; expected at most 500,000. Send the features that the spec declares, not whole "
        "documents."
    )


def test_a_tombstone_is_an_empty_value() -> None:
    with pytest.raises(Refused, match="an empty value; expected an event"):
        decode(Record("outcomes", 0, 0, LOG_TS, None))


def test_every_field_of_every_event_has_an_expectation_and_a_way_out() -> None:
    fields = {field.encode_name for kind in (Prediction, Outcome, Progress) for field in msgspec.structs.fields(kind)}
    assert fields <= set(EXPECTED)
    assert set(EXPECTED) == set(WAYS_OUT)


def test_a_secret_in_a_long_value_is_cut(models: Models) -> None:
    event = Prediction(
        namespace="demo", model="delays", version="1", prediction_id="1", scores={"late": 0.5},
        event_time=from_ms(LOG_TS),
        features={"distance": "x" * SHOWN + "secret"},
    )  # fmt: skip
    with pytest.raises(Refused) as refused:
        accept(Record("predictions", 0, 0, LOG_TS, msgspec.json.encode(event)), models)
    assert "secret" not in refused.value.detail
