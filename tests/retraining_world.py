"""A small world for tests of stages 3 and 4: it plays the service, the aggregator and the monitor.

Labels follow ``x``: P(positive) = logistic(slope * x). A drift turns the slope round, after which the old model is bad.
"""

import json
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec
import numpy as np
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from schemas.ids import content_id
from schemas.lifecycle import Report, Request, RequestReason, Rollout
from schemas.models import ModelRecord
from schemas.settings import Settings
from schemas.spec import FeatureSpec, GateSpec, ModelSpec, RetrainingSpec
from schemas.tables import RAW_OUTCOMES, RAW_PREDICTIONS, REPORTS
from schemas.topics import TopicName
from schemas.windows import from_ms
from warehouse.client import Warehouse

T = TypeVar("T")

DAY = 86_400_000
T0 = 1_356_998_400_000  # 2013-01-01T00:00:00Z
NAMESPACE, MODEL = "default", "toy"

SPEC = ModelSpec(
    positive_class="1",
    features=(
        FeatureSpec(name="x", kind="number"),
        FeatureSpec(name="carrier", kind="string"),
        FeatureSpec(name="weekend", kind="boolean"),
    ),
    segments=("origin",),
    retraining=RetrainingSpec(holdout=timedelta(days=5)),
    gate=GateSpec(bound=0.2, bets=(0.4, 0.8), guard=timedelta(days=10), shadow_max=timedelta(days=10)),
)


def day(index: int) -> int:
    """Start of the window number ``index``."""
    return T0 + index * DAY


