"""Raw rows of a batch say what those of its events would, to the letter."""

import math

import msgspec
import pyarrow as pa
from aggregate_world import START
from batch_world import TIME, batch_of_rows
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.columnar import bodies, read
from streams.aggregate.columns_text import prediction_columns

NUMBERS = (
    st.none() | st.floats() | st.integers(-(2**60), 2**60).map(float) | st.floats(1e-6, 1e-4) | st.floats(1e9, 1e11)
)
TEXTS = st.none() | st.text(st.characters(codec="utf-8"), max_size=5)


@given(st.lists(st.tuples(NUMBERS, NUMBERS, TEXTS, st.none() | st.booleans()), min_size=1, max_size=8))
@example([(1e-5, 1e10, "a", True), (0.1, -0.0, "%s", None), (2.5, 3.0, '"', False)])
@example([(0.25, 0.5, None, None), (0.75, 1e-7, "x", True)])
def test_features_are_written_as_those_of_an_event_alone(
    rows: list[tuple[float | None, float | None, str, bool]],
) -> None:
    # No event can be infinite: the careful way refuses it.
    told = [tuple(None if isinstance(value, float) and math.isinf(value) else value for value in row) for row in rows]
    names = {
        "feature.x": pa.float64(),
        'feature.a "b"': pa.float64(),
        "feature.c": pa.string(),
        "feature.d": pa.bool_(),
    }
    events = [
        {"prediction_id": str(place), "event_time": START, "version": "1"} | dict(zip(names, row, strict=True))
        for place, row in enumerate(told)
    ]
    kinds = {"prediction_id": pa.string(), "event_time": TIME, "version": pa.string()} | names
    batch = read("predictions", batch_of_rows(events, kinds))
    alone = [msgspec.json.encode(msgspec.json.decode(body)["features"]).decode() for body in bodies(batch)]
    assert prediction_columns(batch, range(len(rows)))["features"].to_pylist() == alone
    last = prediction_columns(batch, [len(rows) - 1])["features"].to_pylist()
    assert last == alone[-1:]
