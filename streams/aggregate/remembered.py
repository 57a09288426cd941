"""Events by their ids, in memory: a dictionary of row numbers, and columns."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from streams.aggregate.tasks import Probabilities

Ints = NDArray[np.int64]

_FIRST_ROOM = 1_024
_NOWHERE = -1


class Remembered:
    """Rows by id: a row has a number, its *slot*, and columns; the newest row has the largest slot.

    Args:
        columns: name and type of each column.

    Attributes:
        slots: the first row of each id, oldest first.
    """

    def __init__(self, **columns: DTypeLike) -> None:
        self.slots: dict[bytes, int] = {}
        self._columns = {name: np.zeros(_FIRST_ROOM, kind) for name, kind in columns.items()}
        self._base = self._next = 0

    def __len__(self) -> int:
        return len(self.slots)

    def claim(self, keys: Sequence[bytes]) -> tuple[Ints, Ints]:
        """Make a row for each key; return (the first row of its id, this row): equal where the id is new."""
        new = np.arange(self._next, self._next + len(keys))
        found = map(self.slots.setdefault, keys, range(self._next, self._next + len(keys)))
        first = np.fromiter(found, np.int64, len(keys))
        self._next += len(keys)
        self._make_room()
        return first, new

    def find(self, keys: Iterable[bytes | None], count: int) -> Ints:
        """The first row of each of ``count`` keys, -1 where there is none."""
        get = self.slots.get
        return np.fromiter((get(key, _NOWHERE) for key in keys), np.int64, count)  # type: ignore[arg-type]

    def write(self, slots: Ints, **values: Any) -> None:
        """Set columns of rows."""
        for name, column in values.items():
            self._columns[name][slots - self._base] = column

    def read(self, name: str, slots: Ints) -> NDArray[Any]:
        """One column of rows."""
        return self._columns[name][slots - self._base]

    def get(self, name: str, slot: int) -> Any:
        """One value."""
        return self._columns[name][slot - self._base].item()

    def put(self, name: str, slot: int, value: Any) -> None:
        """Set one value."""
        self._columns[name][slot - self._base] = value

    def discard(self, keys: Sequence[bytes]) -> None:
        """Forget ids; rows before the first id that is left are given up."""
        for key in keys:
            del self.slots[key]
        base = next(iter(self.slots.values()), self._next)
        if base > self._base:
            kept = slice(base - self._base, self._next - self._base)
            for name, column in self._columns.items():
                self._columns[name] = np.concatenate([column[kept], np.zeros(_FIRST_ROOM, column.dtype)])
            self._base = base

    def _make_room(self) -> None:
        needed = self._next - self._base
        for name, column in self._columns.items():
            if needed > len(column):
                grown = np.zeros(max(needed, len(column) * 3 // 2), column.dtype)
                grown[: len(column)] = column
                self._columns[name] = grown


class Predictions(Remembered):
    """The first prediction of each version for an id; ``log_ts`` is that of its newest copy.

    ``following`` is the row of the next version of the id, 0 when there is none: the first row of an id is nobody's.

    Attributes:
        probabilities: of all classes, by slot, where the model has several.
    """

    def __init__(self) -> None:
        super().__init__(
            log_ts=np.int64, event_time=np.int64, window=np.int64, generation=np.int32, version=np.int32,
            segment=np.int32, place=np.int32, score=np.float64, late=np.bool_, following=np.int64,
        )  # fmt: skip
        self.probabilities: dict[int, Probabilities] = {}

    def seen(self, first: int, version: int) -> tuple[int | None, int]:
        """(The row of a version, or None; the last row) of the id whose first row is given."""
        slot = first
        while self.get("version", slot) != version:
            following = self.get("following", slot)
            if not following:
                return None, slot
            slot = following
        return slot, slot

    def discard(self, keys: Sequence[bytes]) -> None:
        """See :class:`Remembered`."""
        super().discard(keys)
        for slot in list(self.probabilities):
            if slot >= self._base:
                break
            del self.probabilities[slot]


class Outcomes(Remembered):
    """The first outcome of an id; ``log_ts`` and ``newest`` (its target) are those of the newest one."""

    def __init__(self) -> None:
        super().__init__(log_ts=np.int64, event_time=np.int64, target=np.float64, newest=np.float64)
