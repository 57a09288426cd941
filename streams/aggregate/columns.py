"""The fast way for messages of many events: from the columns of a batch to columns of rows.

It leaves to the careful way (``accept``) the rows of which it is not sure, and all of a batch that is unusual: of a
model that nobody knows or whose generations disagree, or with a feature of another kind than its spec says.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.columnar import FEATURE, SCORE, SEGMENT, Batch, Column
from schemas.events import class_name
from schemas.partials import model_key
from streams.aggregate.columns_text import outcome_columns, prediction_columns
from streams.aggregate.groups import Groups
from streams.aggregate.keys import Keys
from streams.aggregate.layout import Layout, Plan
from streams.aggregate.models import Models
from streams.aggregate.rows import (
    CHAMPION,
    EVENT,
    ROLES,
    Bools,
    Features,
    Floats,
    Ints,
    OutcomeRows,
    PredictionRows,
    Rows,
    Texts,
)

_LONGEST_NAME = 200
_END_OF_TIME = 253_402_300_800_000
"""The year 10,000 in milliseconds: no event in JSON can name it."""

_NONE = -1


class Columns:
    """Reads the batches of all models that there are.

    Args:
        models: every known model.
        partitions: how many source partitions there are.
    """

    def __init__(self, models: Models, partitions: int) -> None:
        self._models = models
        self._partitions = partitions

    def predictions(self, batch: Batch, at: Ints, rows: PredictionRows, home: Ints) -> None:
        """Fill in what is sure.

        Args:
            batch: its rows.
            at: the place of each of them.
            rows: DEAD at those places; those that are sure become EVENT.
            home: partition in which each id lives, filled in too.
        """
        layout = self._models.layouts.get(model_key(batch.namespace, batch.model))
        if layout is None or layout.plan is None or not _kinds_fit(batch, layout):
            return
        columns = batch.columns
        sure = self._common(batch, at, rows, home)
        names = self._models.versions
        version = _mapped(columns["version"], lambda text: names.code(text) if _is_name(text) else _NONE)
        role = _mapped(columns["role"], _role) if "role" in columns else np.full(batch.rows, CHAMPION)
        score, place, probabilities = _answers(batch, layout.plan, sure)
        latency = _numbers(columns.get("latency_ms"), batch.rows)
        with np.errstate(invalid="ignore"):
            sure &= (version != _NONE) & (role != _NONE) & ~((latency < 0) | np.isinf(latency))
        for name, column in columns.items():
            if name.startswith(FEATURE) and column.kind == "number":
                sure &= ~np.isinf(_numbers(column, batch.rows))
        rows.version[at] = np.maximum(version, 0)
        rows.role[at] = np.maximum(role, 0)
        rows.segment[at] = self._segments(batch, layout.plan)
        rows.score[at], rows.place[at], rows.latency[at] = score, place, latency
        rows.kind[at[sure]] = EVENT
        chosen = np.flatnonzero(sure)
        if not len(chosen):
            return
        if probabilities is not None:
            for place_, row in zip(at[chosen].tolist(), chosen.tolist(), strict=True):
                rows.remember(place_, probabilities(row))
        rows.features.append(_features(batch, layout, chosen, at))
        rows.texts.append(Texts(at[chosen], prediction_columns(batch, chosen)))

    def outcomes(self, batch: Batch, at: Ints, rows: OutcomeRows, home: Ints) -> None:
        """See :meth:`predictions`."""
        layout = self._models.layouts.get(model_key(batch.namespace, batch.model))
        if layout is None or layout.plan is None:
            return
        sure = self._common(batch, at, rows, home)
        target = _targets(batch.columns["label"], batch.rows, layout.plan)
        sure &= np.isfinite(target)
        rows.target[at] = np.where(sure, target, 0.0)
        rows.kind[at[sure]] = EVENT
        chosen = np.flatnonzero(sure)
        if len(chosen):
            rows.texts.append(Texts(at[chosen], outcome_columns(batch, chosen)))

    def _common(self, batch: Batch, at: Ints, rows: Rows, home: Ints) -> Bools:
        """Fill in the columns of both topics; which rows are sure by them."""
        key = model_key(batch.namespace, batch.model)
        times = batch.columns["event_time"].values
        event_time: Ints = times.fill_null(_NONE).to_numpy()
        sure: Bools = (event_time >= 0) & (event_time < _END_OF_TIME)
        event_time = np.where(sure, event_time, 0)
        newest = np.full(batch.rows, self._models.generations(key)[0].code)
        generation, window = self._models.assign(newest, event_time)
        sure &= self._models.tables.plausible(generation, event_time, rows.log_ts[at])
        ids = batch.columns["prediction_id"].values
        ids = ids.cast(pa.string()) if pa.types.is_dictionary(ids.type) else ids
        if ids.null_count:
            sure &= ids.is_valid().to_numpy(zero_copy_only=False)
            ids = ids.fill_null("")
        prefix = f"{key}/".encode()
        keys = Keys.prefixed(prefix, ids)
        # In bytes, which are no fewer than the characters.
        sure &= (keys.size > len(prefix)) & (keys.size <= len(prefix) + _LONGEST_NAME)
        rows.generation[at], rows.event_time[at], rows.window[at] = generation, event_time, window
        rows.keys.put(at, keys)
        if self._partitions > 1:
            home[at] = keys.hashes % np.uint32(self._partitions)
        return sure

    def _segments(self, batch: Batch, plan: Plan) -> Ints:
        """Codes of the segments of each row."""
        tags = [tag for tag in plan.tags if f"{SEGMENT}{tag}" in batch.columns]
        coded = [_coded(batch.columns[f"{SEGMENT}{tag}"].values) for tag in tags]
        groups = Groups.of(*(codes for codes, _ in coded)) if coded else Groups.of(np.zeros(batch.rows, np.int8))
        found = []
        for row in groups.first.tolist():
            said = zip(tags, (values[codes[row]] for codes, values in coded), strict=True)
            found.append(self._models.segments.code(tuple(f"{tag}={text}" for tag, text in said if text is not None)))
        return np.array(found, np.int64)[groups.ids]


def _kinds_fit(batch: Batch, layout: Layout) -> bool:
    """Whether every feature of the spec has the kind that it says, or no value at all."""
    wanted = dict.fromkeys(layout.numbers, "number")
    wanted |= {category.name: "text" if category.kind == "string" else "boolean" for category in layout.categories}
    found = ((kind, batch.columns.get(f"{FEATURE}{name}")) for name, kind in wanted.items())
    return all(column is None or column.kind == kind or _is_empty(column) for kind, column in found)


def _is_empty(column: Column) -> bool:
    return bool(column.values.null_count == len(column.values))


def _features(batch: Batch, layout: Layout, chosen: Ints, at: Ints) -> Features:
    numbers = np.empty((batch.rows, len(layout.numbers)), order="F")
    for place, name in enumerate(layout.numbers):
        column = batch.columns.get(f"{FEATURE}{name}")
        numbers[:, place] = _numbers(None if column is None or _is_empty(column) else column, batch.rows)
    codes = np.full((batch.rows, len(layout.categories)), _NONE, np.int32, order="F")
    for place, category in enumerate(layout.categories):
        column = batch.columns.get(f"{FEATURE}{category.name}")
        if column is not None and not _is_empty(column):
            codes[:, place] = _mapped(column, _code_in(layout.codes[place], len(category.known)))
    if len(chosen) < batch.rows:
        numbers, codes = numbers[chosen], codes[chosen]
    return Features(layout, at[chosen], numbers, codes)


def _answers(batch: Batch, plan: Plan, sure: Bools) -> tuple[Floats, Ints, Callable[[int], tuple[float, ...]] | None]:
    """(Watched score, place of the predicted class, probabilities of a row); ``sure`` loses rows of which it is not."""
    nothing, nowhere = np.full(batch.rows, np.nan), np.full(batch.rows, _NONE)
    said = {name.removeprefix(SCORE): c for name, c in batch.columns.items() if name.startswith(SCORE)}
    scores = {name: _numbers(column, batch.rows) for name, column in said.items()}
    given = {name: column.values.is_valid().to_numpy(zero_copy_only=False) for name, column in said.items()}
    for name, values in scores.items():
        with np.errstate(invalid="ignore"):
            sure &= ((values >= 0) & (values <= 1)) | ~given[name]
    prediction = batch.columns.get("prediction")
    if prediction is not None and prediction.kind == "number":
        sure &= ~np.isinf(_numbers(prediction, batch.rows))
    if plan.task == "regression":
        if prediction is None or prediction.kind != "number":
            sure[:] = False
            return nothing, nowhere, None
        values = _numbers(prediction, batch.rows)
        sure &= np.isfinite(values)
        return values, nowhere, None
    if plan.task == "binary":
        [positive] = plan.classes
        sure &= given.get(positive, False)
        return scores.get(positive, nothing), nowhere, None
    if prediction is None:
        sure[:] = False
        return nothing, nowhere, None
    places = {name: place for place, name in enumerate(plan.classes)}
    place = _mapped(prediction, lambda value: places.get(_class(value), _NONE))
    sure &= place != _NONE
    some = np.any(list(given.values()), axis=0) if given else np.zeros(batch.rows, np.bool_)
    every = np.all([given.get(name, np.zeros(batch.rows, np.bool_)) for name in plan.classes], axis=0)
    sure &= every | ~some
    table = np.stack([scores.get(name, nothing) for name in plan.classes], axis=1)
    watched = np.where(every, table[np.arange(batch.rows), np.maximum(place, 0)], np.nan)
    return watched, place, lambda row: tuple(table[row].tolist()) if every[row] else ()


def _targets(label: Column, count: int, plan: Plan) -> Floats:
    """Labels as numbers (see ``tasks``); NaN where it is not sure."""
    if plan.task == "regression":
        return _numbers(label, count) if label.kind == "number" else np.full(count, np.nan)
    if plan.task == "multiclass":
        places = {name: place for place, name in enumerate(plan.classes)}
        return _mapped(label, lambda value: places.get(_class(value), np.nan))
    if label.kind == "text":
        [positive] = plan.classes
        return _mapped(label, lambda text: np.nan if text is None else float(text == positive))
    values = _numbers(label, count)
    return np.where((values == 0) | (values == 1), values, np.nan)


def _class(value: Any) -> str:
    """Name of a class; that of none where there is no value, which no class can have."""
    return "" if value is None or value != value else class_name(value)  # noqa: PLR0124  NaN


def _code_in(known: Mapping[object, int], other: int) -> Callable[[Any], int]:
    return lambda value: known.get(value, other)


def _role(name: str | None) -> int:
    return CHAMPION if name is None else ROLES.index(name) if name in ROLES else _NONE


def _is_name(text: str | None) -> bool:
    return text is not None and 1 <= len(text) <= _LONGEST_NAME


def _numbers(column: Column | None, count: int) -> Floats:
    """Numbers or booleans as float64, NaN where there is none."""
    if column is None:
        return np.full(count, np.nan)
    values = column.values if column.kind == "number" else column.values.cast(pa.float64())
    found: Floats = values.to_numpy(zero_copy_only=False)
    return found


def _coded(values: pa.Array) -> tuple[Ints, list[Any]]:
    """(Index of each value, the values); the last one is None, for null."""
    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    known: list[Any] = [*coded.dictionary.to_pylist(), None]
    indices = coded.indices.cast(pa.int64()).fill_null(len(known) - 1)
    found: Ints = indices.to_numpy(zero_copy_only=False)
    return found, known


def _mapped(column: Column, code: Callable[[Any], float]) -> NDArray[Any]:
    """What each value means; each different one is asked once."""
    indices, known = _coded(column.values)
    return np.array([code(value) for value in known])[indices]
