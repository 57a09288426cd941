"""All that the owner of one source partition knows; a function of its committed checkpoints and of the log."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from detectors.sketch import Sketch
from schemas.partials import Adoption, SketchRow, Watermarks, model_key
from schemas.windows import NEVER
from streams.aggregate.index import Index
from streams.aggregate.models import Generation
from streams.aggregate.windows import Delta, Window, WindowKey
from warehouse.client import Warehouse

NOBODY = model_key("", "")
"""Key of what belongs to no model: the tallies of dead letters."""


@dataclass
class State:
    """State of a source partition since its last checkpoint, and all that the checkpoint before it decided.

    Attributes:
        seq: number of the last committed checkpoint.
        positions: next offsets to read.
        windows: the sketches in memory. ``stored``: windows that have sketches in ClickHouse and none in memory.
        changed: windows with sketches that the next checkpoint writes.
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
    windows: dict[WindowKey, Window] = field(default_factory=dict)
    changed: set[WindowKey] = field(default_factory=set)
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

    def fetch(self, deltas: Sequence[Delta], warehouse: Warehouse) -> None:
        """Load the windows of :meth:`add` that are in ClickHouse only."""
        self._load(self.stored.intersection(delta.window for delta in deltas), warehouse)

    def add(self, deltas: Sequence[Delta]) -> None:
        """Add what was counted to the windows, which must be in memory.

        Raises:
            ValueError: ClickHouse has sketches of other bins or sums under the same name.
        """
        for delta in deltas:
            window = self.windows.get(delta.window)
            if window is None:
                window = self.windows[delta.window] = Window()
            window.add(delta)
            self.changed.add(delta.window)

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
                sketch = Sketch(n, nulls, outside, tuple(sums), minimum, maximum, tuple(counts))
                window = self.windows.setdefault((model, start), Window())
                window.read(generation, view, feature, (version, segment), sketch)
        self.stored -= wanted

    def rows(self) -> Iterator[tuple[str, list[SketchRow]]]:
        """The changed sketches of each model, whole, in a fixed order; of one model at a time, since they are many."""
        for model, windows in groupby(sorted(self.changed), key=itemgetter(0)):
            yield model, [row for key in windows for row in self.windows[key].changed(key[1])]

    def frozen_watermarks(self) -> dict[str, Watermarks]:
        """The watermarks as they are recorded."""
        return {key: Watermarks(*marks) for key, marks in sorted(self.watermarks.items())}

    def committed(self, seq: int, keep_windows: int) -> None:
        """Checkpoint ``seq`` is durable: forget what it wrote, and the oldest windows beyond ``keep_windows``."""
        self.seq = seq
        for changed in self.changed:
            self.windows[changed].commit()
        self.changed = set()
        self.adoptions = []
        self.passed = {}
        self.index.commit((self.positions[0], self.positions[1]))
        oldest = sorted(self.windows, key=lambda window: window[1])[: max(0, len(self.windows) - keep_windows)]
        for window in oldest:
            del self.windows[window]
            self.stored.add(window)
