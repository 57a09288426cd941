"""From judged rows to sketches, column by column: one call per column of a model, for all windows and partitions."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.quality import plausible_range
from detectors.sketch import Sketches, group_categorical, group_latency, group_numeric
from detectors.tables import Shape
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
    Bools,
    Codes,
    Features,
    Floats,
    Ints,
    Pairs,
    PredictionRows,
    Rows,
    Work,
)
from streams.aggregate.state import NOBODY
from streams.aggregate.tasks import Answers
from streams.aggregate.windows import Delta, Place, ViewKey

_TALLIES: tuple[tuple[Tally, ...], tuple[Tally, ...]] = (
    ("predictions.counted", "predictions.late", "predictions.duplicate"),
    ("outcomes.counted", "outcomes.counted", "outcomes.duplicate", "outcomes.correction"),
)
"""By topic and verdict; nothing calls an outcome late."""

_MISROUTED: tuple[Tally, Tally] = ("predictions.misrouted", "outcomes.misrouted")
_DEAD: tuple[Tally, Tally] = ("predictions.dead", "outcomes.dead")

_NO_BINS = Shape([0], [0])
_NOWHERE = -1
"""Part and group of a row that is not counted."""


def sketch(work: Work, models: Models) -> dict[int, list[Delta]]:
    """All sketches of what waits, by partition."""
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


class _Part(NamedTuple):
    """Groups of rows of one generation.

    Attributes:
        of: the generation.
        rows: all of them.
        groups: what tells them apart.
        spans: (partition, window, first group, end) of the groups of each window of a partition.
    """

    of: Generation
    rows: Ints
    groups: Groups
    spans: list[tuple[int, int, int, int]]


class _Found:
    """Sketches so far."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.deltas: dict[int, list[Delta]] = defaultdict(list)

    def parts(self, generation: Ints, partition: Ints, window: Ints, *columns: NDArray[Any]) -> Iterator[_Part]:
        """Groups of the rows that are equal in all columns, generation by generation."""
        groups = Groups.of(generation, partition, window, *columns)
        order, ends = groups.rows()
        numbers, starts = partition[groups.first].tolist(), window[groups.first].tolist()
        spans = groups.spans(generation, partition, window)
        begins = [a for a, _ in spans]
        for first, end in groups.spans(generation):
            rows = order[ends[first] : ends[end]]
            inside = spans[bisect_left(begins, first) : bisect_left(begins, end)]
            own = [(numbers[a], starts[a], a - first, b - first) for a, b in inside]
            of = self.models.everything[generation[groups.first[first]]]
            yield _Part(of, rows, Groups(groups.ids[rows] - first, groups.first[first:end]), own)

    def put(
        self, part: _Part, view: View, names: tuple[str, ...], places: Sequence[Sequence[Place]], sketches: Sketches
    ) -> None:
        """Sketches of a part's groups; ``places`` are those of each group, one, several or none."""
        for partition, window, first, end in part.spans:
            spread = [(place, group) for group in range(first, end) for place in places[group]]
            if spread:
                to, of = zip(*spread, strict=True)
                key = (part.of.key, window)
                self.deltas[partition].append(Delta(key, (part.of.number, view, names), to, sketches, of))

    def tally(self, part: _Part, name: Tally, events: Ints, versions: Sequence[str] | None = None) -> None:
        """So many events in each of a part's groups, of all versions or each of one."""
        places = [[(versions[group] if versions else ALL, ALL)] if n else [] for group, n in enumerate(events.tolist())]
        self.put(part, "tally", (name,), places, _numbers_of(events))


def _numbers_of(events: Ints) -> Sketches:
    found = Sketches(_NO_BINS, len(events))
    found.whole[:, 0] = events
    return found


def _tallies(found: _Found, batches: Sequence[Rows], side: int) -> None:
    partition, kind, generation, window, verdict = (
        np.concatenate([getattr(rows, name) for rows in batches])
        for name in ("partition", "kind", "generation", "window", "verdict")
    )
    numbers, dead = np.unique(partition[kind == DEAD], return_counts=True)
    for group, number in enumerate(numbers.tolist()):
        view: ViewKey = 0, "tally", (_DEAD[side],)
        found.deltas[number].append(Delta((NOBODY, 0), view, [(ALL, ALL)], _numbers_of(dead), [group]))
    chosen = [(name, (kind == EVENT) & (verdict == code)) for code, name in enumerate(_TALLIES[side])]
    for name, rows in [*chosen, (_MISROUTED[side], kind == ASTRAY)]:
        at = np.flatnonzero(rows)
        if len(at):
            for part in found.parts(generation[at], partition[at], window[at]):
                found.tally(part, name, np.bincount(part.groups.ids))


class _Table(NamedTuple):
    """Features of rows of one layout: ``numbers`` (rows x numbers) and ``codes`` (rows x categories)."""

    layout: Layout
    numbers: Floats
    codes: Codes


