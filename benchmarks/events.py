"""The models and events that everybody is measured on, and what counting them must give.

A model's events are made of few *templates*, whose features are drawn from a seed; what differs from event to event is
the id and the time. So a loader can send more than stage 1 can count, and the truth is a matter of arithmetic. All
numbers are multiples of 1/1024: their sums are exact, whoever adds them up, in whatever order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from retrain.baseline import build_reference
from schemas.models import ModelRecord
from schemas.spec import Model
from schemas.windows import from_ms, to_ms

NAMESPACE = "bench"
POSITIVE = "default"
SEGMENTS = ("DE", "ES", "FR", "IT")
START = to_ms(datetime(2026, 1, 1, tzinfo=UTC))
DAY_MS, HOUR_MS = 86_400_000, 3_600_000

_UNIT = 1024
_STRINGS = (SEGMENTS, ("web", "app", "branch"), ("a", "b", "c", "d", "e"))
_TEMPLATES = 5_000
"""Of all models together, but at least ``_FEWEST`` of each: memory stays small with many models too."""
_FEWEST = 50


class Template(NamedTuple):
    """What the events of a model that were made of it share.

    Attributes:
        tail: the JSON of a prediction after its event time.
        total: the first numeric feature, in units of 1/1024.
        positive: whether their label is the positive class.
    """

    tail: bytes
    total: int
    positive: bool


@dataclass(frozen=True)
class Shape:
    """A model: names of its features, its windows, and the templates of its events.

    Attributes:
        number: gives the model and its features names of their own.
        numbers: numeric features; ``strings``: categorical ones, of which the first is the segment too.
        width: of the windows, ISO 8601.
        raw_features: whether raw rows keep the features.
        templates: how many events differ in more than id and time.
    """

    number: int = 0
    numbers: int = 7
    strings: int = 3
    width: str = "PT1H"
    raw_features: bool = True
    templates: int = _TEMPLATES

    @property
    def name(self) -> str:
        """Of the model."""
        return f"m{self.number:03d}"

    def number_names(self) -> list[str]:
        """Of the numeric features."""
        return [f"m{self.number:03d}x{i}" for i in range(self.numbers)]

    def string_names(self) -> list[str]:
        """Of the categorical features."""
        return [f"m{self.number:03d}c{i}" for i in range(self.strings)]


def shapes(models: int, **given: Any) -> list[Shape]:
    """So many models with different schemas, that share the memory of templates."""
    return [Shape(number, templates=max(_FEWEST, _TEMPLATES // models), **given) for number in range(models)]


def record(shape: Shape) -> ModelRecord:
    """The model's document with a reference made of its own templates: bins, categories and segments as a real one."""
    drawn = columns(shape)
    features = [{"name": name, "kind": "number"} for name in shape.number_names()]
    features += [{"name": name, "kind": "string"} for name in shape.string_names()]
    document: dict[str, Any] = {
        "metadata": {"namespace": NAMESPACE, "name": shape.name},
        "spec": {
            "positive_class": POSITIVE,
            "features": features,
            "segments": ["land"],
            "retraining": {"enabled": False},
            "windows": {
                "width": shape.width,
                "label_maturity": shape.width,
                "allowed_lateness": "PT10M",
                "label_horizon": "P40D",
            },
            "raw": {"features": shape.raw_features},
        },
    }
    first = ModelRecord.first(Model.model_validate(document))
    spec = first.parsed()
    reference = build_reference(
        spec,
        event_time=START - spec.grid().width * (1 + np.arange(shape.templates) % 8),
        features={
            **{name: pa.array(drawn.numbers[:, i] / _UNIT) for i, name in enumerate(shape.number_names())},
            **{name: pa.array(drawn.strings[i]) for i, name in enumerate(shape.string_names())},
        },
        segments={"land": pa.array(drawn.strings[0])},
        scores={POSITIVE: pa.array(drawn.scores)},
        label=pa.array([POSITIVE if positive else "paid" for positive in drawn.positive]),
    )
    return first.next(reference=reference, effective_from=0, cause_id="")


class Columns(NamedTuple):
    """Features (numbers in units of 1/1024), scores, labels and latencies, by template."""

    numbers: Any
    strings: list[list[str]]
    scores: Any
    positive: Any
    latencies: Any


@cache
def columns(shape: Shape) -> Columns:
    """What the templates of a model are made of; a row is a template."""
    random = np.random.default_rng(shape.number)
    rows = shape.templates
    values = [_STRINGS[i % len(_STRINGS)] for i in range(shape.strings)]
    scores = np.round(random.random(rows), 4)
    return Columns(
        numbers=random.integers(0, _UNIT * 100, (rows, shape.numbers)),
        strings=[[known[code] for code in random.integers(0, len(known), rows)] for known in values],
        scores=scores,
        positive=random.random(rows) < scores,
        latencies=np.round(random.gamma(2.0, 2.0, rows), 2),
    )


