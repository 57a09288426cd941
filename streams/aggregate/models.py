"""The generations of every model's spec and reference, as the compacted ``models`` topic tells them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import structlog
from numpy.typing import NDArray

from bus.compacted import CompactedReader
from bus.generations import Declared
from schemas.models import FeatureReference, ModelRecord
from schemas.partials import ALL, model_key
from schemas.settings import Settings
from schemas.spec import FeatureKind, ModelSpec, milliseconds
from schemas.windows import Windows
from streams.aggregate import explain
from streams.aggregate.layout import Layout, Names
from streams.aggregate.tasks import Rules, rules

log = structlog.get_logger()

Ints = NDArray[np.int64]

_ACCEPTED: dict[FeatureKind, type] = {"number": float, "string": str, "boolean": bool}
_REMEMBERED_SHAPES = 10_000


@dataclass
class Generation:
    """One spec with its reference, prepared for the hot path. Durations are in milliseconds if not named otherwise.

    ``code`` is its place in ``Models.everything``, by which columns of events name it.
    """

    record: ModelRecord
    spec: ModelSpec
    grid: Windows
    features: tuple[str, ...]
    kinds: tuple[type, ...]
    tags: tuple[str, ...]
    references: dict[str, FeatureReference]
    lateness: int
    future_skew: int
    max_age: int
    dedupe_horizon: int
    maturity: int
    label_horizon: int
    ttl_days: int
    task: Rules
    code: int = -1
    shapes: set[tuple[type, ...]] = field(default_factory=set)

    @classmethod
    def of(cls, record: ModelRecord) -> "Generation":
        """Prepare a record.

        Raises:
            pydantic.ValidationError: the spec is not valid.
        """
        spec = record.parsed()
        windows = spec.windows
        references = record.reference.features.get(ALL, []) if record.reference else []
        return cls(
            record=record,
            spec=spec,
            grid=spec.grid(),
            features=tuple(feature.name for feature in spec.features),
            kinds=tuple(_ACCEPTED[feature.kind] for feature in spec.features),
            tags=spec.segments,
            references={reference.name: reference for reference in references},
            lateness=milliseconds(windows.allowed_lateness),
            future_skew=milliseconds(windows.future_skew),
            max_age=milliseconds(windows.max_age),
            dedupe_horizon=milliseconds(windows.dedupe_horizon),
            maturity=milliseconds(windows.label_maturity),
            label_horizon=milliseconds(windows.label_horizon),
            ttl_days=spec.raw.days,
            task=rules(spec, record.reference),
        )

    @property
    def key(self) -> str:
        """``namespace/model``."""
        return model_key(self.record.namespace, self.record.model)

    @property
    def number(self) -> int:
        """The generation's number, part of the identity of everything counted under it."""
        return self.record.generation

    def wrong_kind(self, values: tuple[object, ...]) -> str | None:
        """Explain the first feature whose value is not of its kind; None when all are.

        Args:
            values: one per feature, in the order of ``features``; None is a missing value and always right.
        """
        shape = tuple(map(type, values))
        if shape in self.shapes:
            return None
        for feature, kind, found, value in zip(self.spec.features, self.kinds, shape, values, strict=True):
            if found not in (kind, type(None)):
                return explain.wrong_kind(feature.name, value, feature.kind)
        if len(self.shapes) < _REMEMBERED_SHAPES:
            self.shapes.add(shape)
        return None


class Tables:
    """Columns with one row per generation, by its code, so that a batch of events of many models looks up at once.

    ``model`` is a code of ``Models.keys``; ``older`` is the generation before, -1 when there is none.
    """

    def __init__(self, generations: Sequence[Generation], models: Sequence[int], older: Sequence[int]) -> None:
        def column(values: Iterable[int]) -> Ints:
            return np.fromiter(values, np.int64, len(generations))

        self.model = column(models)
        self.older = column(older)
        self.number = column(g.number for g in generations)
        self.effective_from = column(g.record.effective_from for g in generations)
        self.width = column(g.grid.width for g in generations)
        self.offset = column(g.grid.offset for g in generations)
        self.lateness = column(g.lateness for g in generations)
        self.future_skew = column(g.future_skew for g in generations)
        self.max_age = column(g.max_age for g in generations)
        self.dedupe_horizon = column(g.dedupe_horizon for g in generations)
        self.maturity = column(g.maturity for g in generations)
        self.label_horizon = column(g.label_horizon for g in generations)
        self.ttl_days = column(g.ttl_days for g in generations)
        self.keeps_features = column(g.spec.raw.features for g in generations).astype(np.bool_)

    def plausible(self, codes: Ints, event_time: Ints, log_ts: Ints) -> NDArray[np.bool_]:
        """Whether each event's time is one that its spec allows, by the broker's timestamp of its record."""
        ahead = event_time - log_ts
        found: NDArray[np.bool_] = (ahead <= self.future_skew[codes]) & (-ahead <= self.max_age[codes])
        return found

    def start(self, codes: Ints, event_time: Ints) -> Ints:
        """Start of the window of each event (see ``schemas.windows``)."""
        if len(codes) and (codes == codes[0]).all():
            # Numpy divides by one number several times faster than by many.
            codes = codes[0]
        width, offset = self.width[codes], self.offset[codes]
        starts: Ints = (event_time - offset) // width * width + offset
        return starts


