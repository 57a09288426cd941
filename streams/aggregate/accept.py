"""The careful way from a record to an event that fits its model's spec: one at a time, with a reason for each refusal.

It is the authority. The fast decoder (``fast``) may only say of an event what is said of it here.
"""

from typing import Any

from msgspec import Struct

from schemas.events import Outcome, Prediction, Progress
from schemas.partials import model_key
from schemas.windows import to_ms
from streams.aggregate import explain
from streams.aggregate.decode import Record, Refused, decode
from streams.aggregate.index import segments_of
from streams.aggregate.models import Generation, Models
from streams.aggregate.tasks import Choice

_EARLIEST = 0
"""Event times before 1970 are refused: no service has made them, and a table cannot keep them all."""


class Promised(Struct, gc=False):
    """A progress record; time in milliseconds."""

    key: str
    generation: Generation
    event_time: int
    window_start: int


class Accepted(Struct, gc=False):
    """An event that is not dead, with all that its spec says about it. Times in milliseconds.

    Attributes:
        values: of the spec's features, in their order.
        score: what is watched of a prediction, and ``choice`` the rest of it (see ``streams.aggregate.tasks``).
        target: the label of an outcome as a number.
    """

    record: Record
    event: Prediction | Outcome
    key: str
    generation: Generation
    event_time: int
    window_start: int
    values: tuple[Any, ...] = ()
    segments: tuple[str, ...] = ()
    score: float | None = None
    choice: Choice | None = None
    target: float = 0.0


def accept(record: Record, models: Models) -> Accepted | Promised:
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
    if event_time < record.log_ts - generation.max_age:
        raise Refused("too_old", explain.too_old(event_time, record.log_ts, generation.max_age))
    if isinstance(event, Progress):
        return Promised(key, generation, event_time, start)
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
