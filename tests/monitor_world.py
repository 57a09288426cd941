"""A small aggregator for the monitor's tests: days of generated rows, as the messages and rows of stage 1."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from detectors import calibration
from detectors.distances import bin_positions
from detectors.effects import loss_effect
from detectors.reference import profile_categories, profile_number
from detectors.sketch import (
    Sketch,
    encode,
    group_categorical,
    group_latency,
    group_numeric,
    group_performance,
    group_score,
    losses,
    merge,
)
from detectors.stream import Calendar, Measure, Stream, fit
from schemas.lifecycle import Incident, Report
from schemas.models import Calibrated, ModelRecord, Reference, Scale, Watch
from schemas.partials import PartialMessage, SketchRow, Watermarks, model_key
from schemas.spec import AlertSpec, FeatureSpec, ModelSpec, RetrainingSpec, WindowSpec
from schemas.tables import CHECKPOINTS, PARTIALS
from streams.monitor import state as states
from streams.monitor.core import ModelMonitor
from streams.monitor.generations import Generations
from streams.monitor.held import Held
from streams.monitor.state import State

DAY = 24 * 3600 * 1000
START = 1_000 * DAY
NAMESPACE, MODEL = "default", "flights"
ROWS = 80
"""Predictions of a day in one partition."""

ORIGINS = ["EWR", "JFK"]


def spec(**changes: Any) -> ModelSpec:
    """Days, labels mature after one; ``changes`` replace whole parts."""
    day = timedelta(days=1)
    parts: dict[str, Any] = {
        "positive_class": "late",
        "features": (FeatureSpec(name="temp", kind="number"), FeatureSpec(name="origin", kind="string")),
        "segments": ("origin",),
        "windows": WindowSpec(width=day, label_maturity=day, label_horizon=3 * day),
        "alerts": AlertSpec(min_rows=50, latency_p99_ms=100.0, consecutive=2),
        "retraining": RetrainingSpec(
            collect=4 * day, schedule=8 * day, cooldown=3 * day, history=30 * day, holdout=2 * day, budget=12
        ),
    }
    return ModelSpec(**(parts | changes))


@dataclass
class Day:
    """The rows of one day in one partition."""

    temp: Any
    origin: list[str | None]
    scores: Any
    labels: Any
    latency: Any


def rows(
    day: int,
    partition: int,
    *,
    nulls: bool = False,
    only: str = "",
    bad: bool = False,
    slow: bool = False,
    warm: bool = False,
    stuck: bool = False,
    unsure: bool = False,
) -> Day:
    """Generated rows: ``nulls`` in temp (of ``only`` one origin), ``warm`` or ``stuck``; ``bad`` scores; ``slow``.

    ``unsure`` scores are near a half, and labels come as often as they say.
    """
    rng = np.random.default_rng((day + 1000, partition))
    scores = rng.beta(2, 5, ROWS)
    if unsure:
        scores = 0.3 + 0.4 * scores
    labels = (rng.random(ROWS) < scores).astype(int)
    temp = rng.normal(10, 3, ROWS)
    if nulls:
        temp[: ROWS // 2] = np.nan
    latency = rng.lognormal(1, 0.5, ROWS) * (100 if slow else 1)
    temp += 3 if warm else 0
    if stuck:
        temp[:] = 10.0
    origin: list[str | None] = [ORIGINS[int(x)] for x in rng.integers(0, 2, ROWS)]
    if only:
        temp = np.where([o != only for o in origin], rng.normal(10, 3, ROWS), temp)
    return Day(temp, origin, 1 - scores if bad else scores, labels, latency)


def reference(length: int = 10) -> Reference:
    """Of so many earlier days, ten of which are too few for evidence."""
    days = [rows(-day, p) for day in range(1, length + 1) for p in (0, 1)]
    ids = np.repeat(np.arange(2 * length) // 2, ROWS)
    profiles = [
        profile_number("temp", np.concatenate([d.temp for d in days]), ids),
        profile_categories("origin", [o for d in days for o in d.origin], ids),
    ]
    scores = np.concatenate([d.scores for d in days])
    log_loss, _ = losses(scores, np.concatenate([d.labels for d in days]).astype(bool))
    return Reference(
        start=START - length * DAY,
        end=START,
        rows=len(scores),
        features={"": profiles},
        score_counts=list(group_score(scores, np.zeros(len(scores), int), 1)[0].counts),
        score_edges=[],
        class_counts=[],
        loss="log_loss",
        window_losses=[float(part.mean()) for part in np.split(log_loss, length)],
        window_rows=[2 * ROWS] * length,
    )


def meaning(of: Reference) -> Reference:
    """The same, with what its scores mean: .2 of the labels are positive in their lower half, .9 in the upper."""
    return replace(of, calibrated=Calibrated([0, 64], [0.2, 0.9]))


def calibrated(length: int = 60) -> Reference:
    """Of so many earlier days, with what the labelled loss and the temperature of its days let one promise."""
    found = reference(length)
    ids, days = np.arange(length), [[rows(-day, p) for p in (0, 1)] for day in range(1, length + 1)]
    losses = np.array(found.window_losses)
    changes = losses - (losses.sum() - losses) / (length - 1)
    effect, usual = loss_effect(float(losses.mean())), float(losses.mean())
    loss = calibration.calibrate(changes, ids, effect=effect, streams=2)
    temp = found.features[""][0]
    assert temp.low is not None
    assert temp.high is not None
    zeros = np.zeros(2 * ROWS, int)
    counts = [
        group_numeric(np.concatenate([d.temp for d in day]), zeros, 1, temp.edges, low=temp.low, high=temp.high)[
            0
        ].counts
        for day in days
    ]
    measure = Measure(tuple(bin_positions(temp.edges, temp.low, temp.high).tolist()), temp.sd or 0.0)
    fitted = fit(counts, Calendar(ids, ids * 0, ids * 0), measure, threshold=1e9, streams=2)
    assert isinstance(loss, calibration.Scale)
    assert isinstance(fitted, Stream)
    rows_of = {"windows": length, "blocks": length, "rows": 2.0 * ROWS, "effective_rows": 2.0 * ROWS}
    watched = [
        Watch("loss", "change", usual=usual, scales=[_scale("change", loss)], **rows_of),  # type: ignore[arg-type]
        Watch(
            "feature.temp",
            "number",
            positions=list(measure.positions or ()),
            sd=measure.sd,
            shares=fitted.fixed.tolist(),
            scales=[_scale(n, s) for n, s in zip(("ks", "wasserstein"), fitted.scales, strict=True)],
            **rows_of,  # type: ignore[arg-type]
        ),
    ]
    return replace(found, watched=watched)


def _scale(distance: str, scale: calibration.Scale) -> Scale:
    return Scale(distance, scale.effect, list(scale.lows), scale.width, list(scale.means))


def record(
    generation: int = 1,
    *,
    with_reference: bool = True,
    of: Reference | None = None,
    effective_from: int = 0,
    **changes: Any,
) -> ModelRecord:
    """A generation of the model, with ``of`` or the reference of ten days."""
    return ModelRecord(
        namespace=NAMESPACE,
        model=MODEL,
        generation=generation,
        effective_from=effective_from,
        spec=spec(**changes).model_dump(mode="json"),
        reference=(of or reference()) if with_reference else None,
        cause_id="test",
    )


@dataclass
class Faults:
    """Days (0 is the first) on which something is wrong.

    ``bad_of`` is a version, or a segment, whose labels alone say that it is ``bad``; on days that it is ``away`` it has
    neither answers nor labels. On days of ``all_bad`` everybody's labels say so.
    """

    nulls: Sequence[int] = ()
    nulls_of: str = ""
    bad: Sequence[int] = ()
    bad_of: str = ""
    away: Sequence[int] = ()
    all_bad: Sequence[int] = ()
    slow: Sequence[int] = ()
    warm: Sequence[int] = ()
    stuck: Sequence[int] = ()
    unsure: Sequence[int] = ()
    silent: Sequence[int] = ()


@dataclass
class Aggregator:
    """One source partition of stage 1: two checkpoints a day, the second when the day is over.

    The first of ``versions`` serves, the others shadow it; from the day ``canary`` on the second gives 60% of answers.
    """

    partition: int
    reference: Reference | None
    faults: Faults = field(default_factory=Faults)
    versions: tuple[str, ...] = ("1",)
    generation: int = 1
    model: str = MODEL
    canary: int | None = None
    _seq: int = 0
    _total: dict[tuple[Any, ...], Sketch] = field(default_factory=dict)
    _changed: set[tuple[Any, ...]] = field(default_factory=set)

    def day(self, day: int) -> list[PartialMessage]:
        """Messages of a day: half of its labels come on the day, the rest on the next, some two days later."""
        start = START + day * DAY
        self._predict(day, slice(0, ROWS // 2))
        noon = self._checkpoint(start + DAY // 2, day)
        self._predict(day, slice(ROWS // 2, ROWS))
        self.label(day, slice(0, ROWS // 2), "matured")
        if day >= 1:
            self.label(day - 1, slice(ROWS // 2, ROWS - 10), "matured")
        if day >= 3:
            self.label(day - 3, slice(ROWS - 10, ROWS - 5), "overdue")
            self._add(day - 3, "tally", "", "", "predictions.late", Sketch(1, 0, 0, (), None, None, ()))
        return [noon, self._checkpoint(start + DAY, day)]

    def _rows(self, day: int) -> Day:
        faults = self.faults
        return rows(
            day,
            self.partition,
            nulls=day in faults.nulls,
            only=faults.nulls_of,
            bad=day in faults.all_bad or (day in faults.bad and not faults.bad_of),
            slow=day in faults.slow,
            warm=day in faults.warm,
            stuck=day in faults.stuck,
            unsure=day in faults.unsure,
        )

    def _predict(self, day: int, part: slice) -> None:
        if day in self.faults.silent:
            return
        d = self._rows(day)
        ids = np.zeros(len(d.temp[part]), int)
        temp, origin = (
            {f.name: f for f in self.reference.features[""]}.get(n) if self.reference else None
            for n in ("temp", "origin")
        )
        edges, low, high = (temp.edges, temp.low, temp.high) if temp else ([], None, None)
        known = origin.categories if origin else []
        self._add(day, "feature", "", "", "temp", group_numeric(d.temp[part], ids, 1, edges, low=low, high=high)[0])
        codes = encode(d.origin[part], known)
        self._add(day, "feature", "", "", "origin", group_categorical(codes, ids, 1, len(known))[0])
        for segment in ORIGINS:
            mine = np.array([o == segment for o in d.origin[part]])
            zeros = np.zeros(int(mine.sum()), int)
            sketch = group_numeric(d.temp[part][mine], zeros, 1, edges, low=low, high=high)[0]
            self._add(day, "feature", "", f"origin={segment}", "temp", sketch)
        versions = [version for version in self.versions if not self._away(day, version)]
        for version in versions:
            self._add(day, "score", version, "", "", group_score(d.scores[part], ids, 1)[0])
            self._add(day, "latency", version, "", "", group_latency(d.latency[part], ids, 1)[0])
        beside = len(ids) * 3 // 5 if self.canary is not None and day >= self.canary and len(versions) > 1 else 0
        for version, served in zip(versions, (len(ids) - beside, beside), strict=False):
            if served:
                self._add(day, "tally", version, "", "predictions.served", Sketch(served, 0, 0, (), None, None, ()))
        counted = len(ids) * len(versions)
        self._add(day, "tally", "", "", "predictions.counted", Sketch(counted, 0, 0, (), None, None, ()))

    def label(self, day: int, part: slice, view: str) -> None:
        """Labels of some rows of a day have come; they go out with the next checkpoint."""
        d, of = self._rows(day), self.faults.bad_of
        for version in self.versions:
            for segment in ("", "origin=JFK"):
                if self._away(day, version) or self._away(day, segment):
                    continue
                scores = 1 - d.scores if of and of in (version, segment) and day in self.faults.bad else d.scores
                ids = np.zeros(len(d.labels[part]), int)
                self._add(day, view, version, segment, "", group_performance(scores[part], d.labels[part], ids, 1)[0])

    def _away(self, day: int, who: str) -> bool:
        return who == self.faults.bad_of != "" and day in self.faults.away

    def _add(self, day: int, *key_and_sketch: Any) -> None:
        *names, sketch = key_and_sketch
        key = (START + day * DAY, *names)
        self._total[key] = merge(self._total[key], sketch) if key in self._total else sketch
        self._changed.add(key)

    def _checkpoint(self, watermark: int, day: int) -> PartialMessage:
        self._seq += 1
        sketches = []
        for key in sorted(self._changed):
            start, view, version, segment, name = key
            s = self._total[key]
            sketches.append(
                SketchRow(
                    self.generation,
                    view,
                    version,
                    segment,
                    start,
                    name,
                    s.n,
                    s.nulls,
                    s.outside,
                    list(s.sums),
                    s.minimum,
                    s.maximum,
                    list(s.counts),
                )
            )
        self._changed.clear()
        return PartialMessage(
            namespace=NAMESPACE,
            model=self.model,
            partition=self.partition,
            seq=self._seq,
            owner="owner",
            watermarks=Watermarks(watermark, watermark),
            positions=(self._seq * 100, day * 10),
            sketches=sketches,
        )


def stream(
    days: int,
    partitions: int = 2,
    *,
    faults: Faults | None = None,
    versions: tuple[str, ...] = ("1",),
    with_reference: bool = True,
    of: Reference | None = None,
    model: str = MODEL,
    canary: int | None = None,
) -> list[list[PartialMessage]]:
    """Messages of each partition, in order."""
    known = (of or reference()) if with_reference else None
    found = []
    for partition in range(partitions):
        aggregator = Aggregator(partition, known, faults or Faults(), versions, model=model, canary=canary)
        found.append([message for day in range(days) for message in aggregator.day(day)])
    return found


def in_turn(partitions: Sequence[Sequence[PartialMessage]]) -> list[PartialMessage]:
    """One message of each partition after the other."""
    return [message for step in zip(*partitions, strict=True) for message in step]


def decided(
    messages: Sequence[Sequence[PartialMessage]], generations: Generations, *, partitions: int, restarts: bool
) -> tuple[list[Report], State]:
    """The reports that messages of partitions make; ``restarts``: the state goes through JSON after every tick."""
    monitor = ModelMonitor(NAMESPACE, MODEL, Held(partitions))
    reports = []
    for message in in_turn(messages):
        monitor.apply(message)
        while (start := monitor.due(generations)) is not None:
            reports.append(monitor.tick(start, generations).report)
            if restarts and monitor.state is not None:
                state = states.decode(states.encode(monitor.state))
                monitor = ModelMonitor(NAMESPACE, MODEL, monitor.held, state)
    assert monitor.state is not None
    return reports, monitor.state


def opened(reports: Iterable[Report]) -> list[Incident]:
    """Incidents, as of the tick that opened each."""
    return [r.incident for r in reports if r.incident is not None and r.incident.opened == r.at]


def store(warehouse: Any, messages: Iterable[PartialMessage]) -> None:
    """Write the rows that stage 1 has written before it sends these messages."""
    for message in messages:
        who = message.namespace, message.model
        warehouse.insert(
            PARTIALS,
            [
                [
                    *who,
                    r.generation,
                    r.view,
                    r.version,
                    r.segment,
                    r.window_start,
                    r.name,
                    message.partition,
                    r.n,
                    r.nulls,
                    r.outside,
                    r.sums,
                    r.minimum,
                    r.maximum,
                    r.counts,
                    message.seq,
                ]
                for r in message.sketches
            ],
        )
        watermarks = msgspec.json.encode({model_key(*who): message.watermarks}).decode()
        warehouse.insert(
            CHECKPOINTS,
            [[message.partition, message.seq, message.owner, *message.positions, watermarks, "[]"]],
        )