class Models:
    """Every known model and its generations.

    Attributes:
        deleted: models of which a generation was deleted since somebody last emptied it: what is remembered of their
            events counts no more, whether or not they have been declared again.
        everything: every generation that there has been, by its code.
        keys: codes of the models' keys.
        versions: codes of the versions that answered.
        segments: codes of the sets of segments (``tag=value``) that an event can belong to.
        layouts: by key.
        revision: changes with every generation.
    """

    def __init__(self) -> None:
        self.deleted: set[str] = set()
        self.everything: list[Generation] = []
        self.keys, self.versions = Names[str](), Names[str]()
        self.segments = Names[tuple[str, ...]]()
        self.layouts: dict[str, Layout] = {}
        self.revision = 0
        self._tables: Tables | None = None
        self._generations: dict[str, list[Generation]] = {}

    def learn(self, record: ModelRecord) -> None:
        """Add a generation, or replace it by a newer record of the same number."""
        key = model_key(record.namespace, record.model)
        others = [g.record for g in self._generations.get(key, []) if g.number != record.generation]
        self.replace(key, [*others, record])

    def replace(self, key: str, records: Sequence[ModelRecord]) -> None:
        """All that is declared of a model now; what has not changed is kept as it is."""
        before = {generation.number: generation for generation in self._generations.pop(key, [])}
        kept = [before.get(record.generation) for record in records]
        after = [
            known if known is not None and known.record == record else Generation.of(record)
            for known, record in zip(kept, records, strict=True)
        ]
        for generation in after:
            if generation.code < 0:
                generation.code = len(self.everything)
                self.everything.append(generation)
        self.layouts.pop(key, None)
        if after:
            self._generations[key] = sorted(after, key=lambda g: -g.number)
            self.layouts[key] = Layout(key, self._generations[key])
        self._tables, self.revision = None, self.revision + 1
        if before.keys() - {generation.number for generation in after}:
            self.deleted.add(key)

    def names(self) -> list[str]:
        """``namespace/model`` of every known model, sorted."""
        return sorted(self._generations)

    def generations(self, key: str) -> list[Generation]:
        """Generations of a model, the newest first; empty when the model is unknown."""
        return self._generations.get(key, [])

    def at(self, key: str, event_time: int) -> tuple[Generation, int] | None:
        """The generation that an event belongs to, and the start of its window.

        It is the newest with ``effective_from <= window start``, or the oldest when all take effect later. None when
        the model is unknown.
        """
        generations = self._generations.get(key)
        if not generations:
            return None
        for generation in generations:
            start = generation.grid.start(event_time)
            if generation.record.effective_from <= start:
                break
        return generation, start

    @property
    def tables(self) -> Tables:
        """What a batch needs to know of every generation."""
        if self._tables is None:
            models = [self.keys.code(generation.key) for generation in self.everything]
            older = [-1] * len(self.everything)
            for generations in self._generations.values():
                for newer, before in pairwise(generations):
                    older[newer.code] = before.code
            self._tables = Tables(self.everything, models, older)
        return self._tables

    def assign(self, newest: Ints, event_time: Ints) -> tuple[Ints, Ints]:
        """The generation code and the window of each event, as :meth:`at` says.

        Args:
            newest: code of the newest generation of each event's model.
            event_time: in milliseconds.
        """
        tables, codes = self.tables, newest
        starts = tables.start(codes, event_time)
        while True:
            later = (tables.effective_from[codes] > starts) & (tables.older[codes] >= 0)
            if not later.any():
                return codes, starts
            codes = np.where(later, tables.older[codes], codes)
            starts = tables.start(codes, event_time)

    def outlived(self, key: str, number: int) -> bool:
        """Whether rows of a generation are left of a model that was deleted: it is unknown, or began again later."""
        generations = self._generations.get(key)
        return not generations or number < generations[-1].number

    def numbered(self, key: str, number: int) -> Generation | None:
        """The generation with this number."""
        return next((g for g in self.generations(key) if g.number == number), None)


class ModelsReader:
    """Teaches :class:`Models` what the ``models`` topic says, whenever asked."""

    def __init__(self, settings: Settings, models: Models) -> None:
        self._models = models
        self._topic = settings.topic("models")
        self._declared = Declared()
        self._reader = CompactedReader(settings, "models")

    def read(self, timeout: float = 30.0) -> None:
        """Learn every record up to the end that the topic has now; events of an unknown model are dead letters.

        Raises:
            KafkaException: the broker does not answer within ``timeout`` seconds.
        """
        for key in sorted(self._declared.learn(self._reader.read(timeout), self._topic)):
            records = self._declared.generations(*key.split("/", 1))
            self._models.replace(key, records)
            log.info("aggregate.model", model=key, generations=[(r.generation, r.effective_from) for r in records])

    def partition_counts(self) -> dict[str, int]:
        """Topic -> number of partitions, as the broker has them."""
        return self._reader.partition_counts()

    def close(self) -> None:
        """Leave the broker."""
        self._reader.close()
