"""A second count of the same events, for :mod:`app.reconcile`: its own decoder, its own rules, nothing but ``json``.

It follows the contract in ``docs/architecture.md`` and imports nothing from ``streams``, so that one mistake is not
made twice. It is slow and simple on purpose.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

from schemas.columnar import CE_BATCHES, BadBatch, bodies, is_batch, read
from schemas.events import SourceTopic
from schemas.models import ModelRecord
from schemas.spec import milliseconds
from schemas.windows import NEVER, to_ms

SCORE_BINS = 128
MAX_BYTES = 500_000
MAX_DEPTH = 500
MAX_NAME = 200

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?\d\d)")
_CE_TYPES = {
    "prediction": "io.driftline.prediction.v1",
    "outcome": "io.driftline.outcome.v1",
    "progress": "io.driftline.progress.v1",
}
_KIND = {"predictions": "prediction", "outcomes": "outcome"}
_TOPICS: dict[str, SourceTopic] = {"predictions": "predictions", "outcomes": "outcomes"}


Headers = Iterable[tuple[str, bytes | None]] | None


class Dead(Exception):
    """The event can never be processed; the argument is the reason."""


class Place(NamedTuple):
    """One row of ``partials``: a tally or a histogram of one window of one source partition."""

    namespace: str
    model: str
    generation: int
    window_start: int
    partition: int
    view: str
    version: str
    name: str


class Row(NamedTuple):
    """Place of an event in a partition; ``row`` is 0 where a message is one event."""

    offset: int
    row: int = 0


@dataclass(slots=True)
class Figures:
    """Rows, rows without a value, rows per bin."""

    n: int = 0
    nulls: int = 0
    counts: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Event:
    """What counting needs of an event. ``kind``: prediction, outcome or progress. Times in milliseconds.

    Attributes:
        score: what is watched of a prediction; ``prediction`` is a class by its name, or a number.
    """

    kind: str
    namespace: str
    model: str
    event_time: int
    prediction_id: str = ""
    version: str = ""
    shadow: bool = False
    score: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    prediction: Any = None
    features: dict[str, Any] = field(default_factory=dict)
    label: Any = None


class Contract:
    """One generation of a model: its windows, its rules, and the bins of the histograms that are recounted.

    Of the features the first number and the first string are recounted, with the reference's own bins.
    """

    def __init__(self, record: ModelRecord) -> None:
        spec = record.parsed()
        windows = spec.windows
        self.number = record.generation
        self.effective_from = record.effective_from
        self.grid = spec.grid()
        self.lateness = milliseconds(windows.allowed_lateness)
        self.skew = milliseconds(windows.future_skew)
        self.max_age = milliseconds(windows.max_age)
        self.horizon = milliseconds(windows.dedupe_horizon)
        self.task = spec.task
        self.positive_class = spec.positive_class
        self.classes = {name: i for i, name in enumerate(spec.classes)}
        self.score_edges = record.reference.score_edges if record.reference else []
        self.kinds = {feature.name: feature.kind for feature in spec.features}
        references = {r.name: r for r in (record.reference.features.get("", []) if record.reference else [])}
        self.edges: dict[str, list[float]] = {}
        self.categories: dict[str, dict[str, int]] = {}
        # Rows that keep no features cannot tell of them.
        kept = self.kinds if spec.raw.features else {}
        for name in [n for n, kind in kept.items() if kind == "number"][:1]:
            self.edges[name] = references[name].edges if name in references else []
        for name in [n for n, kind in kept.items() if kind == "string"][:1]:
            known = references[name].categories if name in references else []
            self.categories[name] = {category: i for i, category in enumerate(known)}

    def answer(self, event: Event) -> None:
        """Set the score of a prediction.

        Raises:
            Dead: the task needs more than there is.
        """
        if self.task == "regression":
            if type(event.prediction) is not float:
                raise Dead("wrong_prediction")
            event.score = event.prediction
            return
        if self.task == "binary":
            needed, chosen = [self.positive_class], self.positive_class
        else:
            event.prediction = chosen = _class(event.prediction)
            needed = list(self.classes) if event.scores else []
            if chosen not in self.classes:
                raise Dead("wrong_prediction")
        if not all(name in event.scores for name in needed):
            raise Dead("missing_score")
        event.score = event.scores.get(chosen)

    def meaning(self, label: Any) -> Any:
        """What a label says: yes or no, a class, or a number.

        Raises:
            Dead: nothing that the task knows.
        """
        if self.task == "multiclass":
            known = _class(label) in self.classes
            meant: Any = _class(label)
        elif self.task == "regression":
            known, meant = type(label) is float, label
        else:
            known = isinstance(label, str) or label in (0, 1)
            meant = label == self.positive_class if isinstance(label, str) else bool(label)
        if not known:
            raise Dead("unknown_label")
        return meant

    @property
    def recounted(self) -> list[str]:
        """Features whose histograms are recounted."""
        return [*self.edges, *self.categories]


class Recount:
    """The second count. Feed it the events of each partition of each topic in the order of their offsets.

    Args:
        records: every generation of every model.
        partitions: how many source partitions there are.
    """

    def __init__(self, records: Iterable[ModelRecord], partitions: int = 1) -> None:
        self._partitions = partitions
        self.contracts: dict[tuple[str, str], list[Contract]] = {}
        for record in sorted(records, key=lambda r: -r.generation):
            self.contracts.setdefault((record.namespace, record.model), []).append(Contract(record))
        self.expected: dict[Place, Figures] = {}
        self.rows: dict[tuple[str, int], set[Row]] = {}
        self.dead: dict[tuple[str, int], list[Row]] = {}
        self._watermarks: dict[tuple[str, str, int], int] = {}
        self._seen: dict[tuple[str, str, str, str, int], tuple[int, Any]] = {}

    def contract(self, namespace: str, model: str, event_time: int) -> Contract:
        """The newest generation in force when the event's window starts, else the oldest.

        Raises:
            Dead: nobody has declared the model.
        """
        known = self.contracts.get((namespace, model))
        if not known:
            raise Dead("unknown_model")
        return next((c for c in known if c.effective_from <= c.grid.start(event_time)), known[-1])

    def adopt(self, namespace: str, model: str, partition: int, watermark: int) -> None:
        """Raise the watermark of predictions, because the owner of an idle partition recorded that it did."""
        key = (namespace, model, partition)
        self._watermarks[key] = max(self._watermarks.get(key, NEVER), watermark)

    def record(
        self, place: tuple[str, int], row: Row, log_ts: int, *, value: bytes | None, headers: Headers = None
    ) -> None:
        """Count an event of a source topic (see :meth:`events`); ``place`` is (topic, partition)."""
        topic, partition = place
        try:
            event = decode(topic, value, headers)
            contract = self._check(event, log_ts)
        except Dead:
            self.dead_record(place, row)
            return
        if event.kind == "progress":
            if topic == "predictions":
                self.adopt(event.namespace, event.model, partition, event.event_time)
            return
        key = f"{event.namespace}/{event.model}/{event.prediction_id}".encode()
        if murmur2(key) % self._partitions != partition:
            # It was sent on, and is a record of the right partition too: that one has a row, this one has none.
            start = contract.grid.start(event.event_time)
            name = f"{topic}.misrouted"
            self._tally(Place(event.namespace, event.model, contract.number, start, partition, "tally", "", name))
            return
        self.rows.setdefault(place, set()).add(row)
        self.count(event, contract, partition, log_ts)

    def events(
        self, place: tuple[str, int], offset: int, value: bytes | None, headers: Headers
    ) -> list[tuple[Row, bytes | None, Headers]]:
        """What a record holds: itself, or the rows of a batch, each as an event that came alone.

        How a batch becomes rows is said in one place (``schemas.columnar``); how they are counted is done twice.
        """
        if not is_batch(headers):
            return [(Row(offset), value, headers)]
        try:
            _check_ce(headers, (CE_BATCHES[_TOPICS[place[0]]],))
            batch = read(_TOPICS[place[0]], value or b"")
        except (Dead, BadBatch):
            return [(Row(offset), value, headers)]
        return [(Row(offset, row), body, None) for row, body in enumerate(bodies(batch))]

    def dead_record(self, place: tuple[str, int], row: Row) -> None:
        """Count a record of a source topic that is dead, or was when it came: nobody had declared its model yet."""
        self.rows.setdefault(place, set()).add(row)
        self.bury(*place, row)

    def bury(self, topic: str, partition: int, row: Row) -> None:
        """Count a dead letter."""
        self.dead.setdefault((topic, partition), []).append(row)
        self._tally(Place("", "", 0, 0, partition, "tally", "", f"{topic}.dead"))

    def count(self, event: Event, contract: Contract, partition: int, log_ts: int, *, late: bool | None = None) -> None:
        """Count an event that is not dead.

        Args:
            event: a prediction or an outcome.
            contract: of its window.
            partition: its source partition.
            log_ts: the broker's timestamp, in milliseconds.
            late: whether it came too late, when that is known; None: judge by the watermark.
        """
        start = contract.grid.start(event.event_time)
        predicted = event.kind == "prediction"
        identity = (event.namespace, event.model, event.prediction_id, event.version if predicted else "\n", partition)
        label = None if predicted else contract.meaning(event.label)
        newest, told = self._seen.get(identity, (None, label))
        self._seen[identity] = (log_ts if newest is None else max(newest, log_ts)), label
        if newest is not None and newest >= log_ts - contract.horizon:
            verdict = "duplicate" if label == told else "correction"
        elif predicted and (self._late(event, contract, partition, start) if late is None else late):
            verdict = "late"
        else:
            verdict = "counted"
        place = Place(event.namespace, event.model, contract.number, start, partition, "tally", "", "")
        self._tally(place._replace(name=f"{event.kind}s.{verdict}"))
        if predicted:
            self.adopt(event.namespace, event.model, partition, event.event_time - contract.lateness)
            if verdict == "counted":
                if not event.shadow:
                    self._tally(place._replace(version=event.version, name="predictions.served"))
                self._histograms(event, contract, place)

    def _late(self, event: Event, contract: Contract, partition: int, start: int) -> bool:
        return contract.grid.end(start) <= self._watermarks.get((event.namespace, event.model, partition), NEVER)

    def _tally(self, place: Place) -> None:
        self.expected.setdefault(place, Figures()).n += 1

    def _histograms(self, event: Event, contract: Contract, place: Place) -> None:
        answer, edges = place._replace(view="score", version=event.version), contract.score_edges
        bins = len(edges) + 1 if contract.task == "regression" else SCORE_BINS
        if event.score is None:
            self._add(answer, None, bins)
        elif contract.task == "regression":
            self._add(answer, bisect_right(edges, event.score), bins)
        else:
            self._add(answer, min(int(event.score * bins), bins - 1), bins)
        if contract.task == "multiclass":
            chosen = contract.classes[event.prediction]
            self._add(answer._replace(view="prediction"), chosen, len(contract.classes) + 1)
        if event.shadow:
            return
        for name, edges in contract.edges.items():
            value = event.features.get(name)
            bin_ = None if value is None else bisect_right(edges, value)
            self._add(place._replace(view="feature", name=name), bin_, len(edges) + 1)
        for name, categories in contract.categories.items():
            value = event.features.get(name)
            bin_ = None if value is None else categories.get(value, len(categories))
            self._add(place._replace(view="feature", name=name), bin_, len(categories) + 1)

    def _add(self, place: Place, bin_: int | None, bins: int) -> None:
        found = self.expected.get(place)
        if found is None:
            found = self.expected[place] = Figures(counts=[0] * bins)
        found.n += 1
        if bin_ is None:
            found.nulls += 1
        else:
            found.counts[bin_] += 1

    def _check(self, event: Event, log_ts: int) -> Contract:
        """What a model's spec asks of an event.

        Raises:
            Dead: it does not fit.
        """
        contract = self.contract(event.namespace, event.model, event.event_time)
        if event.event_time < 0:
            raise Dead("invalid")
        if event.event_time > log_ts + contract.skew:
            raise Dead("from_future")
        if event.event_time < log_ts - contract.max_age:
            raise Dead("too_old")
        if event.kind == "prediction":
            contract.answer(event)
            for name, kind in contract.kinds.items():
                if not _is_kind(event.features.get(name), kind):
                    raise Dead("wrong_kind")
        elif event.kind == "outcome":
            contract.meaning(event.label)
        return contract


def murmur2(key: bytes) -> int:
    """Kafka's hash of a key, without its sign: the partitioner of the Java client."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(key)
    for start in range(0, len(key) - 3, 4):
        k = int.from_bytes(key[start : start + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if tail := key[len(key) // 4 * 4 :]:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


def _class(value: Any) -> str:
    """The name of a class: 3, 3.0 and "3" are one, true and "true" as well."""
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_kind(value: Any, kind: str) -> bool:
    match value:
        case None:
            return True
        case bool():
            return kind == "boolean"
        case str():
            return kind == "string"
    return kind == "number"


def decode(topic: str, value: bytes | None, headers: Headers) -> Event:
    """The event in a record: bare JSON, or CloudEvents 1.0 in Kafka's binary mode.

    Raises:
        Dead: there is none; the reason is ``undecodable``, ``too_large`` or ``invalid``.
    """
    if not value or is_batch(headers):  # of a batch that can be read, the rows come here
        raise Dead("undecodable")
    if len(value) > MAX_BYTES:
        raise Dead("too_large")
    promised = _promised(topic, headers)
    try:
        text = value.decode("utf-8")
        if _deepest(text) > MAX_DEPTH:
            raise Dead("invalid")
        body = json.loads(text, parse_constant=_refuse, parse_int=float, object_pairs_hook=_Object)
    except (ValueError, RecursionError) as error:
        raise Dead("undecodable") from error
    if not isinstance(body, _Object):
        raise Dead("invalid")
    try:
        return _event(body, promised or _KIND[topic])
    except Dead:
        if promised is None and body.get("type") == "progress":
            return _event(body, "progress")
        raise


def _event(body: "_Object", kind: str) -> Event:
    for name, item in body.overwritten:  # each of them must have been valid
        _event(_Object([*body.items(), (name, item)], []), kind)
    if kind == "progress" and body.get("type", "progress") != "progress":
        raise Dead("invalid")
    event = Event(kind, _name(body, "namespace"), _name(body, "model"), _instant(body.get("event_time")))
    if kind == "progress":
        return event
    event.prediction_id = _name(body, "prediction_id")
    if kind == "outcome":
        event.label = _of(body.get("label"), float, str, bool)
        return event
    event.version = _name(body, "version")
    event.features = _object(body.get("features"), float, str, bool, type(None))
    scores = body.get("scores", _Object([]))
    event.scores = _object(scores, float)
    event.prediction = _of(body.get("prediction"), float, str, bool, type(None))
    _object(body.get("segments", _Object([])), str)
    latency = _of(body.get("latency_ms"), float, type(None))
    role = body.get("role", "champion")
    if role not in ("champion", "canary", "shadow") or (latency is not None and latency < 0):
        raise Dead("invalid")
    if not all(0 <= score <= 1 for score in (*event.scores.values(), *dict(scores.overwritten).values())):
        raise Dead("invalid")
    event.shadow = role == "shadow"
    return event


def _promised(topic: str, headers: Headers) -> str | None:
    kinds = {_CE_TYPES[kind]: kind for kind in (_KIND[topic], "progress")}
    return kinds.get(_check_ce(headers, kinds))


def _check_ce(headers: Headers, valid: Container[str]) -> str:
    """The type that CloudEvents headers promise; empty without such headers."""
    found = {name: (value or b"").decode(errors="replace") for name, value in headers or () if name.startswith("ce_")}
    if found and (found.get("ce_specversion") != "1.0" or found.get("ce_type") not in valid):
        raise Dead("invalid")
    return found.get("ce_type", "")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


class _Object(dict[str, Any]):
    """A JSON object; ``overwritten`` are the pairs whose name came again, of which the last one holds."""

    def __init__(self, pairs: list[tuple[str, Any]], overwritten: list[tuple[str, Any]] | None = None) -> None:
        super().__init__(pairs)
        json.dumps(pairs, ensure_ascii=False).encode()  # refuses halves of surrogate pairs
        last = {name: i for i, (name, _) in enumerate(pairs)}
        again = [pair for i, pair in enumerate(pairs) if last[pair[0]] != i]
        self.overwritten = again if overwritten is None else overwritten


def _deepest(text: str) -> int:
    """The deepest nesting of brackets outside of strings."""
    depth = deepest = 0
    quoted = escaped = False
    for char in text:
        if quoted:
            quoted, escaped = escaped or char != '"', not escaped and char == "\\"
        else:
            quoted = char == '"'
            depth += (char in "{[") - (char in "}]")
            deepest = max(deepest, depth)
    return deepest


def _name(body: dict[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME:
        raise Dead("invalid")
    return value


def _instant(value: Any) -> int:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise Dead("invalid")
    try:
        return to_ms(datetime.fromisoformat(value.upper()))
    except (ValueError, OverflowError) as error:
        raise Dead("invalid") from error


def _of(value: Any, *kinds: type) -> Any:
    """``value`` when its JSON type is one of ``kinds``; a whole number is a float, a boolean is not."""
    if type(value) not in kinds or value in (float("inf"), float("-inf")):
        raise Dead("invalid")
    return value


def _object(value: Any, *kinds: type) -> dict[str, Any]:
    if not isinstance(value, _Object):
        raise Dead("invalid")
    for _, item in value.overwritten:
        _of(item, *kinds)
    return {name: _of(item, *kinds) for name, item in value.items()}
