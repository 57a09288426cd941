"""Events by their ids, in memory: a table of row numbers, and columns."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from streams.aggregate.ids import new_ids
from streams.aggregate.keys import Keys
from streams.aggregate.tasks import Probabilities

Ints = NDArray[np.int64]

_FIRST_ROOM = 1_024


class Remembered:
    """Rows by id: a row has a number, its *slot*, and columns; the newest row has the largest slot.

    Args:
        columns: name and type of each column.
    """

    def __init__(self, **columns: DTypeLike) -> None:
        self._ids = new_ids()
        self._room = _FIRST_ROOM
        self._columns = {name: np.zeros(_FIRST_ROOM, kind) for name, kind in columns.items()}
        # Slots: of the first place of the columns, the oldest that counts, and the next one.
        self._origin = self._base = self._next = 0

    def __len__(self) -> int:
        return len(self._ids)

    def claim(self, keys: Keys) -> tuple[Ints, Ints]:
        """Make a row for each key; return (the first row of its id, this row): equal where the id is new."""
        new = np.arange(self._next, self._next + len(keys))
        first = self._ids.claim(keys, self._next)
        self._next += len(keys)
        self._make_room()
        return first, new

    def find(self, keys: Keys) -> Ints:
        """The first row of each id, -1 where there is none."""
        return self._ids.find(keys)

    def write(self, slots: Ints, **values: Any) -> None:
        """Set columns of rows that were claimed together."""
        if not len(slots):
            return
        first = int(slots[0]) - self._origin
        for name, column in values.items():
            self._columns[name][first : first + len(slots)] = column

    def read(self, name: str, slots: Ints) -> NDArray[Any]:
        """One column of rows."""
        return self._columns[name][slots - self._origin]

    def get(self, name: str, slot: int) -> Any:
        """One value."""
        return self._columns[name][slot - self._origin].item()

    def put(self, name: str, slot: int, value: Any) -> None:
        """Set one value."""
        self._columns[name][slot - self._origin] = value

    def forget(self, count: int, prefix: bytes = b"") -> Keys:
        """Forget the oldest ``count`` ids that begin with ``prefix``, and say which; rows before all others go too."""
        forgotten = self._ids.forget(count, prefix)
        self._give_up(self._ids.oldest() if len(self._ids) else self._next)
        return forgotten

    def _give_up(self, base: int) -> None:
        self._base = base

    def _make_room(self) -> None:
        """Move what counts into larger columns when these are full: half as large again as what is in them."""
        if self._next - self._origin <= self._room:
            return
        self._room = max(_FIRST_ROOM, (self._next - self._base) * 3 // 2)
        for name, column in self._columns.items():
            kept = column[self._base - self._origin :]
            self._columns[name] = np.zeros(self._room, column.dtype)
            self._columns[name][: len(kept)] = kept
        self._origin = self._base


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

    def _give_up(self, base: int) -> None:
        super()._give_up(base)
        for slot in list(self.probabilities):
            if slot >= self._base:
                break
            del self.probabilities[slot]


class Outcomes(Remembered):
    """The first outcome of an id; ``log_ts`` and ``newest`` (its target) are those of the newest one."""

    def __init__(self) -> None:
        super().__init__(log_ts=np.int64, event_time=np.int64, target=np.float64, newest=np.float64)