@cache
def templates(shape: Shape) -> list[Template]:
    """The templates of a model's events."""
    drawn = columns(shape)
    found = []
    for row in range(shape.templates):
        numbers = (drawn.numbers[row] / _UNIT).tolist()
        parts = [f'"{name}":{value!r}' for name, value in zip(shape.number_names(), numbers, strict=True)]
        parts += [f'"{name}":"{drawn.strings[i][row]}"' for i, name in enumerate(shape.string_names())]
        tail = (
            f'","features":{{{",".join(parts)}}},"prediction":"{POSITIVE}",'
            f'"scores":{{"{POSITIVE}":{drawn.scores[row]}}},"latency_ms":{drawn.latencies[row]},'
            f'"segments":{{"land":"{drawn.strings[0][row]}"}}}}'
        )
        found.append(Template(tail.encode(), int(drawn.numbers[row, 0]), bool(drawn.positive[row])))
    return found


class Maker:
    """Makes the events of several models, interleaved: event ``n`` is of model ``n % models``."""

    def __init__(self, models: Sequence[Shape]) -> None:
        self._models = list(models)
        self._templates = [templates(shape) for shape in models]
        self._predictions = [
            b'{"namespace":"%s","model":"%s","version":"7","prediction_id":"p'
            % (NAMESPACE.encode(), shape.name.encode())
            for shape in models
        ]
        self._outcomes = [
            b'{"namespace":"%s","model":"%s","prediction_id":"p' % (NAMESPACE.encode(), shape.name.encode())
            for shape in models
        ]
        self._keys = [f"{NAMESPACE}/{shape.name}/p".encode() for shape in models]
        self._labels = [b'","label":"paid"}', b'","label":"%s"}' % POSITIVE.encode()]

    def key(self, number: int) -> bytes:
        """Kafka key of an event; its id is what comes after the last slash."""
        return b"%s%09d" % (self._keys[number % len(self._keys)], number)

    def keys(self, first: int, last: int) -> list[bytes]:
        """Kafka keys of the events ``first`` to ``last`` (not included)."""
        return [self.key(number) for number in range(first, last)]

    def predictions(self, first: int, times: Sequence[bytes]) -> Iterator[bytes]:
        """JSON (363 to 430 bytes with 10 features) of the events from ``first`` on, at these event times."""
        count = len(self._models)
        for n, at in enumerate(times, first):
            model = n % count
            known = self._templates[model]
            tail = known[n // count % len(known)].tail
            yield b'%s%09d","event_time":"%s%s' % (self._predictions[model], n, at, tail)

    def outcomes(self, numbers: Sequence[int], times: Sequence[bytes]) -> Iterator[bytes]:
        """JSON of the outcomes of events."""
        count = len(self._models)
        for n, at in zip(numbers, times, strict=True):
            model = n % count
            known = self._templates[model]
            label = self._labels[known[n // count % len(known)].positive]
            yield b'%s%09d","event_time":"%s%s' % (self._outcomes[model], n, at, label)

    def progress(self, at: int) -> Iterator[bytes]:
        """Every model's promise that all events before ``at`` have been sent."""
        for shape in self._models:
            yield (
                f'{{"type":"progress","namespace":"{NAMESPACE}","model":"{shape.name}",'
                f'"event_time":"{clock(at).decode()}"}}'
            ).encode()


def clock(at: int) -> bytes:
    """An event time, to the second, as it is written in an event."""
    return from_ms(at).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def times(first: int, last: int, events: int, span: int) -> NDArray[np.int64]:
    """Event times (ms) of the events ``first`` to ``last`` of ``events`` over ``span``, out of order by up to 4 s."""
    numbers = np.arange(first, last)
    return (START // 1000 + numbers * span // (1000 * events) + numbers * 7 % 5) * 1000


def spread(first: int, last: int, events: int, span: int) -> list[bytes]:
    """The same as they are written."""
    at = times(first, last, events, span)
    written = {int(each): clock(int(each)) for each in np.unique(at)}
    return [written[each] for each in at.tolist()]


@dataclass(frozen=True, slots=True)
class Truth:
    """What must be counted of a model.

    Attributes:
        events: predictions.
        total: the exact sum of the first numeric feature, in units of 1/1024.
        pairs: outcomes that were joined; ``positive``: those of the positive class.
    """

    events: int
    total: int
    pairs: int = 0
    positive: int = 0


def labelled(first: int, last: int, models: int, every: int) -> list[int]:
    """Which of the events ``first`` to ``last`` have an outcome: of each model's, one in ``every`` (0: none)."""
    return [n for n in range(first, last) if n // models % every == 0] if every else []


def truth(models: Sequence[Shape], events: int, every: int = 0, labelled_from: int = 0) -> dict[str, Truth]:
    """What the events 0 to ``events`` (not included) add up to, per model.

    Args:
        models: that take turns.
        events: how many.
        every: one in so many of a model's events has an outcome; 0: none has.
        labelled_from: the first event that may have one.
    """
    found = {}
    for place, shape in enumerate(models):
        drawn = columns(shape)
        mine = np.arange(len(range(place, events, len(models))))
        late_enough = mine * len(models) + place >= labelled_from
        pairs = mine[(mine % every == 0) & late_enough] % shape.templates if every else mine[:0]
        total = int(drawn.numbers[mine % shape.templates, 0].sum())
        found[shape.name] = Truth(len(mine), total, len(pairs), int(drawn.positive[pairs].sum()))
    return found
