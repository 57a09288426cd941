"""From judged rows to sketches, column by column: one call per column of a model, for all windows and partitions."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detectors.quality import plausible_range
from detectors.sketch import Sketch, group_categorical, group_latency, group_numeric, merge
from schemas.partials import ALL, Tally, View
from streams.aggregate.groups import Groups
from streams.aggregate.layout import Layout
from streams.aggregate.models import Generation, Models
from streams.aggregate.rows import (
    ASTRAY,
    COUNTED,
    DEAD,
    EVENT,
    SHADOW,
    Features,
    Floats,
    Ints,
    Pairs,
    PredictionRows,
    Rows,
    Work,
)
from streams.aggregate.state import NOBODY, Deltas, SketchKey, WindowKey
from streams.aggregate.tasks import Answers

_TALLIES: tuple[tuple[Tally, ...], tuple[Tally, ...]] = (
    ("predictions.counted", "predictions.late", "predictions.duplicate"),
    ("outcomes.counted", "outcomes.counted", "outcomes.duplicate", "outcomes.correction"),
)
"""By topic and verdict; nothing calls an outcome late."""

_MISROUTED: tuple[Tally, Tally] = ("predictions.misrouted", "outcomes.misrouted")
_DEAD: tuple[Tally, Tally] = ("predictions.dead", "outcomes.dead")


def sketch(work: Work, models: Models) -> dict[int, Deltas]:
    """All sketches of what waits, by partition and window."""
    found = _Found(models)
    if work.outcomes:
        _tallies(found, work.outcomes, 1)
    if work.predictions:
        _tallies(found, work.predictions, 0)
        _features(found, work.predictions)
        _answers(found, work.predictions)
    if work.pairs:
        _performance(found, work.pairs)
    return found.deltas


class _Found:
    """Sketches so far; those of one place are merged."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.deltas: dict[int, Deltas] = {}

    def put(self, partition: int, window: WindowKey, key: SketchKey, delta: Sketch) -> None:
        sketches = self.deltas.setdefault(partition, {}).setdefault(window, {})
        known = sketches.get(key)
        sketches[key] = delta if known is None else merge(known, delta)

    def tally(self, partition: int, window: WindowKey, of: tuple[int, Tally], events: int, version: str = ALL) -> None:
        number, tally = of
        self.put(partition, window, (number, "tally", version, ALL, tally), Sketch(events, 0, 0, (), None, None, ()))


def _tallies(found: _Found, batches: Sequence[Rows], side: int) -> None:
    partition, kind, generation, window, verdict = (
        np.concatenate([getattr(rows, name) for rows in batches])
        for name in ("partition", "kind", "generation", "window", "verdict")
    )
    for number, events in zip(*np.unique(partition[kind == DEAD], return_counts=True), strict=True):
        found.tally(int(number), (NOBODY, 0), (0, _DEAD[side]), int(events))
    for chosen, names in ((kind == EVENT, _TALLIES[side]), (kind == ASTRAY, (_MISROUTED[side],))):
        at = np.flatnonzero(chosen)
        groups = Groups(partition[at], generation[at], window[at], verdict[at])
        for row, events in zip(at[groups.first].tolist(), np.bincount(groups.ids).tolist(), strict=True):
            of = found.models.everything[generation[row]]
            place = of.key, int(window[row])
            found.tally(int(partition[row]), place, (of.number, names[verdict[row]]), events)


class _Table(NamedTuple):
    """Features of the rows of one layout that are counted and were served."""

    layout: Layout
    partition: Ints
    generation: Ints
    window: Ints
    segment: Ints
    numbers: Floats
    codes: Ints


def _features(found: _Found, batches: Sequence[PredictionRows]) -> None:
    by_layout: dict[int, list[tuple[PredictionRows, Features]]] = defaultdict(list)
    for rows in batches:
        for features in rows.features:
            by_layout[id(features.layout)].append((rows, features))
    for parts in by_layout.values():
        table = _table(parts)
        for code, at in _by_generation(table.generation):
            _count_features(found, table, found.models.everything[code], at)


def _table(parts: Sequence[tuple[PredictionRows, Features]]) -> _Table:
    columns = [
        np.concatenate([getattr(rows, name)[features.rows] for rows, features in parts])
        for name in ("partition", "generation", "window", "segment", "kind", "verdict", "role")
    ]
    partition, generation, window, segment, kind, verdict, role = columns
    # By column in memory, since they are counted one by one.
    numbers = np.concatenate([features.numbers for _, features in parts]).T.copy()
    codes = np.concatenate([features.codes for _, features in parts]).T.astype(np.int64)
    table = _Table(parts[0][1].layout, partition, generation, window, segment, numbers, codes)
    served = (kind == EVENT) & (verdict == COUNTED) & (role != SHADOW)
    if served.all():
        return table
    return _Table(
        table.layout,
        partition[served],
        generation[served],
        window[served],
        segment[served],
        numbers[:, served],
        codes[:, served],
    )


