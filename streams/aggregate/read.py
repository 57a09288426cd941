"""From the records of a batch to columns of events: the fast way where it is sure, else the careful way."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from schemas.events import Prediction
from streams.aggregate.accept import Accepted, accept
from streams.aggregate.batch import Batch
from streams.aggregate.columns import Columns
from streams.aggregate.decode import Dead, Refused
from streams.aggregate.fast import Fast
from streams.aggregate.keys import Keys
from streams.aggregate.layout import Layout
from streams.aggregate.models import Models
from streams.aggregate.rows import (
    ASTRAY,
    DEAD,
    EVENT,
    PROGRESS,
    ROLES,
    Astray,
    Features,
    Ints,
    OutcomeRows,
    PredictionRows,
    Rows,
    Texts,
    Work,
)
from streams.aggregate.texts import outcome_texts, prediction_texts


class Reader:
    """Reads batches of both topics.

    Args:
        models: every known model.
        partitions: how many source partitions there are.
    """

    def __init__(self, models: Models, partitions: int) -> None:
        self._models = models
        self._partitions = partitions
        self._fast = Fast(models, partitions)
        self._columns = Columns(models, partitions)

    def read(self, batch: Batch, work: Work) -> PredictionRows | OutcomeRows:
        """Events by column; they go to ``work``, and so do dead letters and what is in the wrong partition."""
        if batch.topic == "predictions":
            predictions = self._read_predictions(batch, work)
            work.predictions.append(predictions)
            return predictions
        outcomes = self._read_outcomes(batch, work)
        work.outcomes.append(outcomes)
        return outcomes

    def _read_predictions(self, batch: Batch, work: Work) -> PredictionRows:
        rows, home = self._fast.predictions(batch)
        for at, columns in batch.columnar:
            self._columns.predictions(columns, at, rows, home)
        items = self._careful(batch, rows, home, work)
        by_layout: dict[str, list[tuple[int, Accepted]]] = defaultdict(list)
        for place, item in items:
            event = item.event
            assert isinstance(event, Prediction)  # noqa: S101  for the type checker
            rows.version[place] = self._models.versions.code(event.version)
            rows.segment[place] = self._models.segments.code(item.segments)
            rows.role[place] = ROLES.index(event.role)
            rows.score[place] = np.nan if item.score is None else item.score
            rows.latency[place] = np.nan if event.latency_ms is None else event.latency_ms
            rows.place[place] = -1
            if item.choice is not None:
                rows.place[place] = item.choice.predicted
                rows.remember(place, item.choice.scores)
            by_layout[item.key].append((place, item))
        for key, found in by_layout.items():
            rows.features.append(_features(self._models.layouts[key], found))
        if items:
            rows.texts.append(Texts(_places(items), prediction_texts([item for _, item in items])))
        _send_on(batch, rows, home, work)
        return rows

    def _read_outcomes(self, batch: Batch, work: Work) -> OutcomeRows:
        rows, home = self._fast.outcomes(batch)
        for at, columns in batch.columnar:
            self._columns.outcomes(columns, at, rows, home)
        items = self._careful(batch, rows, home, work)
        for place, item in items:
            rows.target[place] = item.target
        if items:
            rows.texts.append(Texts(_places(items), outcome_texts([item for _, item in items])))
        _send_on(batch, rows, home, work)
        return rows

    def _careful(self, batch: Batch, rows: Rows, home: Ints, work: Work) -> list[tuple[int, Accepted]]:
        """Events of which the fast decoder was not sure, by their places; the columns of all topics are filled in."""
        items: list[tuple[int, Accepted]] = []
        for place in np.flatnonzero(rows.kind == DEAD).tolist():
            record = batch.record(place)
            try:
                item = accept(record, self._models)
            except Refused as refused:
                work.dead.append(Dead(record, refused.reason, refused.detail))
                continue
            rows.generation[place] = item.generation.code
            rows.event_time[place] = item.event_time
            rows.window[place] = item.window_start
            if isinstance(item, Accepted):
                rows.kind[place] = EVENT
                items.append((place, item))
            else:
                rows.kind[place] = PROGRESS
                rows.keys.clear(place)
                home[place] = rows.partition[place]
        if items:
            places = _places(items)
            keys = Keys.of([f"{item.key}/{item.event.prediction_id}".encode() for _, item in items])
            rows.keys.put(places, keys)
            home[places] = keys.hashes % np.uint32(self._partitions)
        return items


def _send_on(batch: Batch, rows: Rows, home: Ints, work: Work) -> None:
    """Leave out the events whose id lives in another partition: they are sent on, and counted where they belong."""
    for place in np.flatnonzero((home != rows.partition) & (rows.kind == EVENT)).tolist():
        rows.kind[place] = ASTRAY
        work.astray.append(Astray(batch.record(place), int(home[place]), rows.keys[place] or b""))


def _places(items: Sequence[tuple[int, Accepted]]) -> Ints:
    return np.fromiter((place for place, _ in items), np.int64, len(items))


def _features(layout: Layout, found: Sequence[tuple[int, Accepted]]) -> Features:
    numbers = np.full((len(found), len(layout.numbers)), np.nan)
    codes = np.full((len(found), len(layout.categories)), -1, np.int32)
    for row, (_, item) in enumerate(found):
        for feature, value in zip(item.generation.spec.features, item.values, strict=True):
            if value is None:
                continue
            place = layout.place(feature.name, feature.kind)
            if feature.kind == "number":
                numbers[row, place] = value
            else:
                codes[row, place] = layout.codes[place].get(value, len(layout.categories[place].known))
    return Features(layout, _places(found), numbers, codes)
