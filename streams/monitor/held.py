"""The partials that are held of one model: the newest sketch of every key, and how far each partition has come.

The replace rule is the whole protocol: per partition a message counts only if its ``seq`` is larger than all seen,
and then replaces the keys that it carries. Repeats, stragglers and zombies change nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from detectors.sketch import Sketch, merge
from schemas.partials import PartialMessage, SketchRow, View
from schemas.windows import NEVER


class Mark(NamedTuple):
    """How far a checkpoint of a partition was: the smaller of its two watermarks, and the offsets to read next."""

    seq: int
    watermark: int
    positions: tuple[int, int]


class Key(NamedTuple):
    """Identity of a sketch within a window, partitions apart."""

    view: View
    version: str
    segment: str
    name: str
    generation: int


Row = tuple[int, int, SketchRow]
"""(partition, seq, sketch): a row of the ``partials`` table."""

REVISED: frozenset[View] = frozenset({"matured", "overdue", "tally"})
"""Views that still change after their window has closed."""


class Held:
    """Partials of one model over all its source partitions."""

    def __init__(self, partitions: int) -> None:
        """Hold nothing yet of ``partitions`` source partitions."""
        self.partitions = partitions
        self.floor = NEVER
        """Windows before this were let go; one that is touched again is ``missing`` until it is loaded anew."""
        self.missing: set[int] = set()
        self.changed: set[int] = set()
        """Windows whose pairs or tallies changed since they were last revised."""
        self._marks: dict[int, list[Mark]] = {}
        self._windows: dict[int, dict[Key, dict[int, tuple[int, Sketch]]]] = defaultdict(lambda: defaultdict(dict))
        self._merged: dict[tuple[int, tuple[View, ...]], dict[Key, Sketch]] = {}
        """What a tick has added up: it asks for the same sketches several times."""

    def mark(self, partition: int, mark: Mark) -> bool:
        """Take note of a checkpoint; False when a newer or equal one was already seen.

        Raises:
            ValueError: there is no such partition.
        """
        check_partition(partition, self.partitions)
        marks = self._marks.setdefault(partition, [])
        if marks and mark.seq <= marks[-1].seq:
            return False
        # Only a checkpoint that moved the watermark can be the first to pass an instant; the head says how far we are.
        if len(marks) > 1 and marks[-1].watermark == marks[-2].watermark:
            marks.pop()
        marks.append(mark)
        return True

    def has(self, partition: int, seq: int) -> bool:
        """Whether a checkpoint of a partition, or a newer one, was seen."""
        marks = self._marks.get(partition, [])
        return any(mark.seq >= seq for mark in marks[-1:])

    def apply(self, message: PartialMessage) -> bool:
        """Replace what a checkpoint changed; False when the message is old.

        Raises:
            ValueError: there is no such partition.
        """
        watermark = min(message.watermarks.predictions, message.watermarks.outcomes)
        if not self.mark(message.partition, Mark(message.seq, watermark, message.positions)):
            return False
        self.put((message.partition, message.seq, row) for row in message.sketches)
        return True

    def put(self, rows: Iterable[Row]) -> None:
        """Take sketches, each unless one of a larger ``seq`` is held already."""
        self._merged.clear()
        for partition, seq, row in rows:
            if row.window_start < self.floor:
                self.missing.add(row.window_start)
                continue
            key = Key(row.view, row.version, row.segment, row.name, row.generation)
            by_partition = self._windows[row.window_start][key]
            if partition in by_partition and by_partition[partition][0] >= seq:
                continue
            by_partition[partition] = seq, _sketch(row)
            if row.view in REVISED:
                self.changed.add(row.window_start)

    def restore(self, window: int, rows: Iterable[Row]) -> None:
        """Hold a window again that was let go, from all of its rows."""
        floor, self.floor = self.floor, NEVER
        self.put(rows)
        self.floor = floor
        self.missing.discard(window)

    def watermark(self) -> int:
        """Event time that every partition has passed; ``NEVER`` while one has not been heard of."""
        if len(self._marks) < self.partitions:
            return NEVER
        return min(marks[-1].watermark for marks in self._marks.values())

    def passed(self, at: int) -> dict[int, Mark]:
        """Per partition its first checkpoint beyond ``at``: the same whenever and by whomever it is asked.

        Raises:
            ValueError: a partition has not passed ``at``.
        """
        first = {
            partition: next((mark for mark in marks if mark.watermark >= at), None)
            for partition, marks in sorted(self._marks.items())
        }
        found = {partition: mark for partition, mark in first.items() if mark is not None}
        if len(found) < self.partitions:
            raise ValueError(f"only {len(found)} of {self.partitions} partitions have passed {at}")
        return found

    def windows(self) -> list[int]:
        """Starts of the windows that are held, in order."""
        return sorted(self._windows)

    def merged(self, window: int, *views: View) -> Mapping[Key, Sketch]:
        """The sketches of a window, all partitions added up, sorted by key."""
        if (window, views) not in self._merged:
            of_views = {key: rows for key, rows in self._windows.get(window, {}).items() if key.view in views}
            self._merged[window, views] = {key: _total(of_views[key]) for key in sorted(of_views)}
        return self._merged[window, views]

    def tally(self, window: int, name: str) -> int:
        """How many events of a window were tallied under ``name``."""
        return sum(sketch.n for key, sketch in self.merged(window, "tally").items() if key.name == name)

    def served(self, window: int) -> dict[str, int]:
        """Per version, how many of its answers in a window were not a shadow's."""
        found: dict[str, int] = {}
        for key, sketch in self.merged(window, "tally").items():
            if key.name == "predictions.served":
                found[key.version] = found.get(key.version, 0) + sketch.n
        return found

    def revision(self, window: int, *views: View) -> int:
        """Sum of the ``seq`` of all that :meth:`merged` adds up: it grows with every change."""
        held = self._windows.get(window, {})
        return sum(seq for key, rows in held.items() if key.view in views for seq, _ in rows.values())

    def forget(self, at: int, floor: int) -> None:
        """After tick ``at``: let go of closed features and latencies, of windows before ``floor``, of old marks."""
        self.floor = max(self.floor, floor)
        self._merged.clear()
        for window in [window for window in self._windows if window < self.floor]:
            del self._windows[window]
        for window, held in self._windows.items():
            if window < at:
                for key in [key for key in held if key.view in ("feature", "latency")]:
                    del held[key]
        for marks in self._marks.values():
            while len(marks) > 1 and marks[0].watermark < at:
                marks.pop(0)


def check_partition(partition: int, partitions: int) -> None:
    """Look whether there is such a source partition.

    Raises:
        ValueError: there is not.
    """
    if not 0 <= partition < partitions:
        raise ValueError(
            f"partition {partition} does not exist: there are {partitions} source partitions "
            "(DRIFTLINE_SOURCE_PARTITIONS must be the same for every process)"
        )


def _sketch(row: SketchRow) -> Sketch:
    return Sketch(row.n, row.nulls, row.outside, tuple(row.sums), row.minimum, row.maximum, tuple(row.counts))


def _total(by_partition: dict[int, tuple[int, Sketch]]) -> Sketch:
    sketches = [by_partition[partition][1] for partition in sorted(by_partition)]
    total = sketches[0]
    for sketch in sketches[1:]:
        total = merge(total, sketch)
    return total