def _count_features(found: _Found, table: _Table, generation: Generation, at: Ints) -> None:
    groups = Groups(table.partition[at], table.window[at], table.segment[at])
    segments = found.models.segments.all
    places = [
        (int(table.partition[row]), (generation.key, int(table.window[row])), (ALL, *segments[table.segment[row]]))
        for row in at[groups.first].tolist()
    ]
    for feature in generation.spec.features:
        column = table.layout.place(feature.name, feature.kind)
        reference = generation.references.get(feature.name)
        if feature.kind == "number":
            low, high = plausible_range(reference.low, reference.high) if reference else (None, None)
            values, edges = table.numbers[column][at], reference.edges if reference else []
            sketches = group_numeric(values, groups.ids, len(groups), edges, low=low, high=high)
        else:
            known = tuple(reference.categories) if reference else ()
            codes = _recoded(table.codes[column][at], table.layout.categories[column].known, known)
            sketches = group_categorical(codes, groups.ids, len(groups), len(known))
        for (partition, window, parts), delta in zip(places, sketches, strict=True):
            for segment in parts:
                found.put(partition, window, (generation.number, "feature", ALL, segment, feature.name), delta)


def _recoded(codes: Ints, layout: tuple[str, ...], known: tuple[str, ...]) -> Ints:
    """Codes of a layout's values as codes of a reference's."""
    if layout == known:
        return codes
    places = {value: code for code, value in enumerate(known)}
    # The last two are those of other values, and of null, which is -1.
    return np.array([*(places.get(value, len(known)) for value in layout), len(known), -1])[codes]


def _answers(found: _Found, batches: Sequence[PredictionRows]) -> None:
    """Scores and latencies, per version; and how many answers of each version somebody used."""
    counted = [np.flatnonzero((rows.kind == EVENT) & (rows.verdict == COUNTED)) for rows in batches]
    partition, generation, window, version, role, score, place, latency = (
        np.concatenate([getattr(rows, name)[at] for rows, at in zip(batches, counted, strict=True)])
        for name in ("partition", "generation", "window", "version", "role", "score", "place", "latency")
    )
    for code, at in _by_generation(generation):
        of = found.models.everything[code]
        groups = Groups(partition[at], window[at], version[at])
        places = [
            (int(partition[row]), (of.key, int(window[row])), found.models.versions.all[version[row]])
            for row in at[groups.first].tolist()
        ]
        served = np.bincount(groups.ids[role[at] != SHADOW], minlength=len(groups))
        views = of.task.count_answers(Answers(score[at], place[at]), groups)
        timed = ~np.isnan(latency[at])
        latencies = group_latency(latency[at][timed], groups.ids[timed], len(groups))
        for group, (number, key, name) in enumerate(places):
            if served[group]:
                found.tally(number, key, (of.number, "predictions.served"), int(served[group]), name)
            for view, sketches in views.items():
                found.put(number, key, (of.number, view, name, ALL, ALL), sketches[group])
            if latencies[group].n:
                found.put(number, key, (of.number, "latency", name, ALL, ALL), latencies[group])


def _performance(found: _Found, batches: Sequence[Pairs]) -> None:
    partition, generation, window, version, segment, score, place, target, matured, beyond = (
        np.concatenate([getattr(pairs, name) for pairs in batches])
        for name in (
            "partition", "generation", "window", "version", "segment", "score", "place", "target", "matured", "beyond",
        )
    )  # fmt: skip
    probabilities = [known for pairs in batches for known in pairs.probabilities or [None] * len(pairs.target)]
    for code, rows in _by_generation(generation):
        of = found.models.everything[code]
        far = rows[beyond[rows]]
        groups = Groups(partition[far], window[far])
        for row, events in zip(far[groups.first].tolist(), np.bincount(groups.ids).tolist(), strict=True):
            found.tally(int(partition[row]), (of.key, int(window[row])), (of.number, "outcomes.late_label"), events)
        at = rows[~beyond[rows]]
        if not len(at):
            continue
        groups = Groups(partition[at], window[at], matured[at], version[at], segment[at])
        answers = Answers(score[at], place[at], [probabilities[row] for row in at.tolist()])
        sketches = of.task.count_pairs(answers, target[at], groups)
        for row, delta in zip(at[groups.first].tolist(), sketches, strict=True):
            view: View = "matured" if matured[row] else "overdue"
            name = found.models.versions.all[version[row]]
            for part in (ALL, *found.models.segments.all[segment[row]]):
                found.put(int(partition[row]), (of.key, int(window[row])), (of.number, view, name, part, ALL), delta)


def _by_generation(codes: Ints) -> list[tuple[int, Ints]]:
    """(Generation, its rows in their order) of all that there are."""
    if not len(codes):
        return []
    if (codes == codes[0]).all():
        return [(int(codes[0]), np.arange(len(codes)))]
    order = np.argsort(codes, kind="stable")
    return [(int(codes[part[0]]), part) for part in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)]
