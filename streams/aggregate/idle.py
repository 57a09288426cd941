"""The idle rule: a silent partition must not hold up everybody's decisions.

Its owner raises its watermarks to the largest that any partition has recorded. That changes verdicts, so it counts only
once it is committed, in a checkpoint of its own. Silence counts only while the loop listens: whoever was stalled, by an
outage or by SIGSTOP, has heard nothing, and what was sent meanwhile must not be late for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schemas.partials import Adoption, Watermarks
from schemas.windows import NEVER
from streams.aggregate.assign import recorded_watermarks
from streams.aggregate.models import Models
from streams.aggregate.rows import SIDES
from streams.aggregate.state import State
from warehouse.client import Warehouse

_LOOKS = 10
_MISSED = 2
"""In ``idle_after`` there are so many looks; a loop that is so many looks behind was stalled."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A side of a model in a partition that has not been heard of for long enough."""

    state: State
    key: str
    side: int


class Watch:
    """Looks for silence every tenth of ``idle_after`` seconds; the loop says what time it is."""

    def __init__(self, idle_after: float, now: float) -> None:
        """Look for the first time a tenth of ``idle_after`` after ``now``."""
        self._idle_after = idle_after
        self._looked = now

    def look(self, states: Mapping[int, State], models: Models, now: float) -> list[Silent]:
        """Everything at the end of its logs that has been silent; nothing when it is not time, or after a stall.

        Args:
            states: of the partitions; after a stall their silence begins anew.
            models: every known model.
            now: seconds of the process's clock, read before the logs were.
        """
        if now - self._looked < self._idle_after / _LOOKS:
            return []
        stalled, self._looked = self.stalled(now), now
        if stalled:
            for state in states.values():
                state.since = now
            return []
        return [
            Silent(state, key, side)
            for state in states.values()
            if all(state.at_end)
            for key in models.names()
            for side in range(len(SIDES))
            if now - max(state.since, state.heard.get((key, side), state.since)) >= self._idle_after
        ]

    def stalled(self, now: float) -> bool:
        """Whether so much time has passed since the last look that the ends of the logs may have moved."""
        return now - self._looked > _MISSED * self._idle_after / _LOOKS


def targets(found: Iterable[Silent], models: Models, warehouse: Warehouse) -> list[tuple[Silent, int]]:
    """What is silent, with the larger watermark that it should adopt, in milliseconds.

    Outcomes follow predictions too, or else the decision clock of a model whose labels stop would stop without a word.
    A model that has never had an outcome has none to wait for: they adopt the largest watermark of predictions. When it
    has had some, they keep ``label_maturity`` behind it, so that labels that come in batches, each with the labels of
    as long a time, are still in time for the test of their windows.
    """
    recorded = recorded_watermarks(warehouse)
    raised = []
    for silent in found:
        key, side = silent.key, silent.side
        top = _largest(recorded, key, side)
        if side == 1 and top < (predicted := _largest(recorded, key, 0)):
            behind = models.generations(key)[0].maturity if _has_outcomes(key, warehouse) else 0
            top = max(top, predicted - behind)
        if top > silent.state.watermark(key)[side]:
            raised.append((silent, top))
    return raised


def adopt(raised: Iterable[tuple[Silent, int]], models: Models) -> None:
    """Raise the watermarks to what :func:`targets` found, and note it for the next checkpoint."""
    for silent, top in raised:
        state, key, side = silent.state, silent.key, silent.side
        state.raise_watermark(key, side, top, models.generations(key)[0])
        namespace, model = key.split("/", 1)
        state.adoptions.append(Adoption(namespace, model, SIDES[side], state.positions[side], top))


def _largest(recorded: list[dict[str, Watermarks]], key: str, side: int) -> int:
    marks = [of[key] for of in recorded if key in of]
    return max(((m.predictions, m.outcomes)[side] for m in marks), default=NEVER)


def _has_outcomes(key: str, warehouse: Warehouse) -> bool:
    namespace, model = key.split("/", 1)
    return bool(
        warehouse.rows(
            "SELECT 1 FROM raw_outcomes WHERE namespace = {namespace:String} AND model = {model:String} LIMIT 1",
            {"namespace": namespace, "model": model},
        )
    )
