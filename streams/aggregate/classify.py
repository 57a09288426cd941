"""Give every event of a batch its verdict: dead, misrouted, duplicate, correction, late or counted; and find the pairs.

The order of the checks is the protocol's. Everything here is a function of the record, of the rows below it in its
partition, and of the watermarks, which are in the checkpoint: a replay gives the same verdicts.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from msgspec import Struct

from schemas.events import Outcome, Prediction, Progress
from schemas.partials import Tally, model_key
from schemas.windows import to_ms
from streams.aggregate import explain
from streams.aggregate.decode import Dead, Record, Refused, decode
from streams.aggregate.index import OutcomeSeen, PredictionSeen, segments_of
from streams.aggregate.models import Generation, Models
from streams.aggregate.routing import partitions_of
from streams.aggregate.state import NOBODY, SIDES, Accepted, Astray, State, WindowKey

_EARLIEST = 0
"""Event times before 1970 are refused: no service has made them, and a table cannot keep them all."""

_TALLIES: tuple[dict[str, Tally], dict[str, Tally]] = (
    {
        "counted": "predictions.counted",
        "late": "predictions.late",
        "duplicate": "predictions.duplicate",
        "misrouted": "predictions.misrouted",
        "dead": "predictions.dead",
    },
    {
        "counted": "outcomes.counted",
        "duplicate": "outcomes.duplicate",
        "correction": "outcomes.correction",
        "misrouted": "outcomes.misrouted",
        "dead": "outcomes.dead",
    },
)


class Pair(Struct, gc=False):
    """A prediction of one version and the outcome of its id. ``matured``: it is in time for the window's one test."""

    prediction: PredictionSeen
    target: float
    matured: bool


@dataclass
class Verdicts:
    """What a batch adds to the counts of a partition.

    Attributes:
        counted: predictions that are neither duplicate nor late, per model and generation.
        pairs: per model and generation of the prediction.
        tallies: (window, generation, tally) -> events.
        events: (events, dead events) of each topic, progress not among them.
    """

    counted: dict[tuple[str, int], list[Accepted]] = field(default_factory=lambda: defaultdict(list))
    pairs: dict[tuple[str, int], list[Pair]] = field(default_factory=lambda: defaultdict(list))
    tallies: Counter[tuple[WindowKey, int, Tally]] = field(default_factory=Counter)
    events: list[tuple[int, int]] = field(default_factory=list)


class _Progress(Struct, gc=False):
    key: str
    generation: Generation
    event_time: int


def classify(state: State, models: Models, batch: tuple[Sequence[Record], Sequence[Record]], now: float) -> Verdicts:
    """Classify a batch of (predictions, outcomes), each in offset order, and move the state past it.

    Predictions come first: they are joined with outcomes below the outcome position, then outcomes with predictions
    below the new prediction position, so that each pair is found once, by its later half.

    Args:
        models: every known model.
        batch: records of (predictions, outcomes).
        state: of the partition; positions, watermarks, index and what waits for the checkpoint are changed.
        now: seconds of the process's clock, for the idle rule.
    """
    verdicts = Verdicts()
    sides = [_accept(state, models, records, verdicts) for records in batch]
    state.index.prefetch(
        (item.key, item.event.prediction_id) for side in sides for item in side if isinstance(item, Accepted)
    )
    for side, (items, records) in enumerate(zip(sides, batch, strict=True)):
        for item in items:
            state.heard[item.key, side] = now
            if isinstance(item, _Progress):
                state.raise_watermark(item.key, side, item.event_time, item.generation)
            else:
                judge = _prediction if side == 0 else _outcome
                judge(state, item, verdicts)
                tally = _TALLIES[side][item.verdict]
                verdicts.tallies[(item.key, item.window_start), item.generation.number, tally] += 1
                state.raise_watermark(item.key, side, item.event_time - item.generation.lateness, item.generation)
                state.accepted[side].append(item)
        if records:
            state.positions[side] = records[-1].offset + 1
    return verdicts


def _accept(state: State, models: Models, records: Sequence[Record], verdicts: Verdicts) -> list[Accepted | _Progress]:
    items: list[Accepted | _Progress] = []
    dead = progress = 0
    for record in records:
        try:
            item = accept(record, models)
        except Refused as refused:
            dead += 1
            state.dead.append(Dead(record, refused.reason, refused.detail))
            verdicts.tallies[(NOBODY, 0), 0, _TALLIES[SIDES.index(record.topic)]["dead"]] += 1
        else:
            progress += isinstance(item, _Progress)
            items.append(item)
    verdicts.events.append((len(records) - progress, dead))
    return _at_home(state, items, verdicts)


