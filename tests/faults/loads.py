"""A seeded load for stage 1: several models, versions, segments and outcomes, with every fault that producers make.

Every value is a multiple of 1/1024, so that sums are exact. What has to be counted of it is in ``oracle.py``.

Two *phases*. The first has everything that may be read in any interleaving of the topics without changing a verdict:
labels come well before their window is tested, or before their prediction. The second has the labels that come too late
for the test; it is sent when the first is counted, so that they are *overdue* for certain.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.models import FeatureReference, ModelRecord, Reference
from schemas.spec import AlertSpec, FeatureSpec, ModelSpec, RetrainingSpec, WindowSpec

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MINUTE = 60_000
HOUR = 60 * MINUTE
START = 15_706 * 24 * HOUR  # 2013-01-01
LATENESS = 10 * MINUTE
MATURITY = 4 * HOUR
LABEL_HORIZON = 6 * HOUR
NAMESPACE = "default"
TOPICS = ("predictions", "outcomes")
VERSIONS = ("v1", "v2", "v3")
"""The champion, a canary that answers a tenth of the requests, and a shadow that repeats a fifth of them."""

REGIONS = ("asia", "eu", "us")
"""Values of the segment; the code behind the last one is an event without it."""

EDGES = (-1.0, 0.0, 1.0)
RANGE = (-0.75, 0.75)
"""Of the reference's numbers: what is further than 1.5 outside of it is *outside*."""

ORIGINS = ("EWR", "JFK")
UNSEEN = "LGA"
RULE = "feature.x.null_rate > 0.5"
"""The one condition that is raised: ``x`` goes missing in the second half of the first model's windows."""

_DEAD = (
    b"{",
    b'{"namespace":"default","model":1}',
    b'{"namespace":"default","model":"nobody","version":"1","prediction_id":"1","event_time":"2013-01-01T00:00:00Z",'
    b'"features":{},"label":1}',
    b'{"namespace":"default","model":"model0","version":"1","prediction_id":"1","event_time":"2093-01-01T00:00:00Z",'
    b'"features":{},"scores":{"late":0.5},"label":1}',
    b'{"namespace":"default","model":"model0","version":"1","prediction_id":"1","event_time":"2013-01-01T00:00:00Z",'
    b'"features":{"x":"warm"},"scores":{"late":0.5},"label":7}',
)
"""No JSON, no event, an unknown model, the far future, a value of the wrong kind: dead on either topic."""


class Record(NamedTuple):
    """A record to send."""

    topic: str
    partition: int
    key: bytes
    value: bytes


@dataclass(frozen=True)
class Shape:
    """How a load is made; the shares are of the requests.

    Attributes:
        events: at least so many records.
        windows: hours that the requests are spread over.
        duplicates: predictions that are sent twice.
        slow: predictions that are sent hours later, most of them too late for their window.
    """

    events: int = 100_000
    seed: int = 1
    partitions: int = 4
    models: int = 3
    windows: int = 12
    duplicates: float = 0.05
    slow: float = 0.1

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return [f"model{number}" for number in range(self.models)]

    @property
    def end(self) -> int:
        """When every window is over, and its labels have matured: what progress is sent for after the first phase."""
        return START + self.windows * HOUR + MATURITY

    def records(self) -> list[ModelRecord]:
        """The one generation of each model."""
        return [model_record(name) for name in self.names]


def model_record(name: str, **windows: Any) -> ModelRecord:
    """A generation with a reference and one rule; ``windows`` change its WindowSpec."""
    hours = timedelta(hours=1)
    spec = ModelSpec(
        positive_class="late",
        features=(
            FeatureSpec(name="x", kind="number"),
            FeatureSpec(name="y", kind="number"),
            FeatureSpec(name="origin", kind="string"),
            FeatureSpec(name="wet", kind="boolean"),
        ),
        segments=("region",),
        windows=WindowSpec(
            **{
                "width": hours,
                "allowed_lateness": timedelta(milliseconds=LATENESS),
                "label_maturity": timedelta(milliseconds=MATURITY),
                "label_horizon": timedelta(milliseconds=LABEL_HORIZON),
            }
            | windows
        ),
        alerts=AlertSpec(rules=(RULE,), min_rows=10),
        # One request: the first one that a schedule asks for, and no other for a year.
        retraining=RetrainingSpec(collect=2 * hours, schedule=2 * hours, cooldown=timedelta(days=60), budget=1),
    )
    lists: dict[str, Any] = {key: [] for key in ("window_n", "window_nulls", "window_outside")}

    def of(name: str, kind: Any, edges: Sequence[float], categories: Sequence[str], bins: int) -> FeatureReference:
        low, high = RANGE if edges else (None, None)
        mean, sd = (0.0, 0.5) if edges else (None, None)
        return FeatureReference(
            name=name, kind=kind, n=100 * bins, nulls=0, edges=list(edges), categories=list(categories),
            low=low, high=high, mean=mean, sd=sd, counts=[100] * bins, **lists,
        )  # fmt: skip

    features = [
        of("x", "number", EDGES, [], 4),
        of("y", "number", EDGES, [], 4),
        of("origin", "string", [], ORIGINS, 3),
        of("wet", "boolean", [], ("false", "true"), 3),
    ]
    return ModelRecord(
        namespace=NAMESPACE, model=name, generation=1, effective_from=0, spec=spec.model_dump(mode="json"),
        reference=Reference(
            start=0, end=0, rows=400, features={"": features}, score_counts=[10] * 128, score_edges=[],
            class_counts=[], loss="log_loss", window_losses=[], window_rows=[],
        ),
        cause_id="faults",
    )  # fmt: skip


