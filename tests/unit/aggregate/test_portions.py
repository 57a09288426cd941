"""Messages that mean far more than their bytes are unfolded a portion at a time, and mean the same."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from batch_world import DICTIONARY, HEADERS, TEXT, TIME, arrow, batch_of_rows
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from streams.aggregate.batch import Batch

KINDS = {"prediction_id": TEXT, "event_time": TIME, "label": DICTIONARY}
MOST = 5

_messages = st.lists(
    st.tuples(st.integers(0, 2), st.one_of(st.integers(1, 4), st.sampled_from(["alone", "broken", "headed"]))),
    max_size=12,
)


def message(partition: int, offset: int, what: int | str) -> Message:
    headers: Any = HEADERS
    if isinstance(what, int):
        rows = [{"prediction_id": f"{offset}-{row}", "event_time": row, "label": "late"} for row in range(what)]
        value = batch_of_rows(rows, KINDS)
    else:
        value, headers = what.encode(), {"alone": None, "broken": HEADERS, "headed": [("ce_type", b"x")]}[what]
    return Message(
        topic="outcomes", partition=partition, offset=offset, key=b"k", value=value, headers=headers,
        timestamp=(2, 1_000 + offset),
    )  # fmt: skip


def said(portions: Sequence[Batch]) -> list[Any]:
    """Each record in its order, however they are cut."""
    return [
        (
            *(column[place] for column in (part.partition.tolist(), part.offset.tolist(), part.log_ts.tolist())),
            part.values[place],
            part.record(place),
            part.row.tolist()[place],
        )
        for part in portions
        for place in range(len(part))
    ]


@given(_messages, st.lists(st.integers(1, MOST), min_size=40, max_size=40))
def test_portions_say_what_the_whole_says_in_its_order(made: list[tuple[int, int | str]], bounds: list[int]) -> None:
    messages = [message(partition, offset, what) for offset, (partition, what) in enumerate(made)]
    positions = {0: 0, 1: 3}  # of partition 2 nothing is asked for
    whole = list(Batch.of_messages("outcomes", messages, positions))
    portions = list(Batch.of_messages("outcomes", messages, positions, iter(bounds).__next__))
    assert len(whole) <= 1
    assert said(portions) == said(whole)
    assert sum(part.size for part in portions) == sum(part.size for part in whole)
    for part, most in zip(portions, bounds, strict=False):
        assert len(part) <= most or len(set(part.offset.tolist())) == 1, "a message is not cut"
        for at, batch in part.columnar:
            assert [part.record(place).key for place in at.tolist()] == [
                f"default/delay/{name}".encode() for name in batch.columns["prediction_id"].values.to_pylist()
            ]


def test_a_text_that_a_dictionary_says_once_counts_for_every_row() -> None:
    rows, text = 10_000, "x" * 6_000
    columns = {
        "prediction_id": pa.array(["same"] * rows, DICTIONARY),
        "event_time": pa.array(range(rows), TIME),
        "label": pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text])),
    }
    value = arrow(columns)
    bombs = [
        Message(topic="outcomes", partition=0, offset=n, value=value, headers=HEADERS, timestamp=(2, n))
        for n in range(5)
    ]
    sizes = [part.size for part in Batch.of_messages("outcomes", bombs, {0: 0})]
    assert len(sizes) == len(bombs), "each would fill the memory by itself"
    assert all(rows * len(text) < size < 64_500_000 for size in sizes)
    assert sum(map(len, (value for _ in bombs))) < 1_000_000
