"""The truth that measurements are held to is what a plain reading of the events gives."""

import json
from collections import Counter, defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.aggregate_columnar import ROWS, batch
from benchmarks.events import DAY_MS, START, Maker, Truth, labelled, record, shapes, spread, times, truth
from schemas.columnar import bodies, read
from schemas.events import MAX_EVENT_BYTES
from streams.aggregate.routing import partitions_of


@given(models=st.integers(1, 7), events=st.integers(1, 400), every=st.integers(0, 5), labelled_from=st.integers(0, 200))
def test_the_truth_is_what_the_events_say(models: int, events: int, every: int, labelled_from: int) -> None:
    made = shapes(models)
    maker = Maker(made)
    numbers = labelled(labelled_from, events, models, every)
    counted: Counter[str] = Counter()
    totals: dict[str, float] = defaultdict(float)
    for body in maker.predictions(0, spread(0, events, events, DAY_MS)):
        event = json.loads(body)
        counted[event["model"]] += 1
        totals[event["model"]] += next(iter(event["features"].values())) * 1024
    labels = [json.loads(body) for body in maker.outcomes(numbers, [b"2026-01-02T00:00:00Z"] * len(numbers))]
    pairs = Counter(label["model"] for label in labels)
    positive = Counter(label["model"] for label in labels if label["label"] == "default")
    assert truth(made, events, every, labelled_from) == {
        shape.name: Truth(counted[shape.name], int(totals[shape.name]), pairs[shape.name], positive[shape.name])
        for shape in made
    }


def test_events_are_as_large_as_the_figures_say() -> None:
    count = 20_000
    sizes = [len(body) for body in Maker(shapes(1)).predictions(0, spread(0, count, count, DAY_MS))]
    assert (min(sizes) >= 363, max(sizes) <= 430) == (True, True)


def test_models_have_different_schemas_and_a_reference_with_bins_and_segments() -> None:
    first, second = (record(shape) for shape in shapes(2))
    assert first.reference is not None
    names = {feature.name for feature in first.reference.features[""]}
    assert len(first.reference.features[""][0].edges) == 31
    assert sorted(first.reference.features) == ["", "land=DE", "land=ES", "land=FR", "land=IT"]
    assert second.reference is not None
    assert not names & {feature.name for feature in second.reference.features[""]}


def test_an_outcome_has_the_key_and_so_the_partition_of_its_prediction() -> None:
    maker = Maker(shapes(3))
    events = [json.loads(body) for body in maker.predictions(0, spread(0, 30, 30, DAY_MS))]
    keys = [f"{e['namespace']}/{e['model']}/{e['prediction_id']}".encode() for e in events]
    assert keys == maker.keys(0, 30)
    assert set(partitions_of(maker.keys(0, 400), 4).tolist()) == {0, 1, 2, 3}


def test_a_batch_is_the_same_events() -> None:
    models, count = shapes(2), 2 * ROWS
    maker, shape = Maker(models), models[1]
    numbers = np.arange(1, count, 2)
    ids = [maker.key(n).rsplit(b"/", 1)[1].decode() for n in numbers.tolist()]
    body = batch(shape, ids, times(0, count, count, DAY_MS)[numbers], numbers // 2 % shape.templates)
    events = list(maker.predictions(0, spread(0, count, count, DAY_MS)))
    assert [json.loads(row) for row in bodies(read("predictions", body))] == [json.loads(row) for row in events[1::2]]
    assert len(ids) == ROWS
    assert len(body) < MAX_EVENT_BYTES


def test_event_times_go_on_over_the_whole_span_and_are_out_of_order_by_seconds_only() -> None:
    count = 200_000
    times = spread(0, count, count, DAY_MS)
    assert times[0] == b"2026-01-01T00:00:00Z"
    assert times[-1] >= b"2026-01-01T23:59:55Z"
    assert times != sorted(times)
    assert all(later >= first for first, later in zip(times, times[10:], strict=False))
    assert START % DAY_MS == 0
