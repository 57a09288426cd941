"""From the verdicts of a batch to sketches, column by column: one numpy call per column, batch and generation."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from detectors.quality import plausible_range
from detectors.sketch import (
    Sketch,
    encode,
    group_categorical,
    group_latency,
    group_numeric,
)
from schemas.events import Prediction
from schemas.partials import ALL, Tally, View
from schemas.spec import FeatureKind
from streams.aggregate.classify import Pair, Verdicts
from streams.aggregate.groups import Groups
from streams.aggregate.models import Generation
from streams.aggregate.state import Accepted, Deltas


def sketch(verdicts: Verdicts) -> Deltas:
    """All sketches of what a batch adds, by window."""
    deltas: Deltas = {}
    for (key, number), items in verdicts.counted.items():
        generation = items[0].generation
        served = [item for item in items if _event(item).role != "shadow"]
        _features(deltas, key, generation, served)
        _served(deltas, key, number, served)
        _answers(deltas, key, generation, items)
    for (key, number), pairs in verdicts.pairs.items():
        _performance(deltas, key, number, pairs)
    for (window, number, tally), events in verdicts.tallies.items():
        deltas.setdefault(window, {})[number, "tally", ALL, ALL, tally] = _tallied(events)
    return deltas


def _features(deltas: Deltas, key: str, generation: Generation, items: Sequence[Accepted]) -> None:
    if not items:
        return
    groups = Groups(tuple((item.window_start, segment) for segment in (ALL, *item.segments)) for item in items)
    columns = zip(*(item.values for item in items), strict=True)
    for feature, values in zip(generation.spec.features, columns, strict=True):
        sketches = _feature(groups, feature.kind, values, generation, feature.name)
        for (start, segment), delta in zip(groups.names, sketches, strict=True):
            deltas.setdefault((key, start), {})[generation.number, "feature", ALL, segment, feature.name] = delta


def _feature(
    groups: Groups[tuple[int, str]], kind: FeatureKind, values: Sequence[Any], generation: Generation, name: str
) -> list[Sketch]:
    reference = generation.references.get(name)
    if kind == "number":
        edges = reference.edges if reference else []
        low, high = plausible_range(reference.low, reference.high) if reference else (None, None)
        numbers = np.array(values, np.float64)[groups.rows]
        return group_numeric(numbers, groups.ids, len(groups), edges, low=low, high=high)
    categories = reference.categories if reference else []
    return group_categorical(encode(values, categories)[groups.rows], groups.ids, len(groups), len(categories))


def _served(deltas: Deltas, key: str, number: int, items: Sequence[Accepted]) -> None:
    """How many answers each version gave that somebody used."""
    for (start, version), events in Counter((item.window_start, _event(item).version) for item in items).items():
        served: Tally = "predictions.served"
        deltas.setdefault((key, start), {})[number, "tally", version, ALL, served] = _tallied(events)


def _tallied(events: int) -> Sketch:
    return Sketch(events, 0, 0, (), None, None, ())


def _answers(deltas: Deltas, key: str, generation: Generation, items: Sequence[Accepted]) -> None:
    """Scores and latencies, per version."""
    number = generation.number
    groups = Groups(((item.window_start, _event(item).version),) for item in items)
    for view, sketches in generation.task.count_answers(items, groups).items():
        _put(deltas, key, (number, view), groups, sketches)
    timed = [item for item in items if _event(item).latency_ms is not None]
    if timed:
        groups = Groups(((item.window_start, _event(item).version),) for item in timed)
        latencies = np.array([_event(item).latency_ms for item in timed], np.float64)[groups.rows]
        _put(deltas, key, (number, "latency"), groups, group_latency(latencies, groups.ids, len(groups)))


def _put(
    deltas: Deltas, key: str, sketch_of: tuple[int, View], groups: Groups[tuple[int, str]], sketches: list[Sketch]
) -> None:
    for (start, version), delta in zip(groups.names, sketches, strict=True):
        deltas.setdefault((key, start), {})[*sketch_of, version, ALL, ALL] = delta


def _performance(deltas: Deltas, key: str, number: int, pairs: Sequence[Pair]) -> None:
    groups = Groups(
        tuple(
            (p.prediction.window_start, p.matured, p.prediction.version, segment)
            for segment in (ALL, *p.prediction.segments)
        )
        for p in pairs
    )
    predictions, targets = [p.prediction for p in pairs], np.array([p.target for p in pairs], np.float64)
    sketches = predictions[0].generation.task.count_pairs(predictions, targets, groups)
    for (start, matured, version, segment), delta in zip(groups.names, sketches, strict=True):
        view: View = "matured" if matured else "overdue"
        deltas.setdefault((key, start), {})[number, view, version, segment, ALL] = delta


def _event(item: Accepted) -> Prediction:
    assert isinstance(item.event, Prediction)  # noqa: S101  for the type checker
    return item.event
