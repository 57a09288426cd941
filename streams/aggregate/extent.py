"""How much the next checkpoint will hold: who waits too long reads a backlog of quiet models into one of millions."""

from collections import Counter
from collections.abc import Sequence

from streams.aggregate.groups import Groups, Ints
from streams.aggregate.models import Generation

_SKETCHES, _ALL_SKETCHES = 100_000, 1_000_000
"""Of one model in one partition, which become a message, and of all: some 10 and 100 MB."""

_WINDOWS = 8
"""Of fewer windows, on average, a checkpoint is never full: they would be written again and again while they grow."""

_FIRST, _FEWEST, _MOST, _GROWTH = 10_000, 100, 250_000, 4
"""Predictions that are judged at once at first, at least and at most, and how much more or fewer next."""


class Extent:
    """Windows that events were seen of since the last checkpoint, and what sketches they have at most.

    Of segments those are counted that one event has. Labels touch sketches too, but few of each window.
    """

    def __init__(self) -> None:
        self._windows: dict[tuple[int, int], set[int]] = {}
        self._widths: dict[int, int] = {}

    def add(self, partition: Ints, generation: Ints, window: Ints, generations: Sequence[Generation]) -> None:
        """Note the windows of predictions.

        Args:
            partition: of each prediction.
            generation: of each, an index of ``generations``.
            window: of each, its start.
            generations: all.
        """
        groups = Groups.of(generation, partition, window)
        for first, end in groups.spans(generation, partition):
            places = groups.first[first:end]
            code = int(generation[places[0]])
            self._windows.setdefault((code, int(partition[places[0]])), set()).update(window[places].tolist())
            self._widths[code] = _width(generations[code])

    def fullness(self) -> float:
        """Of what a checkpoint may hold, the share that it would; 1 and more: it is time."""
        counts = {key: len(windows) for key, windows in self._windows.items()}
        sketches = Counter({key: count * self._widths[key[0]] for key, count in counts.items()})
        each = [sketches[key] / _SKETCHES for key, count in counts.items() if count >= _WINDOWS]
        many = sum(counts.values()) >= _WINDOWS * len(counts)
        return max([*each, sketches.total() / _ALL_SKETCHES if many else 0.0], default=0.0)

    def clear(self) -> None:
        """A checkpoint was made."""
        self._windows.clear()


class Portion:
    """How many predictions are judged at once: so many that they fill a small part of a checkpoint."""

    def __init__(self) -> None:
        self._records = _FIRST

    def records(self) -> int:
        """How many at most now."""
        return self._records

    def filled(self, share: float, records: int) -> None:
        """The last ones, so many, filled so large a share of a checkpoint."""
        if share > 1 / 2:
            self._records = max(_FEWEST, self._records // _GROWTH)
        elif share < 1 / (2 * _GROWTH) and records > self._records // 2:
            # Of a few of them nothing follows for many.
            self._records = min(self._records * _GROWTH, _MOST)


def _width(generation: Generation) -> int:
    """Sketches of a window of a few events: of features, of all and of each segment, and of answers and tallies."""
    return len(generation.features) * (1 + len(generation.tags)) + 10
