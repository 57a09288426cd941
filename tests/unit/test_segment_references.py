"""A segment's reference is counted in the bins that its windows are counted in, so that distances can be told."""

import numpy as np
import pyarrow as pa
import pytest

from detectors.sketch import encode, group_categorical, group_numeric
from retrain import baseline
from retrain.dataset import FEATURE, SEGMENT
from schemas.models import ModelRecord, Reference
from schemas.partials import ALL, PartialMessage, SketchRow, Watermarks
from schemas.spec import FeatureSpec, ModelSpec
from streams.monitor.close import closed
from streams.monitor.generations import Generation
from streams.monitor.held import Held

DAY = 86_400_000
SPEC = ModelSpec(
    positive_class="1",
    features=(
        FeatureSpec(name="wind", kind="number"),
        FeatureSpec(name="carrier", kind="string"),
        FeatureSpec(name="holiday", kind="boolean"),
    ),
    segments=("origin",),
)
PER_SEGMENT = 400


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Two windows; at JFK the wind lies above all but one edge of EWR's, and fewer carriers fly."""
    random = np.random.default_rng(2)
    ewr, jfk = random.uniform(0, 10, PER_SEGMENT), random.uniform(9.5, 30, PER_SEGMENT)
    return pa.table(
        {
            FEATURE + "wind": np.concatenate([ewr, jfk]),
            FEATURE + "carrier": [("UA", "AA", "B6")[i % 3] for i in range(PER_SEGMENT)] + ["B6"] * PER_SEGMENT,
            FEATURE + "holiday": [i % 5 == 0 for i in range(2 * PER_SEGMENT)],
            SEGMENT + "origin": ["EWR"] * PER_SEGMENT + ["JFK"] * PER_SEGMENT,
            "window_start": np.arange(2 * PER_SEGMENT, dtype=np.int64) % 2 * DAY,
            "label": [i % 4 == 0 for i in range(2 * PER_SEGMENT)],
        }
    )


@pytest.fixture(scope="module")
def reference(table: pa.Table) -> Reference:
    return baseline.build(table, SPEC, np.full(len(table), 0.25))


def test_segments_are_counted_by_the_bins_of_all_rows(table: pa.Table, reference: Reference) -> None:
    whole = reference.features[ALL]
    assert list(reference.features) == [ALL, "origin=EWR", "origin=JFK"]
    for name in ("origin=EWR", "origin=JFK"):
        segment = reference.features[name]
        assert [(f.edges, f.categories) for f in segment] == [(f.edges, f.categories) for f in whole]
        assert [f.n for f in segment] == [PER_SEGMENT] * 3
    both = zip(reference.features["origin=EWR"], reference.features["origin=JFK"], whole, strict=True)
    assert all(np.array_equal(np.add(one.counts, other.counts), total.counts) for one, other, total in both)


def test_distances_of_a_segment_are_told(table: pa.Table, reference: Reference) -> None:
    generation = Generation.of(ModelRecord("default", "m", 1, 0, SPEC.model_dump(mode="json"), reference, ""))
    wind, carrier, _ = reference.features[ALL]
    held = Held(1)
    rows = []
    # EWR's window is EWR's reference again; to JFK came EWR's traffic.
    for segment in ("origin=EWR", "origin=JFK"):
        ids = np.zeros(PER_SEGMENT, np.int64)
        values = table[FEATURE + "wind"].to_numpy()[:PER_SEGMENT]
        codes = encode(table[FEATURE + "carrier"].to_pylist()[:PER_SEGMENT], carrier.categories)
        sketches = {
            "wind": group_numeric(values, ids, 1, wind.edges, low=wind.low, high=wind.high)[0],
            "carrier": group_categorical(codes, ids, 1, len(carrier.categories))[0],
        }
        rows += [
            SketchRow(
                1, "feature", ALL, segment, 0, name, s.n, s.nulls, s.outside, list(s.sums), s.minimum, s.maximum,
                list(s.counts),
            )
            for name, s in sketches.items()
        ]  # fmt: skip
    held.apply(PartialMessage("default", "m", 0, 1, "o", Watermarks(DAY, DAY), (1, 1), rows))
    told = {(m.segment, m.name, m.metric): m.value for m in closed(held, generation, 0)}
    for name, metrics in (("wind", ("psi", "ks", "jensenshannon", "wasserstein")), ("carrier", ("psi",))):
        for metric in metrics:
            same, moved = told["origin=EWR", name, metric], told["origin=JFK", name, metric]
            assert same == pytest.approx(0, abs=1e-9)
            assert moved is not None
            assert moved > 0.2
    # In units of the segment's own spread, measured between the bins' places in the range of all rows.
    assert told["origin=JFK", "wind", "wasserstein"] == pytest.approx((19.75 - 5) / (20.5 / 12**0.5), rel=0.05)
