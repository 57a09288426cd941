"""A small seeded world for stage 1: a model, its events with every fault, and a slow, plain oracle of what to count."""

import json
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]

from schemas.models import FeatureReference, ModelRecord, Reference
from schemas.spec import FeatureSpec, ModelSpec, WindowSpec
from schemas.windows import from_ms

HOUR = 3_600_000
DAY = 24 * HOUR
START = 15_706 * DAY  # 2013-01-01
MAX_AGE = timedelta(days=36_500)
EDGES = [-1.0, 0.0, 1.0]
CATEGORIES = ["EWR", "JFK"]


def reference() -> Reference:
    def of(name: str, kind: Any, **given: Any) -> FeatureReference:
        empty: dict[str, Any] = dict.fromkeys(("low", "high", "mean", "sd"))
        lists: dict[str, Any] = {key: [] for key in ("edges", "categories", "counts")}
        windows: dict[str, Any] = {key: [] for key in ("window_n", "window_nulls", "window_outside")}
        return FeatureReference(
            **{"name": name, "kind": kind, "n": 0, "nulls": 0, **empty, **lists, **windows, **given}
        )

    features = [
        of("x", "number", edges=EDGES, low=-0.75, high=0.75),
        of("origin", "string", categories=CATEGORIES),
        of("wet", "boolean", categories=["false", "true"]),
    ]
    return Reference(
        start=0, end=0, rows=0, features={"": features}, score_counts=[], score_edges=[], class_counts=[],
        loss="log_loss", window_losses=[], window_rows=[],
    )  # fmt: skip


def model_record(name: str = "delay", generation: int = 1, effective_from: int = 0, **windows: Any) -> ModelRecord:
    spec = ModelSpec(
        positive_class="late",
        features=(
            FeatureSpec(name="x", kind="number"),
            FeatureSpec(name="origin", kind="string"),
            FeatureSpec(name="wet", kind="boolean"),
        ),
        segments=("origin",),
        windows=WindowSpec(
            **{
                "width": timedelta(days=1),
                "allowed_lateness": timedelta(hours=1),
                "future_skew": timedelta(hours=1),
                "max_age": MAX_AGE,
                "dedupe_horizon": timedelta(days=7),
                "label_maturity": timedelta(days=1),
                "label_horizon": timedelta(days=3),
            }
            | windows
        ),
    )
    return ModelRecord(
        namespace="default",
        model=name,
        generation=generation,
        effective_from=effective_from,
        spec=spec.model_dump(mode="json"),
        reference=reference() if generation > 1 else None,
        cause_id="test",
    )


@dataclass
class Sent:
    """A record to be sent: topic, key, value."""

    topic: str
    key: bytes
    value: bytes


def prediction(number: int, event_time: int, rng: random.Random, **given: Any) -> dict[str, Any]:
    return {
        "namespace": "default",
        "model": "delay",
        "version": "v1",
        "prediction_id": f"f{number}",
        "event_time": from_ms(event_time).isoformat(),
        "features": {
            "x": rng.choice([None, rng.gauss(0, 1.5)]) if rng.random() < 0.3 else rng.gauss(0, 1.5),
            "origin": rng.choice(["EWR", "JFK", "LGA", None]),
            "wet": rng.random() < 0.5,
            "unheard_of": 1,
        },
        "scores": {"late": round(rng.random(), 3)},
        "latency_ms": rng.choice([None, rng.random() * 100]),
        "segments": {"origin": rng.choice(["EWR", "JFK"])} if rng.random() < 0.8 else {},
    } | given


def outcome(number: int, event_time: int, label: Any, **given: Any) -> dict[str, Any]:
    return {
        "namespace": "default",
        "model": "delay",
        "prediction_id": f"f{number}",
        "event_time": from_ms(event_time).isoformat(),
        "label": label,
    } | given


