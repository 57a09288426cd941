"""Give every event of a batch its verdict: duplicate, correction, late or counted; and find the pairs.

The order of the checks is the protocol's. Everything here is a function of the record, of the rows below it in its
partition, and of the watermarks, which are in the checkpoint: a replay gives the same verdicts.

Columns are judged at once; only ids that were seen before are looked at one by one.
"""

import numpy as np

from schemas.windows import NEVER
from streams.aggregate.keys import Keys
from streams.aggregate.models import Models
from streams.aggregate.remembered import Ints, Predictions
from streams.aggregate.rows import (
    ASTRAY,
    CORRECTION,
    COUNTED,
    DUPLICATE,
    EVENT,
    LATE,
    PROGRESS,
    Bools,
    OutcomeRows,
    Pairs,
    PredictionRows,
    Rows,
)
from streams.aggregate.state import State


def classify(
    state: State, models: Models, predictions: PredictionRows | None, outcomes: OutcomeRows | None, now: float
) -> list[Pairs]:
    """Judge a batch of a partition, and move the state past it.

    Predictions come first: they are joined with outcomes below the outcome position, then outcomes with predictions
    below the new prediction position, so that each pair is found once, by its later half. What is known of
    their ids must be in memory (``index.prefetch``).

    Args:
        state: of the partition; positions, watermarks and index are changed.
        models: every known model.
        predictions: rows of this partition only; their verdicts are written.
        outcomes: the same.
        now: seconds of the process's clock, for the idle rule.

    Returns:
        The pairs that were found.
    """
    batches = [rows for rows in (predictions, outcomes) if rows is not None and len(rows)]
    events = [np.flatnonzero(rows.kind == EVENT) for rows in batches]
    pairs = []
    for rows, at in zip(batches, events, strict=True):
        before = _pass(state, models, rows, now)
        if isinstance(rows, PredictionRows):
            pairs.append(_predictions(state, models, rows, at, before))
        elif isinstance(rows, OutcomeRows):
            pairs.append(_outcomes(state, models, rows, at, before))
        state.positions[rows.side] = int(rows.offset[-1]) + 1
    return [found for found in pairs if found is not None]


def _pass(state: State, models: Models, rows: Rows, now: float) -> Ints:
    """Move the watermarks past a batch; the watermark that each record met, by its place."""
    tables = models.tables
    before = np.full(len(rows), NEVER)
    astray = rows.kind == ASTRAY
    if astray.any():
        for code in np.unique(rows.generation[astray]).tolist():
            # A checkpoint tells of a model that has watermarks here, be they that nothing was seen.
            state.watermark(models.everything[code].key)
    at = np.flatnonzero((rows.kind == EVENT) | (rows.kind == PROGRESS))
    if not len(at):
        return before
    generation = rows.generation[at]
    reached = rows.event_time[at] - np.where(rows.kind[at] == EVENT, tables.lateness[generation], 0)
    present, model = dense(tables.model[generation])
    keys, side = [models.keys.all[code] for code in present.tolist()], rows.side
    marks = np.array([state.watermark(key)[side] for key in keys], np.int64)
    met, last = running_maxima(marks, model, reached)
    before[at] = met
    newest = np.zeros(len(present), np.int64)
    newest[model] = generation
    for key, mark, code in zip(keys, last.tolist(), newest.tolist(), strict=True):
        state.heard[key, side] = now
        state.raise_watermark(key, side, mark, models.everything[code])
    return before


def running_maxima(first: Ints, group: Ints, values: Ints) -> tuple[Ints, Ints]:
    """Per group: the largest of its first value and of all values before each, and the largest of all.

    Args:
        first: one per group.
        group: of each value, in [0, len(first)).
        values: in their order.
    """
    upto, largest = np.empty(len(values), np.int64), first.copy()
    order = np.argsort(group, kind="stable") if len(first) > 1 else np.arange(len(values))
    ends = np.cumsum(np.bincount(group, minlength=len(first))).tolist()
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        at = order[start:end]
        reached = np.maximum.accumulate(np.concatenate([first[number : number + 1], values[at]]))
        upto[at], largest[number] = reached[:-1], reached[-1]
    return upto, largest


def dense(codes: Ints) -> tuple[Ints, Ints]:
    """(The codes that there are, in order; the place among them of each): small whole numbers, none below 0."""
    present = np.flatnonzero(np.bincount(codes))
    if len(present) == 1:
        return present, np.zeros(len(codes), np.int64)
    places = np.zeros(int(present[-1]) + 1 if len(present) else 0, np.int64)
    places[present] = np.arange(len(present))
    return present, places[codes]


