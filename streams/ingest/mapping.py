"""From a record of a customer's topic to driftline's events, by the ``source:`` of the models that read the topic."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from schemas.events import MAX_EVENT_BYTES, Outcome, Prediction, SourceTopic, encode, record_key
from schemas.source import Header, OutcomeSource, Places, PredictionSource, RecordFormat, When
from schemas.spec import ModelSpec
from streams.ingest.values import Instant, Place, Source, Unmappable, label, number, scalar, shown, text

Event = Prediction | Outcome


class Rule(ABC):
    """What one model takes from one topic: its predictions, or its outcomes."""

    kind: SourceTopic

    def __init__(self, namespace: str, model: str, part: PredictionSource | OutcomeSource, name: str) -> None:
        self.namespace, self.model, self.topic, self.format = namespace, model, part.topic, part.format
        self._field = f"source.{name}"
        self._when = _Condition(part.when, f"{self._field}.when") if part.when is not None else None
        self._id = self._place("id", part.id)
        self._time = Instant(part.time, f"{self._field}.time")

    def may_mean(self, headers: Source) -> bool:
        """Whether the headers alone leave it open that the rule takes the record."""
        return self._when is None or not self._when.by_header or self._when.holds(headers)

    def meant(self, source: Source) -> bool:
        """Whether the record is one of those that the rule takes."""
        return self._when is None or self._when.holds(source)

    @abstractmethod
    def event(self, source: Source) -> Event:
        """The event that the record tells of.

        Raises:
            Unmappable: a place is empty or holds another type; path, value and the way out are named.
        """

    def _place(self, name: str, where: Any) -> Place:
        return Place(where, f"{self._field}.{name}")

    def _checked(self, kind: type[Event], fields: dict[str, Any]) -> Event:
        fields |= {"namespace": self.namespace, "model": self.model}
        try:
            return msgspec.convert(fields, kind)
        except msgspec.ValidationError as error:
            raise Unmappable(
                "unmapped", f"the event that spec.{self._field} makes of the record is not valid: {error}"
            ) from error


class PredictionRule(Rule):
    """Takes predictions."""

    kind = "predictions"

    def __init__(self, namespace: str, model: str, part: PredictionSource, specs: Sequence[ModelSpec]) -> None:
        super().__init__(namespace, model, part, "predictions")
        self._declared = {feature.name for spec in specs for feature in spec.features}
        self._version = self._place("version", part.version)
        self._features = self._object("features", _features_of(specs, part.features))
        self._scores = self._object("scores", part.scores) if part.scores is not None else None
        self._segments = self._places("segments", part.segments)
        self._optional = {
            name: self._place(name, where)
            for name, where in (("prediction", part.prediction), ("latency_ms", part.latency_ms), ("role", part.role))
            if where is not None
        }

    def event(self, source: Source) -> Event:
        """The prediction."""
        fields: dict[str, Any] = {
            "version": text(self._version, source),
            "prediction_id": text(self._id, source),
            "event_time": self._time.find(source),
            "features": self._find_features(source),
        }
        if self._scores is not None:
            fields["scores"] = {
                name: number(place, value) for name, place, value in _members(self._scores, source, needed=True)
            }
        segments = ((name, place, place.find(source)) for name, place in self._segments.items())
        fields["segments"] = {name: _tag(place, value) for name, place, value in segments if value is not None}
        for name, place in self._optional.items():
            if (value := place.find(source)) is not None:
                fields[name] = number(place, value) if name == "latency_ms" else scalar(place, value)
        return self._checked(Prediction, fields)

    def _find_features(self, source: Source) -> dict[str, Any]:
        # A feature that is not there is a missing value. Of a whole object, what nobody declared may be nested.
        return {
            name: scalar(place, value)
            for name, place, value in _members(self._features, source)
            if name in self._declared or isinstance(value, str | float | int | None)
        }

    def _places(self, name: str, places: Places) -> dict[str, Place]:
        return {item: self._place(f"{name}.{item}", where) for item, where in places.items()}

    def _object(self, name: str, where: str | Places) -> Place | dict[str, Place]:
        return self._place(name, where) if isinstance(where, str) else self._places(name, where)


class OutcomeRule(Rule):
    """Takes outcomes."""

    kind = "outcomes"

    def __init__(self, namespace: str, model: str, part: OutcomeSource) -> None:
        super().__init__(namespace, model, part, "outcomes")
        self._label = self._place("label", part.label)

    def event(self, source: Source) -> Event:
        """The outcome."""
        fields = {
            "prediction_id": text(self._id, source),
            "event_time": self._time.find(source),
            "label": label(self._label, source),
        }
        return self._checked(Outcome, fields)


def rules_of(namespace: str, model: str, specs: Sequence[ModelSpec]) -> list[Rule]:
    """The rules that a model declares; none without a ``source``.

    Args:
        namespace: of the model.
        model: its name.
        specs: of its generations, oldest first. The newest says how records are read, from its publication on, so that
            a mapping can be mended at once. Only features that it no longer has are still taken as before: the windows
            of an earlier generation may be open, and would see them vanish.
    """
    rules: list[Rule] = []
    source = specs[-1].source
    if source is not None and source.predictions is not None:
        rules.append(PredictionRule(namespace, model, source.predictions, specs))
    if source is not None and source.outcomes is not None:
        rules.append(OutcomeRule(namespace, model, source.outcomes))
    return rules


def _features_of(specs: Sequence[ModelSpec], newest: str | Places) -> str | Places:
    if isinstance(newest, str):
        return newest
    parts = [spec.source.predictions for spec in specs if spec.source is not None]
    places: Places = {}
    for part in parts:
        if part is not None and not isinstance(part.features, str):
            places |= part.features
    return places | newest


class Ready(Struct, frozen=True):
    """An event as it is sent."""

    topic: SourceTopic
    key: bytes
    body: bytes


@dataclass
class Mapped:
    """What became of a record: events, and what could not become one. Neither: nobody means it."""

    events: list[Ready] = field(default_factory=list)
    refused: list[Unmappable] = field(default_factory=list)


def map_record(rules: Iterable[Rule], source: Source) -> Mapped:
    """Apply every rule of a topic to one of its records."""
    mapped = Mapped()
    for rule in rules:
        try:
            if rule.meant(source):
                event = rule.event(source)
                body = encode(event)
                if len(body) > MAX_EVENT_BYTES:
                    raise Unmappable("too_large", f"the event has {len(body)} bytes, at most {MAX_EVENT_BYTES}")
                mapped.events.append(Ready(rule.kind, record_key(event), body))
        except Unmappable as refused:
            detail = f"{rule.namespace}/{rule.model}: {refused.detail}"
            mapped.refused.append(Unmappable(refused.reason, detail))
    return mapped


def formats_of(rules: Iterable[Rule]) -> list[RecordFormat]:
    """The formats that a topic's rules expect, sorted; more than one: the specs disagree."""
    return sorted({rule.format for rule in rules})


class _Condition:
    """``when``, compiled: a value that is not there equals nothing."""

    def __init__(self, when: When, name: str) -> None:
        self._place = Place(when.path if when.path is not None else Header(header=when.header or ""), name)
        # JSON's true is not 1, although Python says so; a header is always text.
        wanted = when.equals if when.path is not None else tuple(map(str, when.equals))
        self.by_header = when.path is None
        self._equals = {(isinstance(value, bool), value) for value in wanted}

    def holds(self, source: Source) -> bool:
        value = self._place.find(source)
        return isinstance(value, bool | int | float | str) and (isinstance(value, bool), value) in self._equals


def _members(
    places: Place | Mapping[str, Place], source: Source, *, needed: bool = False
) -> Iterable[tuple[str, Place, Any]]:
    """(name, place, value) of a whole object, or of each place that was named."""
    if isinstance(places, Place):
        found = places.need(source)
        if not isinstance(found, Mapping):
            raise places.refuse(f"{shown(found)} is no object")
        return ((str(name), places, value) for name, value in found.items())
    return ((name, place, place.need(source) if needed else place.find(source)) for name, place in places.items())


def _tag(place: Place, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int):
        raise place.refuse(f"{shown(value)} is neither text nor a whole number")
    return str(value)