def _at_home(state: State, items: list[Accepted | _Progress], verdicts: Verdicts) -> list[Accepted | _Progress]:
    """Leave out the events whose id lives in another partition: they are sent on, and counted where they belong."""
    events = [item for item in items if isinstance(item, Accepted)]
    keys = [f"{item.key}/{item.event.prediction_id}".encode() for item in events]
    homes = partitions_of(keys, state.partitions)
    astray = np.flatnonzero(homes != state.partition).tolist()
    for index in astray:
        item = events[index]
        item.verdict = "misrouted"
        state.astray.append(Astray(item.record, int(homes[index]), keys[index]))
        tally = _TALLIES[SIDES.index(item.record.topic)]["misrouted"]
        verdicts.tallies[(item.key, item.window_start), item.generation.number, tally] += 1
        # A checkpoint tells of a model that has watermarks here, be they that nothing was seen.
        state.watermark(item.key)
    if not astray:
        return items
    return [item for item in items if isinstance(item, _Progress) or item.verdict != "misrouted"]


def accept(record: Record, models: Models) -> Accepted | _Progress:
    """Decode a record and check it against its model's spec.

    Raises:
        Refused: it is dead.
    """
    event = decode(record)
    key = model_key(event.namespace, event.model)
    event_time = to_ms(event.event_time)
    found = models.at(key, event_time)
    if found is None:
        raise Refused("unknown_model", explain.unknown_model(key, models.names()))
    generation, start = found
    if event_time < _EARLIEST:
        raise Refused("invalid", explain.before_1970(event.event_time.isoformat()))
    if event_time > record.log_ts + generation.future_skew:
        raise Refused("from_future", explain.from_future(event_time, record.log_ts, generation.future_skew))
    if isinstance(event, Progress):
        return _Progress(key, generation, event_time)
    item = Accepted(record, event, key, generation, event_time, start)
    if isinstance(event, Prediction):
        item.score, item.choice = generation.task.answer(event)
        item.values = tuple(map(event.features.get, generation.features))
        if wrong := generation.wrong_kind(item.values):
            raise Refused("wrong_kind", wrong)
        item.segments = segments_of(generation, event.segments)
    else:
        item.target = generation.task.target(event.label)
    return item


def _prediction(state: State, item: Accepted, verdicts: Verdicts) -> None:
    event, record, generation = item.event, item.record, item.generation
    assert isinstance(event, Prediction)  # noqa: S101  for the type checker
    key = (item.key, event.prediction_id)
    known = next((seen for seen in state.index.predictions.get(key, ()) if seen.version == event.version), None)
    late = generation.grid.end(item.window_start) <= state.watermark(item.key)[0]
    if known is not None and known.log_ts >= record.log_ts - generation.dedupe_horizon:
        item.verdict = "duplicate"
    elif late:
        item.verdict = "late"
    else:
        verdicts.counted[item.key, generation.number].append(item)
    seen = PredictionSeen(
        version=event.version,
        offset=record.offset,
        log_ts=record.log_ts,
        event_time=item.event_time,
        window_start=item.window_start,
        generation=generation,
        late=late,
        score=item.score,
        choice=item.choice,
        segments=item.segments,
    )
    if state.index.add_prediction(key, seen) and (outcome := state.index.outcomes.get(key)) is not None:
        _join(item.key, seen, outcome, not late, verdicts)


def _outcome(state: State, item: Accepted, verdicts: Verdicts) -> None:
    record = item.record
    assert isinstance(item.event, Outcome)  # noqa: S101  for the type checker
    key = (item.key, item.event.prediction_id)
    known = state.index.outcomes.get(key)
    if known is not None and known.log_ts >= record.log_ts - item.generation.dedupe_horizon:
        # The first label counts, whatever is said later. Against the newest one, so that a correction that is sent
        # twice is one correction.
        item.verdict = "duplicate" if known.newest == item.target else "correction"
    seen = OutcomeSeen(record.offset, record.log_ts, item.event_time, item.target, newest=item.target)
    if state.index.add_outcome(key, seen):
        labelled = state.watermark(item.key)[1]
        for prediction in state.index.predictions.get(key, ()):
            generation = prediction.generation
            due = generation.grid.end(prediction.window_start) + generation.maturity
            _join(item.key, prediction, seen, labelled < due and not prediction.late, verdicts)


def _join(key: str, prediction: PredictionSeen, outcome: OutcomeSeen, matured: bool, verdicts: Verdicts) -> None:
    generation = prediction.generation
    if abs(outcome.event_time - prediction.event_time) > generation.label_horizon:
        verdicts.tallies[(key, prediction.window_start), generation.number, "outcomes.late_label"] += 1
    else:
        verdicts.pairs[key, generation.number].append(Pair(prediction, outcome.target, matured))