def murmur2(keys: Sequence[bytes]) -> Ints:
    """The hash that Kafka's clients take partitions from, of keys that all have one length."""
    length = len(keys[0])
    data = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), length)
    words = np.ascontiguousarray(data[:, : length // 4 * 4]).view("<u4")
    factor = np.uint32(0x5BD1E995)
    with np.errstate(over="ignore"):
        found = np.full(len(keys), 0x9747B28C ^ length, np.uint32)
        for word in words.T:
            mixed = word * factor
            mixed = (mixed ^ (mixed >> np.uint32(24))) * factor
            found = found * factor ^ mixed
        for place in range(length - 1, length // 4 * 4 - 1, -1):
            found = found ^ (data[:, place].astype(np.uint32) << np.uint32(8 * (place % 4)))
        if length % 4:
            found = found * factor
        found = (found ^ (found >> np.uint32(13))) * factor
        found = found ^ (found >> np.uint32(15))
    return found.astype(np.int64)


@dataclass
class Table:
    """Columns of records, one row each, in the order of their sending.

    Attributes:
        request: row of the requests; -1 of a dead record.
        version: code of the version that answered; 0 of outcomes.
        sent: when, in milliseconds of the sender's clock.
        time: event time.
        label: 0 or 1.
        late_phase: whether it belongs to the second phase.
    """

    topic: Ints
    request: Ints
    version: Ints
    sent: Ints
    time: Ints
    label: Ints
    dead: Ints
    late_phase: Flags

    def rows(self, chosen: Any) -> "Table":
        return Table(**{name: column[chosen] for name, column in vars(self).items()})

    @classmethod
    def of(cls, topic: int, request: Ints, sent: Ints, time: Ints, **given: Any) -> "Table":
        rows = len(request)
        found = {"version": 0, "label": 0, "dead": -1, "late_phase": False} | given
        columns: dict[str, Any] = {
            name: np.broadcast_to(np.asarray(value, bool if name == "late_phase" else np.int64), rows)
            for name, value in found.items()
        }
        return cls(topic=np.full(rows, topic), request=request, sent=sent, time=time, **columns)

    @classmethod
    def concatenate(cls, parts: Sequence["Table"]) -> "Table":
        return cls(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


class Load:
    """Records in the order of their sending, and the truth about them."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        rng = np.random.default_rng(shape.seed)
        # One request makes about 2.1 records; orphans are requests of which only the outcome is sent.
        count = shape.events // 2 + 1
        self.model = rng.integers(0, shape.models, count)
        self.time = START + np.arange(count, dtype=np.int64) * shape.windows * HOUR // count
        self.region = rng.integers(0, len(REGIONS) + 1, count)
        self.canary = rng.random(count) < 0.1
        broken = (self.model == 0) & (self.time >= START + shape.windows // 2 * HOUR)
        self.x = self._numbers(rng, count, np.where(broken, 0.8, 0.05))
        self.y = self._numbers(rng, count, 0.1)
        self.origin = rng.integers(-1, 3, count)
        self.wet = rng.integers(0, 2, count)
        self.scores = rng.integers(0, 1025, (2, count))
        self.latency = np.where(rng.random(count) < 0.1, np.nan, rng.integers(1, 100 * 1024, count) / 1024)
        self.keys = [
            f"{NAMESPACE}/model{model}/{number:09d}".encode() for number, model in enumerate(self.model.tolist())
        ]
        self.partition = (murmur2(self.keys) & 0x7FFFFFFF) % shape.partitions
        table = self._send(rng, count)
        self.table = table.rows(np.lexsort((np.arange(len(table.sent)), table.sent, table.late_phase)))
        self.first_phase = int(np.count_nonzero(~self.table.late_phase))
        # A dead record lies anywhere.
        dead = np.arange(len(self.table.request)) % shape.partitions
        self.place = np.where(self.table.request < 0, dead, self.partition[self.table.request])
        assert len(self) >= shape.events, f"{len(self)} records; one request should make more"

    def __len__(self) -> int:
        return len(self.table.request)

    @staticmethod
    def _numbers(rng: np.random.Generator, count: int, nulls: float | Floats) -> Floats:
        found = np.rint(rng.normal(0, 1.2, count) * 1024) / 1024 + 0.0
        return np.where(rng.random(count) < nulls, np.nan, found)

    def _send(self, rng: np.random.Generator, count: int) -> Table:
        shape, every = self.shape, np.arange(count)

        def some(share: float, among: Ints = every) -> Ints:
            return among[rng.random(len(among)) < share]

        def wait(rows: int, low: int, high: int) -> Ints:
            return rng.integers(low, high, rows)

        # Predictions: out of order by all that is in bounds, a few hours late; 1% of the ids are never predicted.
        sent = self.time + wait(count, 0, LATENESS + 1)
        slow = some(shape.slow)
        sent[slow] += wait(len(slow), HOUR, 4 * HOUR)
        main = some(0.99)
        first = Table.of(0, main, sent[main], self.time[main], version=self.canary[main].astype(np.int64))
        shadowed = some(0.2, main)
        shadows = Table.of(0, shadowed, sent[shadowed] + 1, self.time[shadowed], version=2)
        again = first.rows(rng.random(len(main)) < shape.duplicates)
        again.sent = again.sent + wait(len(again.sent), 1, 2 * HOUR)

        # Outcomes: minutes to two hours after, some before their prediction; the last eighth in the second phase.
        known = some(0.75)
        delay = np.where(rng.random(len(known)) < 0.05, -5 * MINUTE, wait(len(known), MINUTE, 2 * HOUR))
        late = rng.random(len(known)) < 0.125
        # Of those, some are further from their prediction than the horizon.
        delay = np.where(late & (rng.random(len(known)) < 0.2), LABEL_HORIZON + HOUR, delay)
        label = (rng.integers(0, 1025, len(known)) < self.scores[0, known]).astype(np.int64)
        told = self.time[known] + delay
        arrives = told + wait(len(known), 0, LATENESS + 1)
        outcomes = Table.of(1, known, arrives, told, label=label, late_phase=late)
        repeated = outcomes.rows(rng.random(len(known)) < 0.05)
        repeated.sent = repeated.sent + wait(len(repeated.sent), 1, HOUR)
        corrected = rng.random(len(repeated.sent)) < 0.4
        repeated.label = np.where(corrected, 1 - repeated.label, repeated.label)

        dead = []
        for topic in (0, 1):
            when = self.time[some(0.005)]
            kinds = rng.integers(0, len(_DEAD), len(when))
            dead.append(Table.of(topic, np.full(len(when), -1), when, when, dead=kinds))
        return Table.concatenate([first, shadows, again, outcomes, repeated, *dead])

    def score(self, request: Ints, version: Ints) -> Ints:
        """Scores of versions, in 1/1024: a shadow has its own."""
        return np.asarray(self.scores[(version == 2).astype(np.int64), request], np.int64)

    def records(self, start: int, stop: int) -> Iterator[Record]:
        """Records [start, stop) as they are sent."""
        t, part = self.table, slice(start, stop)
        request = t.request[part]
        times = np.datetime_as_string(t.time[part].astype("datetime64[ms]")).tolist()
        score = self.score(request, t.version[part]) / 1024
        columns: Iterable[tuple[Any, ...]] = zip(
            t.topic[part].tolist(), self.place[part].tolist(), request.tolist(), t.version[part].tolist(), times,
            t.label[part].tolist(), t.dead[part].tolist(), self.model[request].tolist(),
            _json(self.x[request]), _json(self.y[request]), self.origin[request].tolist(),
            self.wet[request].tolist(), score.tolist(), _json(self.latency[request]), self.region[request].tolist(),
            strict=True,
        )  # fmt: skip
        for (
            topic,
            place,
            number,
            version,
            time,
            label,
            dead,
            model,
            x,
            y,
            origin,
            wet,
            score_,
            latency,
            region,
        ) in columns:
            if dead >= 0:
                yield Record(TOPICS[topic], place, b"dead", _DEAD[dead])
                continue
            who = f'"namespace":"{NAMESPACE}","model":"model{model}","prediction_id":"{number:09d}"'
            head = f'{{{who},"event_time":"{time}Z"'
            if topic == 1:
                body = f'{head},"label":{label}}}'
            else:
                body = (
                    f'{head},"version":"{VERSIONS[version]}","role":"{_ROLES[version]}","features":{{"x":{x},"y":{y},'
                    f'"origin":{_ORIGINS[origin]},"wet":{_BOOLEANS[wet]},"unheard_of":1}},"scores":{{"late":{score_}}},'
                    f'"latency_ms":{latency},"segments":{{{_SEGMENTS[region]}}}}}'
                )
            yield Record(TOPICS[topic], place, self.keys[number], body.encode())


def _json(values: Floats) -> list[str]:
    return ["null" if value != value else repr(value) for value in values.tolist()]  # noqa: PLR0124  NaN


_ROLES = ("champion", "canary", "shadow")
_ORIGINS = {-1: "null", 0: '"EWR"', 1: '"JFK"', 2: f'"{UNSEEN}"'}
_BOOLEANS = ("false", "true")
_SEGMENTS = (*(f'"region":"{region}"' for region in REGIONS), "")
