"""What a member tells of itself: its counts wait until the checkpoint that makes them durable."""

from collections import Counter
from collections.abc import Iterable

import numpy as np

from observe import Observer
from schemas.windows import NEVER
from streams.aggregate.decode import Dead
from streams.aggregate.rows import ASTRAY, DEAD, EVENT, PROGRESS, VERDICTS, Rows
from streams.aggregate.state import State


class Books:
    """Of one membership.

    Args:
        observer: told what became durable; never of what was lost with an assignment.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._events: Counter[tuple[str, str]] = Counter()
        self._reasons: Counter[str] = Counter()

    def count(self, rows: Rows, dead: Iterable[Dead]) -> None:
        """Note a batch of a topic that was classified, and the dead letters among it."""
        kinds = np.bincount(rows.kind, minlength=4).tolist()
        verdicts = np.bincount(rows.verdict[rows.kind == EVENT], minlength=len(VERDICTS)).tolist()
        found = dict(zip(VERDICTS, verdicts, strict=True))
        found |= {"dead": kinds[DEAD], "misrouted": kinds[ASTRAY], "progress": kinds[PROGRESS]}
        for verdict, n in found.items():
            self._events[rows.topic, verdict] += n
        self._reasons.update(letter.reason for letter in dead)
        self._observer.uncommitted()

    def committed(self, states: Iterable[State], seconds: float) -> None:
        """All of it is in a checkpoint, which took so long."""
        for (topic, verdict), n in self._events.items():
            self._observer.events(topic, verdict, n)
        for reason, n in self._reasons.items():
            self._observer.dead_letters(reason, n)
        # A partition or a topic that nothing has come of yet says nothing about how far the others are.
        through: dict[str, int] = {}
        for state in states:
            for model, marks in state.watermarks.items():
                for mark in marks:
                    if mark != NEVER:
                        through[model] = min(mark, through.get(model, mark))
        for model, mark in through.items():
            self._observer.event_time(model, mark)
        self._observer.checkpoint(seconds)
        self._forget()

    def begin(self) -> None:
        """All that was decided of the partitions has been made visible; work begins."""
        self._observer.checkpoint()
        self._observer.assigned()

    def drop(self, *, lost: bool) -> None:
        """The work is done again, and told then: by who has the partitions now (``lost``), or here after an outage."""
        self._forget()
        if lost:
            self._observer.checkpoint()
            self._observer.joining()

    def _forget(self) -> None:
        self._events.clear()
        self._reasons.clear()