class World:
    """Raw rows in ClickHouse, one source partition; event i of day d has offset d * rows + i in both topics."""

    def __init__(self, warehouse: Warehouse, rows: int = 200) -> None:
        self.warehouse = warehouse
        self.rows = rows

    def features(self, index: int) -> list[dict[str, object]]:
        """The features of a day's requests; some values are null."""
        random = np.random.default_rng(index)
        x = random.normal(size=self.rows)
        return [
            {
                "x": None if i % 40 == 3 else float(value),
                "carrier": ("AA", "B6", "UA")[i % 3],
                "weekend": index % 7 >= 5,
            }
            for i, value in enumerate(x)
        ]

    def labels(self, index: int, slope: float = 3.0) -> np.ndarray:
        """1 with probability logistic(slope * x)."""
        random = np.random.default_rng(10_000 + index)
        x = np.array([row["x"] or 0.0 for row in self.features(index)], dtype=float)
        return (random.random(self.rows) < 1 / (1 + np.exp(-slope * x))).astype(int)

    def ids(self, index: int) -> list[str]:
        """Prediction ids of a day."""
        return [f"p{index:04d}-{i:05d}" for i in range(self.rows)]

    def predict(self, index: int, version: str, scores: np.ndarray | None, role: str = "champion") -> None:
        """Insert a day's predictions by one version."""
        shift = 0 if role == "champion" else 500_000
        self.warehouse.insert(
            RAW_PREDICTIONS,
            [
                [
                    NAMESPACE, MODEL, name, version, 0, index * self.rows + i + shift, 0, from_ms(T0),
                    self.event_time(index, i),
                    role, "", None if scores is None else float(scores[i]), "{}", json.dumps(features),
                    json.dumps({"origin": ("EWR", "JFK")[i % 2]}), None, "counted", 1, 1, 90,
                ]
                for i, (name, features) in enumerate(zip(self.ids(index), self.features(index), strict=True))
            ],
        )  # fmt: skip

    def label(self, index: int, slope: float = 3.0) -> None:
        """Insert a day's outcomes, two hours after each prediction."""
        labels = self.labels(index, slope)
        self.warehouse.insert(
            RAW_OUTCOMES,
            [
                [
                    NAMESPACE, MODEL, name, 0, index * self.rows + i, 0, from_ms(T0),
                    self.event_time(index, i) + timedelta(hours=2), str(labels[i]), int(labels[i]), None,
                    "counted", 1, 90,
                ]
                for i, name in enumerate(self.ids(index))
            ],
        )  # fmt: skip

    def event_time(self, index: int, i: int) -> datetime:
        """Predictions are spread over the first 20 hours of a day."""
        return from_ms(day(index) + i * 72_000_000 // self.rows)


def request(
    at: int, ordinal: int = 1, reason: RequestReason = "bootstrap", *, holdout_days: int = 0, offsets: int = 10**9
) -> Request:
    """A request made at ``at`` and due a day later."""
    return Request(
        id=content_id("request", NAMESPACE, MODEL, ordinal),
        namespace=NAMESPACE,
        model=MODEL,
        ordinal=ordinal,
        reason=reason,
        cause_id="test",
        evidence="a test asks",
        at=at,
        due=at + DAY,
        as_of={"0": (offsets, offsets)},
        history_from=T0,
        holdout_from=at - holdout_days * DAY,
        generation=1,
    )


def report(index: int, *requests: Request) -> Report:
    """The report of the tick that ends day ``index``."""
    return Report(
        namespace=NAMESPACE,
        model=MODEL,
        at=day(index + 1),
        window_start=day(index),
        generation=1,
        as_of={"0": (10**9, 10**9)},
        counted=0,
        tested=[],
        incident=None,
        requests=list(requests),
    )


def tally(index: int, name: str = "predictions.counted", model: str = MODEL) -> list[object]:
    """A row of ``partials``: something of a day was counted."""
    return [NAMESPACE, model, 1, "tally", "", "", from_ms(day(index)), name, 0, 5, 0, 0, [], None, None, [], 1]


def record(spec: ModelSpec = SPEC) -> ModelRecord:
    """Generation 1: a spec, no reference."""
    return ModelRecord(NAMESPACE, MODEL, 1, T0, spec.model_dump(mode="json"), None, "test")


class Topics:
    """What the monitor sends, and what anybody reads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.producer = Producer(settings.producer())

    def send(self, name: TopicName, value: msgspec.Struct, key: bytes = b"default/toy") -> None:
        """Produce one record and wait."""
        self.producer.produce(self.settings.topic(name), key=key, value=msgspec.json.encode(value))
        assert self.producer.flush(30) == 0

    def read(self, name: TopicName, kind: type[T]) -> list[T]:
        """All records of a topic, from its start to its end."""
        consumer = Consumer(self.settings.consumer("reader"))
        try:
            place = TopicPartition(self.settings.topic(name), 0, 0)
            _, high = consumer.get_watermark_offsets(place, timeout=30)
            consumer.assign([place])
            found: list[Message] = []
            while len(found) < high:
                found += consumer.consume(high - len(found), 5.0)
            return [msgspec.json.decode(message.value() or b"", type=kind) for message in found]
        finally:
            consumer.close()

    def tick(self, warehouse: Warehouse, given: Report) -> None:
        """What the monitor does: the row, then the message."""
        body = msgspec.json.encode(given).decode()
        warehouse.insert(REPORTS, [[NAMESPACE, MODEL, from_ms(given.at), body, "{}"]])
        self.send("reports", given)


class Follower:
    """Reads ``rollouts`` as a router does."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = Consumer(settings.consumer("follower"))
        self._consumer.assign([TopicPartition(settings.topic("rollouts"), 0, 0)])
        self.last: Rollout | None = None

    def until(self, at: int, seconds: float = 60.0) -> Rollout:
        """The first record that is decided through ``at``."""
        rounds = int(seconds / 0.05)
        for _ in range(rounds):
            if self.last is not None and self.last.decided_through >= at:
                return self.last
            message = self._consumer.poll(0.05)
            if message is not None and message.error() is None:
                self.last = msgspec.json.decode(message.value() or b"", type=Rollout)
        raise AssertionError(f"not decided through {at} within {seconds} s; last: {self.last}")

    def close(self) -> None:
        self._consumer.close()
