"""The sketches of a window in memory: a table per view, so that a batch is added by whole rows."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from detectors.sketch import Sketch, Sketches
from schemas.partials import SketchRow, View

WindowKey = tuple[str, int]
"""(``namespace/model``, window start)."""

ViewKey = tuple[int, View, tuple[str, ...]]
"""(generation, view, names): what the columns of a table are of; all features of a generation are in one table."""

Place = tuple[str, str]
"""(version, segment) of a row."""


class Delta(NamedTuple):
    """What was counted of one view of a window.

    Attributes:
        window: that it belongs to.
        view: the table.
        places: rows of the table that are added to; a row may come several times.
        sketches: what is added.
        of: which row of ``sketches`` is added to each of ``places``.
    """

    window: WindowKey
    view: ViewKey
    places: Sequence[Place]
    sketches: Sketches
    of: Sequence[int]


class Window:
    """All sketches of a window, of all generations.

    What was read from ClickHouse waits aside until it is added to: until then nobody asks for it.
    """

    def __init__(self) -> None:
        self._tables: dict[ViewKey, _Table] = {}
        self._read: dict[tuple[int, View, str], list[tuple[Place, Sketch]]] = {}

    def read(self, generation: int, view: View, name: str, place: Place, sketch: Sketch) -> None:
        """A sketch as it is in ClickHouse; before any is added."""
        self._read.setdefault((generation, view, name), []).append((place, sketch))

    def add(self, delta: Delta) -> None:
        """Add what was counted.

        Raises:
            ValueError: ClickHouse has sketches of other bins or sums under the same name.
        """
        table = self._tables.get(delta.view)
        if table is None:
            generation, view, names = delta.view
            table = self._tables[delta.view] = _Table(Sketches(delta.sketches.shape, 0))
            for column, name in enumerate(names):
                read = self._read.pop((generation, view, name), [])
                for row, (_, sketch) in zip(table.rows([place for place, _ in read]), read, strict=True):
                    table.sketches.put(row, column, sketch)
        for row, of in zip(table.rows(delta.places), delta.of, strict=True):
            table.sketches.add(row, delta.sketches, of)
        table.changed.update(delta.places)

    def changed(self, start: int) -> Iterator[SketchRow]:
        """The sketches that were added to, whole, in a fixed order.

        Args:
            start: of the window.
        """
        for (generation, view, names), table in sorted(self._tables.items(), key=lambda item: item[0]):
            if not table.changed:
                continue
            places = sorted(table.changed)
            fields = table.sketches.fields(table.rows(places))
            for (version, segment), row in zip(places, fields, strict=True):
                for name, sketch in zip(names, row, strict=True):
                    yield SketchRow(generation, view, version, segment, start, name, *sketch)

    def commit(self) -> None:
        """What was changed is durable."""
        for table in self._tables.values():
            table.changed.clear()


class _Table:
    def __init__(self, sketches: Sketches) -> None:
        self.sketches = sketches
        self.changed: set[Place] = set()
        self._rows: dict[Place, int] = {}

    def rows(self, places: Sequence[Place]) -> list[int]:
        """The rows of places, which they get when they are first asked for."""
        rows = [self._rows.setdefault(place, len(self._rows)) for place in places]
        room = len(self.sketches.whole)
        if len(self._rows) > room:
            # By half at least: segments may come one at a time, and each growth copies the table.
            self.sketches.grow(max(len(self._rows), room + room // 2))
        return rows