def events(count: int, seed: int, days: int = 4) -> list[Sent]:
    """Predictions of two versions and outcomes in the order of their sending, with duplicates, late and dead ones."""
    rng = random.Random(seed)
    timed: list[tuple[float, Sent]] = []

    def send(at: float, topic: str, body: dict[str, Any] | bytes, key: str) -> None:
        value = body if isinstance(body, bytes) else json.dumps(body).encode()
        timed.append((at, Sent(topic, key.encode(), value)))

    for number in range(count):
        at = START + number * days * DAY // count
        delay = rng.choice([0, 0, 0, 0, 0, HOUR // 2, 3 * HOUR, 30 * HOUR])
        body, key = prediction(number, at, rng), f"default/delay/f{number}"
        send(at + delay, "predictions", body, key)
        if rng.random() < 0.3:
            send(at + delay, "predictions", body | {"version": "v2", "role": "shadow", "scores": {"late": 0.25}}, key)
        if rng.random() < 0.05:
            send(at + delay + rng.random() * DAY, "predictions", body, key)
        if rng.random() < 0.02:
            broken = rng.choice([b"{", b'{"model":1}', json.dumps(body | {"model": "unheard"}).encode()])
            send(at, "predictions", broken, key)
        if rng.random() < 0.02:
            send(at, "predictions", body | {"features": {"x": "warm"}}, key)
        if rng.random() < 0.8:
            known = at + rng.choice([-HOUR, HOUR, 5 * HOUR, 30 * HOUR, 4 * DAY])
            label = rng.choice(["late", "on time", True, False, 1, 0.0])
            sent = known + rng.choice([0, 0, HOUR])
            send(sent, "outcomes", outcome(number, known, label), key)
            again = rng.random()
            if again < 0.1:
                label = label if again < 0.05 else rng.choice(["late", "on time", True, 0.0])
                send(sent + rng.random() * DAY, "outcomes", outcome(number, known, label), key)
        if rng.random() < 0.01:
            send(at, "outcomes", outcome(number, at, 7), key)
    return [sent for _, sent in sorted(timed, key=lambda item: item[0])]


def progress(event_time: int, model: str = "delay") -> bytes:
    body = {"type": "progress", "namespace": "default", "model": model, "event_time": from_ms(event_time).isoformat()}
    return json.dumps(body).encode()


Key = tuple[str, int, int, str, str, str, str]
"""(namespace/model, window start, generation, view, version, segment, name)."""

Numbers = tuple[int, int, int, tuple[int, ...], float | None, float | None, tuple[int, ...]]
"""(n, nulls, outside, sums, minimum, maximum, counts)."""


class _Count:
    """One sketch, counted value by value."""

    def __init__(self, bins: int, sums: int) -> None:
        self.n = self.nulls = self.outside = 0
        self.sums, self.counts = [0] * sums, [0] * bins
        self.seen: list[float] = []

    def add(self, bin_: int, *values: float, ranged: bool = True, outside: bool = False) -> None:
        self.n += 1
        self.outside += outside
        self.counts[bin_] += 1
        self.sums = [total + round(value * 2**20) for total, value in zip(self.sums, values, strict=True)]
        if values and ranged:
            self.seen.append(values[0])

    def add_null(self) -> None:
        self.n += 1
        self.nulls += 1

    def numbers(self) -> Numbers:
        low, high = (min(self.seen), max(self.seen)) if self.seen else (None, None)
        return self.n, self.nulls, self.outside, tuple(self.sums), low, high, tuple(self.counts)


LATENCY_EDGES = [0.01 * 1.04**k for k in range(412)]


class Oracle:
    """Counts one partition, one record after the other, by the words of the protocol; what is seen is kept in lists.

    It has the numbers of :func:`model_record` by heart. Records must come in the order in which they are processed.
    Those whose id lives in another one of ``partitions`` are tallied, and have no row: they are sent on.
    """

    def __init__(self, records: Sequence[ModelRecord], partition: int = 0, partitions: int = 1) -> None:
        self.partition, self.partitions = partition, partitions
        self.generations = sorted(records, key=lambda r: -r.generation)
        self.sketches: dict[Key, _Count] = {}
        self.verdicts: dict[tuple[str, int], str] = {}
        self.seen: dict[str, dict[str, list[dict[str, Any]]]] = {
            topic: defaultdict(list) for topic in ("predictions", "outcomes")
        }
        self.watermark = {"predictions": -math.inf, "outcomes": -math.inf}

    def result(self) -> dict[Key, Numbers]:
        return {key: count.numbers() for key, count in self.sketches.items()}

    def _count(self, bins: int, sums: int, *key: Any) -> _Count:
        return self.sketches.setdefault(key, _Count(bins, sums))

    def _tally(self, name: str, start: int, generation: int, key: str = "default/delay") -> None:
        count = self._count(0, 0, key, start, generation, "tally", "", "", name)
        count.n += 1

    def record(self, topic: str, offset: int, log_ts: int, value: bytes) -> None:
        try:
            event = json.loads(value)
            at = round(datetime.fromisoformat(event["event_time"]).timestamp() * 1000)
            alive = event["model"] == "delay" and at <= log_ts + HOUR and event.get("label") != 7
            alive = alive and not isinstance(event.get("features", {}).get("x"), str)
        except (ValueError, KeyError):
            alive = False
        if not alive:
            self.verdicts[topic, offset] = "dead"
            self._tally(f"{topic}.dead", 0, 0, "/")
            return
        if event.get("type") == "progress":
            self.watermark[topic] = max(self.watermark[topic], at)
            return
        start = at // DAY * DAY
        key = f"default/delay/{event['prediction_id']}".encode()
        if (murmur2(key) & 0x7FFFFFFF) % self.partitions != self.partition:
            found = next((g for g in self.generations if g.effective_from <= start), self.generations[-1])
            self._tally(f"{topic}.misrouted", start, found.generation)
            return
        generation = next((g for g in self.generations if g.effective_from <= start), self.generations[-1])
        event |= {"at": at, "start": start, "generation": generation.generation, "log_ts": log_ts, "offset": offset}
        same = [e for e in self.seen[topic][event["prediction_id"]] if e.get("version") == event.get("version")]
        late = topic == "predictions" and start + DAY <= self.watermark["predictions"]
        event["late"] = late
        verdict = "late" if late else "counted"
        if any(e["log_ts"] >= log_ts - 7 * DAY for e in same):
            said = [e["label"] in ("late", True, 1) for e in (same[-1], event)] if topic == "outcomes" else [0, 0]
            verdict = "duplicate" if said[0] == said[1] else "correction"
        self.verdicts[topic, offset] = verdict
        self._tally(f"{topic}.{verdict}", start, event["generation"])
        if topic == "predictions" and verdict == "counted":
            self._prediction(event)
        if not same:
            self._join(topic, event)
        self.seen[topic][event["prediction_id"]].append(event)
        self.watermark[topic] = max(self.watermark[topic], at - HOUR)

    def _prediction(self, e: dict[str, Any]) -> None:
        where = ("default/delay", e["start"], e["generation"])
        score = e["scores"]["late"]
        self._count(128, 1, *where, "score", e["version"], "", "").add(min(int(score * 128), 127), score)
        if e["latency_ms"] is not None:
            at_or_below = sum(edge <= e["latency_ms"] for edge in LATENCY_EDGES)
            self._count(413, 1, *where, "latency", e["version"], "", "").add(at_or_below, e["latency_ms"])
        if e.get("role") == "shadow":
            return
        self._count(0, 0, *where, "tally", e["version"], "", "predictions.served").n += 1
        edges, origins, wets = (EDGES, CATEGORIES, ["false", "true"]) if e["generation"] > 1 else ([], [], [])
        for segment in self._segments(e):
            x = self._count(len(edges) + 1, 1, *where, "feature", "", segment, "x")
            value = e["features"]["x"]
            if value is None:
                x.add_null()
            else:
                x.add(sum(edge <= value for edge in edges), value, outside=bool(edges) and abs(value) > 2.25)
            for name, known in (("origin", origins), ("wet", wets)):
                count = self._count(len(known) + 1, 0, *where, "feature", "", segment, name)
                value = e["features"][name]
                text = json.dumps(value) if isinstance(value, bool) else value
                if text is None:
                    count.add_null()
                else:
                    bin_ = known.index(text) if text in known else len(known)
                    count.add(bin_, outside=bin_ == len(known))

    def _segments(self, e: dict[str, Any]) -> list[str]:
        return ["", *(f"origin={value}" for tag, value in e["segments"].items() if tag == "origin")]

    def _join(self, topic: str, event: dict[str, Any]) -> None:
        other = "outcomes" if topic == "predictions" else "predictions"
        firsts: dict[Any, dict[str, Any]] = {}
        for e in self.seen[other][event["prediction_id"]]:
            firsts.setdefault(e.get("version"), e)
        for found in firsts.values():
            p, o = (event, found) if topic == "predictions" else (found, event)
            if abs(o["at"] - p["at"]) > 3 * DAY:
                self._tally("outcomes.late_label", p["start"], p["generation"])
                continue
            in_time = topic == "predictions" or self.watermark["outcomes"] < p["start"] + 2 * DAY
            view = "matured" if in_time and not p["late"] else "overdue"
            label = int(o["label"] in ("late", True, 1))
            score = p["scores"]["late"]
            clipped = min(max(score, 1e-6), 1 - 1e-6)
            loss = -math.log(clipped if label else 1 - clipped)
            for segment in self._segments(p):
                self._count(256, 3, "default/delay", p["start"], p["generation"], view, p["version"], segment, "").add(
                    2 * min(int(score * 128), 127) + label, loss, (score - label) ** 2, score, ranged=False
                )


def joined(numbers: dict[Key, Numbers]) -> dict[tuple[object, ...], Any]:
    """Matured and overdue pairs taken together."""
    merged: dict[tuple[object, ...], Any] = {}
    for (key, start, generation, view, *rest), value in numbers.items():
        name = (key, start, generation, "pairs" if view in ("matured", "overdue") else view, *rest)
        n, _, _, sums, low, high, counts = value
        before = merged.get(name)
        if before is None:
            merged[name] = (n, sums, low, high, counts)
        else:
            added = [tuple(map(sum, zip(a, b, strict=True))) for a, b in ((before[1], sums), (before[4], counts))]
            merged[name] = (before[0] + n, added[0], low, high, added[1])
    return merged
