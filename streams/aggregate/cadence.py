"""When a checkpoint is made: every one costs, and what is told late is decided late.

Stage 2 can tick when *every* watermark of a model has passed the end of a window. A checkpoint that tells of the first
ones only is of no use to it, and keeps the last ones waiting.
"""

from collections.abc import Iterable, Mapping

from schemas.windows import NEVER
from streams.aggregate.rows import Work
from streams.aggregate.state import State

_TOGETHER_SECONDS = 0.2
"""So long those are waited for whose windows end at the same time."""

_PENDING_LETTERS, _PENDING_LETTER_BYTES = 10_000, 128_000_000
"""A checkpoint is made when so much waits for it to be sent on, or to the dead letters."""

_SHARE = 9
_LONGEST_PAUSE_SECONDS = 1.0
_LONGEST_REST = 3
"""Until every log's end was seen there is a backlog: between two checkpoints passes nine times what the last one took.
Windows end all the time then, and are kept waiting by no more than a second; a checkpoint that is made for durability
alone costs the less the more events it has, and comes after three times its usual time at the latest."""


class Cadence:
    """Of one member's checkpoints.

    Args:
        every: seconds after which a checkpoint is due whenever there is something to make durable.
        now: seconds of the process's clock.
    """

    def __init__(self, every: float, now: float) -> None:
        self._every = every
        self._took = 0.0
        self.begin(now)

    def begin(self, now: float) -> None:
        """Everything is durable, or was put down."""
        self._last = now
        self._since: float | None = None
        self._ends: set[tuple[int, int]] = set()

    def checkpointed(self, began: float, now: float) -> None:
        """A checkpoint was made; ``began`` and ``now`` are seconds of the process's clock."""
        self.begin(now)
        self._took = now - began

    def due(self, states: Mapping[int, State], work: Work, now: float) -> bool:
        """Whether it is time for a checkpoint.

        Args:
            states: of all partitions.
            work: what waits.
            now: seconds of the process's clock.
        """
        if not any(state.dirty() for state in states.values()):
            return False
        self._ends |= {(p, side) for p, state in states.items() for side, end in enumerate(state.at_end) if end}
        live = len(self._ends) == sum(len(state.at_end) for state in states.values())
        pause = 0.0 if live else _SHARE * self._took
        reached, begun = clocks(states.values())
        if reached:
            self._since = self._since or now
            waited = not begun or now - self._since >= _TOGETHER_SECONDS
            if waited and now - self._last >= min(pause, _LONGEST_PAUSE_SECONDS):
                return True
        letters = len(work.dead) + len(work.astray)
        full = letters >= _PENDING_LETTERS or work.buried >= _PENDING_LETTER_BYTES or work.extent.fullness() >= 1
        return full or now - self._last >= max(self._every, min(pause, _LONGEST_REST * self._every))


def clocks(states: Iterable[State]) -> tuple[set[str], set[str]]:
    """Models whose clock can tick once a checkpoint tells of it, and models that have begun to get there.

    Each as ``namespace/model``. A model is in both when one of its partitions is a window ahead of another.
    """
    held = list(states)
    reached, begun = set[str](), set[str]()
    for key in {key for state in held for key, _ in state.passed}:
        low = min(min(state.watermarks.get(key, (NEVER,))) for state in held)
        for state in held:
            for side in range(len(state.at_end)):
                if (end := state.passed.get((key, side))) is not None:
                    (reached if end <= low else begun).add(key)
    return reached, begun