def _features(found: _Found, batches: Sequence[PredictionRows]) -> None:
    partition, generation, window, segment, kind, verdict, role = (
        np.concatenate([getattr(rows, name) for rows in batches])
        for name in ("partition", "generation", "window", "segment", "kind", "verdict", "role")
    )
    at = np.flatnonzero((kind == EVENT) & (verdict == COUNTED) & (role != SHADOW))
    parts = list(found.parts(generation[at], partition[at], window[at], segment[at]))
    part_of, group_of = np.full((2, len(kind)), _NOWHERE)
    by_model: dict[str, list[int]] = defaultdict(list)
    for number, part in enumerate(parts):
        part_of[at[part.rows]], group_of[at[part.rows]] = number, part.groups.ids
        by_model[part.of.key].append(number)
    by_layout: dict[int, list[tuple[Features, Ints]]] = defaultdict(list)
    for rows, first in zip(batches, accumulate(map(len, batches), initial=0), strict=False):
        for features in rows.features:
            by_layout[id(features.layout)].append((features, first + features.rows))
    segments = found.models.segments.all
    for pieces in by_layout.values():
        layout, places = pieces[0][0].layout, np.concatenate([places for _, places in pieces])
        numbers = np.concatenate([features.numbers for features, _ in pieces])
        codes = np.concatenate([features.codes for features, _ in pieces])
        for number in by_model[layout.key]:
            part, chosen = parts[number], part_of[places] == number
            if not chosen.any():
                continue  # read before the generation was published: the layout may not have its features
            if chosen.all():
                table, groups = _Table(layout, numbers, codes), Groups(group_of[places], part.groups.first)
            else:
                table = _Table(layout, numbers[chosen], codes[chosen])
                groups = Groups(group_of[places[chosen]], part.groups.first)
            sketches = _count_features(part.of, table, groups)
            if sketches is not None:
                named = segment[at[part.groups.first]].tolist()
                spread = [[(ALL, ALL), *((ALL, name) for name in segments[code])] for code in named]
                found.put(part, "feature", part.of.features, spread, sketches)


def _count_features(generation: Generation, table: _Table, groups: Groups) -> Sketches | None:
    """Sketches of all features of a generation, side by side; None when it has none."""
    counted = []
    for feature in generation.spec.features:
        column = table.layout.place(feature.name, feature.kind)
        reference = generation.references.get(feature.name)
        if feature.kind == "number":
            low, high = plausible_range(reference.low, reference.high) if reference else (None, None)
            edges = reference.edges if reference else []
            counted.append(group_numeric(table.numbers[:, column], groups.ids, len(groups), edges, low=low, high=high))
        else:
            known = tuple(reference.categories) if reference else ()
            recoded = _recoded(table.codes[:, column], table.layout.categories[column].known, known)
            counted.append(group_categorical(recoded, groups.ids, len(groups), len(known)))
    return Sketches.joined(counted) if counted else None


def _recoded(codes: Codes, layout: tuple[str, ...], known: tuple[str, ...]) -> Codes:
    """Codes of a layout's values as codes of a reference's."""
    if layout == known:
        return codes
    places = {value: code for code, value in enumerate(known)}
    # The last two are those of other values, and of null, which is -1.
    return np.array([*(places.get(value, len(known)) for value in layout), len(known), -1], np.int32)[codes]


def _answers(found: _Found, batches: Sequence[PredictionRows]) -> None:
    """Scores and latencies, per version; and how many answers of each version somebody used."""
    counted = [np.flatnonzero((rows.kind == EVENT) & (rows.verdict == COUNTED)) for rows in batches]
    partition, generation, window, version, role, score, place, latency = (
        np.concatenate([getattr(rows, name)[at] for rows, at in zip(batches, counted, strict=True)])
        for name in ("partition", "generation", "window", "version", "role", "score", "place", "latency")
    )
    for part in found.parts(generation, partition, window, version):
        rows, groups = part.rows, part.groups
        versions = [found.models.versions.all[code] for code in version[groups.first].tolist()]
        served = groups.ids[role[rows] != SHADOW]
        found.tally(part, "predictions.served", np.bincount(served, minlength=len(groups)), versions)
        for view, sketches in part.of.task.count_answers(Answers(score[rows], place[rows]), groups).items():
            found.put(part, view, (ALL,), [[(name, ALL)] for name in versions], sketches)
        timed = ~np.isnan(latency[rows])
        latencies = group_latency(latency[rows][timed], groups.ids[timed], len(groups))
        there = (latencies.whole[:, 0] > 0).tolist()
        places = [[(name, ALL)] if any_ else [] for name, any_ in zip(versions, there, strict=True)]
        found.put(part, "latency", (ALL,), places, latencies)


def _performance(found: _Found, batches: Sequence[Pairs]) -> None:
    partition, generation, window, version, segment, score, place, target, matured, beyond = (
        np.concatenate([getattr(pairs, name) for pairs in batches])
        for name in (
            "partition", "generation", "window", "version", "segment", "score", "place", "target", "matured", "beyond",
        )
    )  # fmt: skip
    probabilities = [known for pairs in batches for known in pairs.probabilities or [None] * len(pairs.target)]
    far = np.flatnonzero(beyond)
    for part in found.parts(generation[far], partition[far], window[far]):
        found.tally(part, "outcomes.late_label", np.bincount(part.groups.ids))
    views: tuple[tuple[View, Bools], ...] = (("matured", matured), ("overdue", ~matured))
    for view, chosen in views:
        at = np.flatnonzero(chosen & ~beyond)
        for part in found.parts(generation[at], partition[at], window[at], version[at], segment[at]):
            rows = at[part.rows]
            answers = Answers(score[rows], place[rows], [probabilities[row] for row in rows.tolist()])
            sketches = part.of.task.count_pairs(answers, target[rows], part.groups)
            first = at[part.groups.first]
            places = [
                [(found.models.versions.all[of], name) for name in (ALL, *found.models.segments.all[parts])]
                for of, parts in zip(version[first].tolist(), segment[first].tolist(), strict=True)
            ]
            found.put(part, view, (ALL,), places, sketches)
