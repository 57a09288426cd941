"""What a replay sends, in which order, by which spec and reference."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from app.replay.events import Labels, chunks, labels, outcomes, predictions
from app.replay.plan import collected, last_tick, plan, replayed
from app.table import Predictions, TableError
from schemas.events import Outcome, Prediction
from schemas.spec import FeatureSpec, Metadata, Model, ModelSpec, ReferenceSpec, RetrainingSpec, WindowSpec
from schemas.windows import to_ms
from streams.aggregate.decode import Record, decode

HOUR = 3_600_000
DAY = 24 * HOUR
SPEC = ModelSpec(
    positive_class="yes",
    features=(FeatureSpec(name="age", kind="number"), FeatureSpec(name="plan", kind="string")),
    segments=("plan",),
    windows=WindowSpec(label_maturity=timedelta(days=2)),
    reference=ReferenceSpec(collect=timedelta(days=3), rows=100),
)
MODEL = Model(metadata=Metadata(namespace="team", name="churn"), spec=SPEC)


def table(
    times: list[int], label: list[str | None] | None = None, label_time: list[int | None] | None = None
) -> Predictions:
    rows = len(times)
    return Predictions(
        event_time=np.asarray(times, np.int64),
        prediction_id=[f"p{row}" for row in range(rows)],
        version=["1"] * rows,
        features={"age": pa.array([30.0] * (rows - 1) + [None]), "plan": pa.array(["a"] * (rows - 1) + [None])},
        segments={"plan": pa.array(["a"] * (rows - 1) + [None])},
        prediction=None,
        scores={"yes": pa.array([0.25] * rows)},
        label=None if label is None else pa.array(label),
        label_time=None if label_time is None else pa.array(label_time, pa.int64()),
        latency_ms=None,
    )


def test_rows_become_the_events_that_a_service_would_have_sent() -> None:
    rows = table([5 * HOUR, 7 * HOUR], ["no", "yes"], [None, 9 * HOUR])
    sent = [body for _, body in predictions(rows, ("team", "churn"), slice(0, 2))]
    events = [decode(Record("predictions", 0, 0, 0, body)) for body in sent]
    first, second = (event for event in events if isinstance(event, Prediction))
    assert (first.namespace, first.model, first.version, first.prediction_id) == ("team", "churn", "1", "p0")
    assert (to_ms(first.event_time), first.scores, first.features) == (
        5 * HOUR,
        {"yes": 0.25},
        {"age": 30, "plan": "a"},
    )
    assert (first.segments, second.segments, second.features) == ({"plan": "a"}, {}, {"age": None, "plan": None})
    known = labels(rows, SPEC)
    told = list(outcomes(rows, known, ("team", "churn"), slice(0, 2)))
    assert [key for key, _ in told] == [b"team/churn/p1", b"team/churn/p0"]
    later = [decode(Record("outcomes", 0, 0, 0, body)) for _, body in told]
    assert [(event.label, to_ms(event.event_time)) for event in later if isinstance(event, Outcome)] == [
        ("yes", 9 * HOUR),
        ("no", 5 * HOUR + 2 * DAY),
    ]


def test_chunks_end_with_windows_and_hold_everything_once() -> None:
    rows = table([0, 1, DAY - 1, DAY, 2 * DAY, 2 * DAY + 1, 9 * DAY])
    known = Labels(np.arange(7), np.asarray([0, DAY, 2 * DAY - 1, 2 * DAY, 3 * DAY, 11 * DAY, 12 * DAY]))
    found = [(c.rows.start, c.rows.stop, c.labels.start, c.labels.stop) for c in chunks(rows, known, SPEC, 2)]
    assert found == [(0, 3, 0, 1), (3, 6, 1, 4), (6, 7, 4, 7)]
    assert [(c.rows.stop, c.labels.stop) for c in chunks(rows, known, SPEC, 100)] == [(7, 7)]


@pytest.mark.parametrize(
    ("times", "label_time", "days"),
    [
        ([0, 5 * HOUR], None, 3),  # tested two days after the window's end
        ([0, 5 * HOUR], [HOUR, 9 * DAY], 10),  # a label that comes later is counted, too
    ],
)
def test_the_last_tick_leaves_nothing_untested(
    times: list[int], label_time: list[int | None] | None, days: int
) -> None:
    rows = table(times, ["yes", "no"], label_time)
    assert last_tick(rows, labels(rows, SPEC), SPEC) == days * DAY


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([day * DAY + HOUR for day in range(10)], (3, 3 * DAY)),  # the time is up first
        ([HOUR] * 99 + [DAY] * 20 + [2 * DAY] * 9, (119, 2 * DAY)),  # the rows are full first: their window's end
        ([HOUR] * 5 + [20 * DAY] * 5, (5, 3 * DAY)),  # the time is up in a window without rows
        ([HOUR] * 5, (5, 3 * DAY)),
    ],
)
def test_the_first_rows_become_the_reference(times: list[int], expected: tuple[int, int]) -> None:
    assert collected(table(times), SPEC) == expected


def test_the_reference_takes_effect_when_it_is_full() -> None:
    found = plan(MODEL, table([day * DAY for day in range(10)], ["yes"] * 10), None, path=Path("t.parquet"))
    assert [(r.generation, r.effective_from, r.reference is None) for r in found.records] == [
        (0, 0, True),
        (1, 3 * DAY, False),
    ]
    assert (found.reference.rows, found.judged_from, found.end) == (3, 3 * DAY, 12 * DAY)
    own = plan(MODEL, table([0], ["yes"]), table([0, DAY], ["yes", "no"]), path=Path("t.parquet"))
    assert [(r.generation, r.reference is None) for r in own.records] == [(0, False)]
    assert own.judged_from == 0


def test_nothing_is_trained_and_nothing_is_from_the_future() -> None:
    spec = replayed(SPEC.model_copy(update={"retraining": RetrainingSpec(enabled=True)}))
    assert not spec.retraining.enabled
    assert min(spec.windows.future_skew, spec.windows.max_age) > timedelta(days=100 * 365)
    assert ModelSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_a_table_that_is_all_reference_is_told() -> None:
    with pytest.raises(TableError, match=r"nothing is left to judge: .* the table has 2 rows .*--reference FILE"):
        plan(MODEL, table([0, DAY], ["yes", "no"]), None, path=Path("t.parquet"))


def test_a_table_of_too_many_windows_is_told() -> None:
    with pytest.raises(TableError, match=r"are 30,001 windows of 1 day, .*make spec.windows.width wider"):
        plan(MODEL, table([0, 30_000 * DAY], ["yes", "no"]), None, path=Path("t.parquet"))