def _predictions(state: State, models: Models, rows: PredictionRows, at: Ints, before: Ints) -> Pairs | None:
    if not len(at):
        return None
    tables, known = models.tables, state.index.predictions
    generation, log_ts, version = rows.generation[at], rows.log_ts[at], rows.version[at]
    late = rows.window[at] + tables.width[generation] <= before[at]
    rows.late[at] = late
    verdict = np.where(late, LATE, COUNTED)
    keys = _keys(rows, at)
    first, new = known.claim(keys)
    known.write(
        new, log_ts=log_ts, event_time=rows.event_time[at], window=rows.window[at], generation=generation,
        version=version, segment=rows.segment[at], place=rows.place[at], score=rows.score[at], late=late,
    )  # fmt: skip
    fresh = first == new
    for place in np.flatnonzero(~fresh).tolist():
        slot, last = known.seen(int(first[place]), int(version[place]))
        if slot is None:
            known.put("following", last, new[place])
            fresh[place] = True
            continue
        seen, logged = known.get("log_ts", slot), int(log_ts[place])
        if seen >= logged - tables.dedupe_horizon[generation[place]]:
            verdict[place] = DUPLICATE
        known.put("log_ts", slot, max(seen, logged))
    rows.verdict[at] = verdict
    if rows.probabilities is not None:
        chosen = ((slot, rows.probabilities[place]) for place, slot in zip(at.tolist(), new.tolist(), strict=True))
        known.probabilities.update((slot, found) for slot, found in chosen if found is not None)
    outcomes = state.index.outcomes
    if not len(outcomes):
        return None
    labelled = outcomes.find(keys)
    joined = np.flatnonzero(fresh & (labelled >= 0))
    return _pairs(state, models, new[joined], labelled[joined], ~late[joined])


def _outcomes(state: State, models: Models, rows: OutcomeRows, at: Ints, before: Ints) -> Pairs | None:
    if not len(at):
        return None
    tables, known = models.tables, state.index.outcomes
    generation, log_ts, target = rows.generation[at], rows.log_ts[at], rows.target[at]
    verdict = np.full(len(at), COUNTED)
    keys = _keys(rows, at)
    first, new = known.claim(keys)
    known.write(new, log_ts=log_ts, event_time=rows.event_time[at], target=target, newest=target)
    fresh = first == new
    for place in np.flatnonzero(~fresh).tolist():
        slot, logged = int(first[place]), int(log_ts[place])
        seen = known.get("log_ts", slot)
        if seen >= logged - tables.dedupe_horizon[generation[place]]:
            # The first label counts, whatever is said later. Against the newest one, so that a correction that is sent
            # twice is one correction.
            verdict[place] = DUPLICATE if known.get("newest", slot) == target[place] else CORRECTION
        known.put("log_ts", slot, max(seen, logged))
        known.put("newest", slot, target[place])
    rows.verdict[at] = verdict
    places = np.flatnonzero(fresh)
    joined, slots = _every_version(state.index.predictions, keys.take(places))
    if not len(slots):
        return None
    predictions, joined = state.index.predictions, places[joined]
    made = predictions.read("generation", slots)
    due = predictions.read("window", slots) + tables.width[made] + tables.maturity[made]
    matured = (before[at[joined]] < due) & ~predictions.read("late", slots)
    return _pairs(state, models, slots, new[joined], matured)


def _every_version(known: Predictions, keys: Keys) -> tuple[Ints, Ints]:
    """(Place of the key, row) of all predictions that have one of the keys."""
    slots = known.find(keys)
    places = np.flatnonzero(slots >= 0)
    slots = slots[places]
    found = [(places, slots)]
    while len(slots):
        following = known.read("following", slots)
        places, slots = places[following > 0], following[following > 0]
        found.append((places, slots))
    return np.concatenate([places for places, _ in found]), np.concatenate([slots for _, slots in found])


def _pairs(state: State, models: Models, slots: Ints, labels: Ints, matured: Bools) -> Pairs | None:
    """Predictions and outcomes by their rows in the index, as what is counted."""
    if not len(slots):
        return None
    predictions, outcomes = state.index.predictions, state.index.outcomes
    generation = predictions.read("generation", slots).astype(np.int64)
    apart = np.abs(outcomes.read("event_time", labels) - predictions.read("event_time", slots))
    probabilities = predictions.probabilities
    return Pairs(
        partition=np.full(len(slots), state.partition),
        generation=generation,
        window=predictions.read("window", slots),
        version=predictions.read("version", slots),
        segment=predictions.read("segment", slots),
        score=predictions.read("score", slots),
        place=predictions.read("place", slots),
        probabilities=[probabilities.get(slot) for slot in slots.tolist()] if probabilities else None,
        target=outcomes.read("target", labels),
        matured=matured,
        beyond=apart > models.tables.label_horizon[generation],
    )


def keys_of(rows: Rows) -> Keys:
    """Keys of the events among some rows."""
    return _keys(rows, np.flatnonzero(rows.kind == EVENT))


def _keys(rows: Rows, at: Ints) -> Keys:
    """Keys of the events; every event has one."""
    return rows.keys if len(at) == len(rows) else rows.keys.take(at)
