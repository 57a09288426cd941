"""Events by column: all that a batch of a topic holds, and all that waits for the next checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from schemas.events import SourceTopic
from streams.aggregate.decode import Dead, Record
from streams.aggregate.extent import Extent
from streams.aggregate.keys import Keys
from streams.aggregate.layout import Layout
from streams.aggregate.tasks import Probabilities

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Bytes = NDArray[np.int8]
Codes = NDArray[np.int32]

SIDES: tuple[SourceTopic, SourceTopic] = ("predictions", "outcomes")
"""The two topics of a source partition; positions, watermarks and the like are in this order."""

DEAD, EVENT, PROGRESS, ASTRAY = range(4)
"""What a row is: a dead letter, an event, a progress record, or an event whose id lives in another partition."""

COUNTED, LATE, DUPLICATE, CORRECTION = range(4)
"""Verdicts on events."""

VERDICTS = ("counted", "late", "duplicate", "correction")
CHAMPION, CANARY, SHADOW = range(3)
ROLES = ("champion", "canary", "shadow")


class Astray(NamedTuple):
    """A record whose id lives in another partition, to which it is sent on under its proper key."""

    record: Record
    home: int
    key: bytes


class Features(NamedTuple):
    """Features of the rows of one model: ``numbers`` (rows x numbers), ``codes`` (rows x categories) of the layout."""

    layout: Layout
    rows: Ints
    numbers: Floats
    codes: Codes


class Texts(NamedTuple):
    """Texts of some rows, in the order of ``rows``; one list or Arrow array per name, made when somebody asks."""

    rows: Ints
    columns: Mapping[str, Any]


@dataclass
class Rows:
    """A batch of one topic: partitions one after the other, each in the order of its log.

    Every column has one value per event. Where there is none, only ``partition``, ``offset``, ``row`` (the place of an
    event in a message of many), ``log_ts`` and ``kind`` mean something; a progress record has ``generation``,
    ``event_time`` and ``window`` too.

    Attributes:
        generation: code of ``Models.everything``.
        keys: of the events.
        texts: what raw rows say in words.
    """

    topic: SourceTopic
    partition: Ints
    offset: Ints
    row: Ints
    log_ts: Ints
    kind: Bytes
    generation: Ints
    event_time: Ints
    window: Ints
    keys: Keys
    verdict: Bytes
    texts: list[Texts] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def side(self) -> int:
        """0 for predictions, 1 for outcomes."""
        return SIDES.index(self.topic)

    def part(self, first: int, end: int) -> Self:
        """The rows of one partition; verdicts written there are written here."""
        columns: dict[str, Any] = {
            name: value[first:end] if isinstance(value, np.ndarray | list) and name not in _WHOLE else value
            for name, value in vars(self).items()
            if name != "keys"
        }
        return type(self)(keys=self.keys.take(slice(first, end)), **columns)


@dataclass
class PredictionRows(Rows):
    """Predictions.

    Attributes:
        version: code of ``Models.versions``; segment: of ``Models.segments``; role: of ``ROLES``.
        score: what is watched; NaN without.
        place: class that was predicted, -1 without (see ``streams.aggregate.tasks``).
        latency: milliseconds; NaN without.
        late: its window had closed.
        probabilities: of all classes, where the task has several.
        features: by model.
    """

    version: Ints = field(kw_only=True)
    segment: Ints = field(kw_only=True)
    role: Bytes = field(kw_only=True)
    score: Floats = field(kw_only=True)
    place: Ints = field(kw_only=True)
    latency: Floats = field(kw_only=True)
    late: Bools = field(kw_only=True)
    probabilities: list[Probabilities | None] | None = field(kw_only=True, default=None)
    features: list[Features] = field(kw_only=True, default_factory=list)

    def remember(self, place: int, probabilities: Probabilities) -> None:
        """Set the probabilities of a row."""
        if self.probabilities is None:
            self.probabilities = [None] * len(self)
        self.probabilities[place] = probabilities


@dataclass
class OutcomeRows(Rows):
    """Outcomes; ``target`` is the label as a number."""

    target: Floats = field(kw_only=True)


_WHOLE = ("texts", "features")


@dataclass
class Pairs:
    """Predictions with their outcomes, by column; window, generation and so on are the prediction's.

    Attributes:
        matured: in time for the window's one test.
        beyond: further from each other than the label horizon: tallied, not paired.
    """

    partition: Ints
    generation: Ints
    window: Ints
    version: Ints
    segment: Ints
    score: Floats
    place: Ints
    probabilities: list[Probabilities | None] | None
    target: Floats
    matured: Bools
    beyond: Bools


@dataclass
class Work:
    """What was classified and waits for the next checkpoint, of all partitions of a member.

    Attributes:
        size: bytes of the records that predictions and outcomes were made of; what is kept of them is less.
        buried: bytes of the records that are dead or astray, which are kept whole.
        extent: windows that predictions were counted in since the last checkpoint.
    """

    predictions: list[PredictionRows] = field(default_factory=list)
    outcomes: list[OutcomeRows] = field(default_factory=list)
    pairs: list[Pairs] = field(default_factory=list)
    dead: list[Dead] = field(default_factory=list)
    astray: list[Astray] = field(default_factory=list)
    size: int = 0
    buried: int = 0
    extent: Extent = field(default_factory=Extent)

    def waiting(self) -> int:
        """Records whose raw rows and counts are in memory only."""
        return sum(map(len, self.predictions)) + sum(map(len, self.outcomes))
