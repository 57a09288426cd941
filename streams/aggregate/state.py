"""All that the owner of one source partition knows; a function of its committed checkpoints and of the log."""

from dataclasses import dataclass, field

from detectors.sketch import Sketch, merge
from schemas.partials import Adoption, SketchRow, View, Watermarks, model_key
from schemas.windows import NEVER
from streams.aggregate.index import Index
from streams.aggregate.models import Generation
from warehouse.client import Warehouse

WindowKey = tuple[str, int]
"""(``namespace/model``, window start)."""

SketchKey = tuple[int, View, str, str, str]
"""(generation, view, version, segment, name)."""

Deltas = dict[WindowKey, dict[SketchKey, Sketch]]

NOBODY = model_key("", "")
"""Key of what belongs to no model: the tallies of dead letters."""


@dataclass
class State:
    """State of a source partition since its last checkpoint, and all that the checkpoint before it decided.

    Attributes:
        seq: number of the last committed checkpoint.
        positions: next offsets to read.
        windows: the sketches in memory. ``stored``: windows that have sketches in ClickHouse and none in memory.
        changed: sketches that the next checkpoint writes.
        heard: when the last event of (model, side) arrived, in the process's seconds; ``since``: the assignment.
        at_end: whether the end of each log was reached.
        ends: where that was.
        passed: by (model, side) the first end of a window that its watermark has passed since the last checkpoint.
    """

    partition: int
    owner: str
    seq: int
    positions: list[int]
    watermarks: dict[str, list[int]]
    index: Index
    stored: set[WindowKey]
    since: float
    windows: dict[WindowKey, dict[SketchKey, Sketch]] = field(default_factory=dict)
    changed: dict[WindowKey, set[SketchKey]] = field(default_factory=dict)
    adoptions: list[Adoption] = field(default_factory=list)
    heard: dict[tuple[str, int], float] = field(default_factory=dict)
    at_end: list[bool] = field(default_factory=lambda: [False, False])
    ends: list[int] = field(default_factory=lambda: [0, 0])
    passed: dict[tuple[str, int], int] = field(default_factory=dict)

    def pass_gaps(self) -> None:
        """Move over what is no event at the end of a log: the mark that a producer's transaction leaves there."""
        for side, at_end in enumerate(self.at_end):
            if at_end:
                self.positions[side] = max(self.positions[side], self.ends[side])

    def dirty(self) -> bool:
        """Whether there is anything that a checkpoint would make durable."""
        return tuple(self.positions) != self.index.committed or bool(self.adoptions)

    def watermark(self, key: str) -> list[int]:
        """The watermarks (predictions, outcomes) of a model; to be changed in place."""
        return self.watermarks.setdefault(key, [NEVER, NEVER])

    def raise_watermark(self, key: str, side: int, to: int, generation: Generation) -> None:
        """Raise one watermark, and notice when it passes the end of a window."""
        marks = self.watermark(key)
        if to > marks[side]:
            end = generation.grid.start(marks[side]) + generation.grid.width
            if end <= to:
                self.passed.setdefault((key, side), end)
            marks[side] = to

    def fetch(self, deltas: Deltas, warehouse: Warehouse) -> None:
        """Load the windows of :meth:`add` that are in ClickHouse only."""
        self._load(self.stored.intersection(deltas), warehouse)

    def add(self, deltas: Deltas) -> None:
        """Merge what was counted into the windows, which must be in memory."""
        for window_key, sketches in deltas.items():
            window = self.windows.setdefault(window_key, {})
            for key, delta in sketches.items():
                known = window.get(key)
                window[key] = delta if known is None else merge(known, delta)
            self.changed.setdefault(window_key, set()).update(sketches)

    def _load(self, wanted: set[WindowKey], warehouse: Warehouse) -> None:
        for model in sorted({key for key, _ in wanted}):
            starts = sorted(start for key, start in wanted if key == model)
            namespace, name = model.split("/", 1)
            rows = warehouse.rows(
                "SELECT toUnixTimestamp64Milli(window_start), generation, view, version, segment, name, n, nulls, "
                "outside, sums, minimum, maximum, counts FROM partials FINAL "
                "WHERE namespace = {namespace:String} AND model = {model:String} "
                "AND window_start >= fromUnixTimestamp64Milli({first:Int64}) "
                "AND window_start <= fromUnixTimestamp64Milli({last:Int64}) "
                "AND toUnixTimestamp64Milli(window_start) IN {starts:Array(Int64)} AND `partition` = {p:UInt16}",
                {
                    "namespace": namespace,
                    "model": name,
                    "first": starts[0],
                    "last": starts[-1],
                    "starts": starts,
                    "p": self.partition,
                },
            )
            for start, generation, view, version, segment, feature, *numbers in rows:
                n, nulls, outside, sums, minimum, maximum, counts = numbers
                self.windows.setdefault((model, start), {})[generation, view, version, segment, feature] = Sketch(
                    n, nulls, outside, tuple(sums), minimum, maximum, tuple(counts)
                )
        self.stored -= wanted

    def rows(self, key: str) -> list[SketchRow]:
        """The changed sketches of a model, whole, in a fixed order."""
        return [
            _row(sketch_key, start, self.windows[model, start][sketch_key])
            for (model, start), keys in sorted(self.changed.items())
            if model == key
            for sketch_key in sorted(keys)
        ]

    def frozen_watermarks(self) -> dict[str, Watermarks]:
        """The watermarks as they are recorded."""
        return {key: Watermarks(*marks) for key, marks in sorted(self.watermarks.items())}

    def committed(self, seq: int, keep_windows: int) -> None:
        """Checkpoint ``seq`` is durable: forget what it wrote, and the oldest windows beyond ``keep_windows``."""
        self.seq = seq
        self.changed = {}
        self.adoptions = []
        self.passed = {}
        self.index.commit((self.positions[0], self.positions[1]))
        oldest = sorted(self.windows, key=lambda window: window[1])[: max(0, len(self.windows) - keep_windows)]
        for window in oldest:
            del self.windows[window]
            self.stored.add(window)


def _row(key: SketchKey, window_start: int, sketch: Sketch) -> SketchRow:
    generation, view, version, segment, name = key
    return SketchRow(
        generation=generation,
        view=view,
        version=version,
        segment=segment,
        window_start=window_start,
        name=name,
        n=sketch.n,
        nulls=sketch.nulls,
        outside=sketch.outside,
        sums=list(sketch.sums),
        minimum=sketch.minimum,
        maximum=sketch.maximum,
        counts=list(sketch.counts),
    )
