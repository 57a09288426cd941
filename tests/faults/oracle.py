"""What has to be counted of a load, whatever happens, by the words of the protocol (docs/architecture.md).

It is stated in columns of numpy from what the generator knows; nothing of ``streams`` is imported.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from loads import (
    EDGES,
    HOUR,
    LABEL_HORIZON,
    LATENESS,
    ORIGINS,
    RANGE,
    REGIONS,
    TOPICS,
    VERSIONS,
    Flags,
    Floats,
    Ints,
    Load,
)
from numpy.typing import NDArray

LATENCY_EDGES = 0.01 * 1.04 ** np.arange(412, dtype=np.float64)
_FIXED = 2**20


class Key(NamedTuple):
    """What a sketch counts. ``segment`` empty: all rows; ``name``: the feature, or the tally."""

    model: str
    window: int
    view: str
    version: str
    segment: str
    name: str


class Numbers(NamedTuple):
    """What a sketch says."""

    n: int
    nulls: int = 0
    outside: int = 0
    sums: tuple[int, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    counts: tuple[int, ...] = ()


class Oracle:
    """The truth about a load.

    Attributes:
        verdict: of each record: dead, duplicate, correction, late, counted, not sent.
        late: predictions whose window had closed, duplicates among them.
    """

    def __init__(self, load: Load) -> None:
        self.load = load
        self.verdict = self._verdicts()

    def _verdicts(self) -> NDArray[np.object_]:
        """Of each record, by the protocol: dead, duplicate or correction, late, counted."""
        t = self.load.table
        verdict = np.full(len(self.load), "counted", object)
        self.late = np.zeros(len(self.load), bool)
        model = np.where(t.request < 0, -1, self.load.model[t.request])
        for partition in range(self.load.shape.partitions):
            for number in range(self.load.shape.models):
                rows = np.flatnonzero((t.topic == 0) & (self.load.place == partition) & (model == number))
                if len(rows):
                    newest = np.maximum.accumulate(t.time[rows]) - LATENESS
                    before = np.concatenate(([-(2**62)], newest[:-1]))
                    self.late[rows] = self._window(t.time[rows]) + HOUR <= before
        verdict[self.late] = "late"
        alive = np.flatnonzero(t.request >= 0)
        identity = (t.topic[alive] * len(self.load.time) + t.request[alive]) * len(VERSIONS) + t.version[alive]
        _, firsts, inverse = np.unique(identity, return_index=True, return_inverse=True)
        again = np.ones(len(alive), bool)
        again[firsts] = False
        said = t.label[alive] != t.label[alive[firsts[inverse]]]
        verdict[alive[again & ~said]] = "duplicate"
        verdict[alive[again & said]] = "correction"
        verdict[t.dead >= 0] = "dead"
        return verdict

    def when_only(self, sent: Flags) -> "Oracle":
        """The truth when some of the records were sent only, of each partition those before a certain one."""
        found = copy(self)
        found.verdict = np.where(sent, self.verdict, "not sent")
        return found

    @staticmethod
    def _window(time: Ints) -> Ints:
        return np.asarray(time // HOUR * HOUR, np.int64)

    def expected(self) -> dict[Key, Numbers]:
        """Every sketch, when all of the load has been counted."""
        found: dict[Key, Numbers] = {}
        for view in (self._features, self._answers, self._tallies, self._pairs):
            view(found)
        return found

    def _rows(self, topic: int, *verdicts: str) -> Ints:
        return np.flatnonzero((self.load.table.topic == topic) & np.isin(self.verdict, verdicts))

    def _features(self, found: dict[Key, Numbers]) -> None:
        load, rows = self.load, self._rows(0, "counted")
        served = load.table.request[rows[load.table.version[rows] < 2]]
        low, high = RANGE[0] - 1.5, RANGE[1] + 1.5
        for segment in ("", *REGIONS):
            request = served[self._of(segment, served)]
            groups = self._groups("feature", request, segment=_tag(segment))
            for name, column in (("x", load.x), ("y", load.y)):
                values = column[request]
                bins = np.searchsorted(EDGES, values, side="right")
                outside = (values < low) | (values > high)
                groups.count(found, name, bins, 4, summed=[values], ranged=values, outside=outside)
            origin = load.origin[request]
            groups.count(found, "origin", origin, 3, outside=origin == len(ORIGINS))
            groups.count(found, "wet", load.wet[request], 3)

    def _answers(self, found: dict[Key, Numbers]) -> None:
        load, rows = self.load, self._rows(0, "counted")
        request, version = load.table.request[rows], load.table.version[rows]
        score = load.score(request, version) / 1024
        groups = self._groups("score", request, versions=VERSIONS, version=version)
        groups.count(found, "", np.minimum((score * 128).astype(np.int64), 127), 128, summed=[score], ranged=score)
        timed = ~np.isnan(load.latency[request])
        latency = load.latency[request[timed]]
        groups = self._groups("latency", request[timed], versions=VERSIONS, version=version[timed])
        bins = np.searchsorted(LATENCY_EDGES, latency, side="right")
        groups.count(found, "", bins, 413, summed=[latency], ranged=latency)

    def _tallies(self, found: dict[Key, Numbers]) -> None:
        t = self.load.table
        for topic, name in enumerate(TOPICS):
            if dead := len(self._rows(topic, "dead")):
                found[Key("", 0, "tally", "", "", f"{name}.dead")] = Numbers(dead)
            for verdict in ("counted", "late", "duplicate", "correction"):
                rows = self._rows(topic, verdict)
                groups = self._groups("tally", t.request[rows], time=t.time[rows])
                groups.count(found, f"{name}.{verdict}")
        rows = self._rows(0, "counted")
        rows = rows[t.version[rows] < 2]
        served = self._groups("tally", t.request[rows], versions=VERSIONS, version=t.version[rows])
        served.count(found, "predictions.served")

    def _of(self, segment: str, request: Ints) -> Flags:
        """Which of the requests are in a segment."""
        region = self.load.region[request]
        return np.asarray(region == REGIONS.index(segment) if segment else region >= 0, bool)

    def pairs(self) -> tuple[Ints, Ints]:
        """Rows of (predictions, outcomes) that join: the first of each version with the first of its outcomes."""
        first = np.full(len(self.load.time), -1, np.int64)
        outcomes = self._rows(1, "counted")
        first[self.load.table.request[outcomes]] = outcomes
        predictions = self._rows(0, "counted", "late")
        mine = first[self.load.table.request[predictions]]
        return predictions[mine >= 0], mine[mine >= 0]

    def _pairs(self, found: dict[Key, Numbers]) -> None:
        t = self.load.table
        prediction, outcome = self.pairs()
        request = t.request[prediction]
        far = np.abs(t.time[outcome] - t.time[prediction]) > LABEL_HORIZON
        self._groups("tally", request[far]).count(found, "outcomes.late_label")
        prediction, outcome, request = prediction[~far], outcome[~far], request[~far]
        overdue = self.late[prediction] | t.late_phase[outcome]
        version, label = t.version[prediction], t.label[outcome]
        score = self.load.score(request, version)
        bins = 2 * np.minimum(score * 128 // 1024, 127) + label
        sums = [_LOSSES[score, label], (score / 1024 - label) ** 2, score / 1024]
        for view, mine in (("matured", ~overdue), ("overdue", overdue)):
            for segment in ("", *REGIONS):
                rows = mine & self._of(segment, request)
                groups = self._groups(
                    view, request[rows], versions=VERSIONS, version=version[rows], segment=_tag(segment)
                )
                groups.count(found, "", bins[rows], 256, summed=[column[rows] for column in sums])

    def _groups(
        self,
        view: str,
        request: Ints,
        *,
        versions: Sequence[str] = ("",),
        version: Ints | int = 0,
        segment: str = "",
        time: Ints | None = None,
    ) -> "_Groups":
        """Rows of requests by model, window of ``time`` (of the prediction), and version (a code)."""
        model, when = self.load.model[request], self.load.time[request] if time is None else time
        code = (self._window(when) // HOUR * self.load.shape.models + model) * len(versions) + version
        codes, ids = np.unique(code, return_inverse=True)
        keys = []
        for number in codes.tolist():
            rest, of_version = divmod(number, len(versions))
            window, of_model = divmod(rest, self.load.shape.models)
            keys.append(Key(self.load.shape.names[of_model], window * HOUR, view, versions[of_version], segment, ""))
        return _Groups(keys, ids)


@dataclass
class _Groups:
    """Rows by what they are counted under."""

    keys: list[Key]
    ids: Ints

    def count(
        self,
        found: dict[Key, Numbers],
        name: str,
        bins: Ints | None = None,
        n_bins: int = 0,
        *,
        summed: Sequence[Floats] = (),
        ranged: Floats | None = None,
        outside: Flags | None = None,
    ) -> None:
        """Add one sketch per group. A NaN in ``ranged``, or a bin of -1, is a null."""
        size, ids = len(self.keys), self.ids
        bins = np.zeros_like(ids) if bins is None else bins
        present = bins >= 0 if ranged is None else np.isfinite(ranged)
        n = np.bincount(ids, minlength=size)
        nulls = np.bincount(ids[~present], minlength=size)
        beyond = np.bincount(ids[outside], minlength=size) if outside is not None else np.zeros(size, np.int64)
        ids = ids[present]
        histogram = np.bincount(ids * n_bins + bins[present], minlength=size * n_bins)[: size * n_bins]
        rows = histogram.reshape(size, n_bins).tolist() if n_bins else [[]] * size
        # Whole numbers below 2^53, which doubles add exactly.
        sums = [np.bincount(ids, np.rint(column[present] * _FIXED), size).astype(np.int64) for column in summed]
        least, most = np.full(size, np.inf), np.full(size, -np.inf)
        if ranged is not None:
            np.minimum.at(least, ids, ranged[present])
            np.maximum.at(most, ids, ranged[present])
        for group, key in enumerate(self.keys):
            known = bool(np.isfinite(least[group]))
            found[key._replace(name=name)] = Numbers(
                int(n[group]),
                int(nulls[group]),
                int(beyond[group]),
                tuple(int(column[group]) for column in sums),
                float(least[group]) if known else None,
                float(most[group]) if known else None,
                tuple(rows[group]),
            )


def _tag(segment: str) -> str:
    return f"region={segment}" if segment else ""


def _losses() -> Floats:
    """Log-loss by (score in 1/1024, label), rounded as it is stored."""
    score = np.clip(np.arange(1025) / 1024, 1e-6, 1 - 1e-6)
    found: Floats = np.rint(-np.log(np.stack([1 - score, score], axis=1)) * _FIXED) / _FIXED
    return found


_LOSSES = _losses()
