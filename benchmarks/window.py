"""A window of many features and segments, as stage 2 gets it, and what its tick costs."""

import time
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa

from detectors.quality import plausible_range
from detectors.sketch import Sketch, encode, group_categorical, group_numeric
from retrain.baseline import build_reference
from schemas.models import FeatureReference, ModelRecord
from schemas.partials import PartialMessage, SketchRow, Watermarks
from schemas.spec import FeatureKind, FeatureSpec, ModelSpec, RetrainingSpec, WindowSpec
from streams.monitor.core import ModelMonitor
from streams.monitor.generations import Generations
from streams.monitor.held import Held

FEATURES = 50
SEGMENTS = 4
ROWS = 2_000
"""Rows of a window."""

REFERENCE_HOURS = 96
REFERENCE_ROWS = 1_000
"""Windows of the reference, four days, the least by which evidence can be calibrated; and rows of each."""

_HOUR = 3_600_000
_KINDS: list[FeatureKind] = ["number" if place % 10 < 7 else "string" for place in range(FEATURES)]
_NAMES = [f"f{place:02d}" for place in range(FEATURES)]
_VALUES = [f"v{place}" for place in range(20)]


def window_seconds(windows: int) -> list[float]:
    """Seconds of CPU of the tick that closes each of ``windows`` windows: distances, rules, evidence, the report.

    Every feature is compared in all rows and in each of :data:`SEGMENTS` segments, and its evidence is weighed in each.
    Counting is not in it.
    """
    random = np.random.default_rng(3)
    generations = Generations.of([_record(random)])
    monitor = ModelMonitor("default", "wide", Held(1))
    found = []
    for number in range(windows):
        monitor.apply(_message(random, generations, number))
        start = monitor.due(generations)
        if start != number * _HOUR:
            raise SystemExit(f"window {number} is not due: {start}")
        began = time.process_time()
        tick = monitor.tick(start, generations)
        found.append(time.process_time() - began)
        compared = sum(metric.metric == "psi" and metric.value is not None for metric in tick.metrics)
        weighed = sum(stream.evidence > 0 for stream in tick.report.streams)
        if {compared, weighed} != {FEATURES * (SEGMENTS + 1)}:
            raise SystemExit(
                f"{compared} features were compared and {weighed} weighed, {FEATURES * (SEGMENTS + 1)} are there, of "
                "all rows and of segments"
            )
    return found


def _record(random: np.random.Generator) -> ModelRecord:
    hour = timedelta(hours=1)
    spec = ModelSpec(
        positive_class="yes",
        features=tuple(FeatureSpec(name=name, kind=kind) for name, kind in zip(_NAMES, _KINDS, strict=True)),
        segments=("shop",),
        windows=WindowSpec(width=hour, label_maturity=hour),
        retraining=RetrainingSpec(enabled=False),
    )
    rows = REFERENCE_HOURS * REFERENCE_ROWS
    reference = build_reference(
        spec,
        event_time=np.repeat(np.arange(REFERENCE_HOURS), REFERENCE_ROWS) * _HOUR,
        features={name: pa.array(_column(random, kind, rows)) for name, kind in zip(_NAMES, _KINDS, strict=True)},
        segments={"shop": pa.array([f"s{place}" for place in random.integers(0, SEGMENTS, rows)])},
        scores={"yes": pa.array(random.uniform(size=rows))},
    )
    return ModelRecord("default", "wide", 0, 0, spec.model_dump(mode="json"), reference, "")


def _message(random: np.random.Generator, generations: Generations, number: int) -> PartialMessage:
    (generation,) = generations.ordered
    segments = random.integers(0, SEGMENTS, ROWS)
    sketches = [SketchRow(0, "tally", "", "", number * _HOUR, "predictions.counted", ROWS, 0, 0, [], None, None, [])]
    for name, kind in zip(_NAMES, _KINDS, strict=True):
        profile, column = generation.feature("", name), _column(random, kind, ROWS)
        if profile is None:
            raise AssertionError(f"no reference of {name}")
        everywhere, *parts = _sketches(profile, column, segments)
        for segment, found in (("", everywhere), *((f"shop=s{place}", part) for place, part in enumerate(parts))):
            sketches.append(
                SketchRow(
                    0, "feature", "", segment, number * _HOUR, name, found.n, found.nulls, found.outside,
                    list(found.sums), found.minimum, found.maximum, list(found.counts),
                )
            )  # fmt: skip
    at = (number + 1) * _HOUR
    return PartialMessage("default", "wide", 0, number + 1, "owner", Watermarks(at, at), (number, number), sketches)


def _sketches(profile: FeatureReference, column: np.ndarray, segments: np.ndarray) -> Sequence[Sketch]:
    """Of all rows, then of each segment."""
    groups = np.concatenate([np.zeros(len(column), np.int64), segments + 1])
    both = np.concatenate([column, column])
    if profile.kind != "number":
        codes = encode(both.tolist(), profile.categories)
        return group_categorical(codes, groups, SEGMENTS + 1, len(profile.categories))
    low, high = plausible_range(profile.low, profile.high)
    return group_numeric(both, groups, SEGMENTS + 1, profile.edges, low=low, high=high)


def _column(random: np.random.Generator, kind: str, rows: int) -> np.ndarray:
    if kind == "number":
        return random.lognormal(0, 1, rows)
    return np.array(_VALUES, dtype=object)[random.integers(0, len(_VALUES), rows)]
