"""Wait for the processors by what they have made public; say which of them is late, and never wait for ever."""

import time
from collections.abc import Callable

from app.replay.sender import Offsets
from schemas.windows import NEVER
from warehouse.client import Warehouse

LOOK_EVERY = 0.1
PATIENCE = 120.0
"""Seconds without any progress after which a stage is late: longer than a fresh process takes to start and join."""


_POSITIONS = """
SELECT `partition`, max(predictions_offset), max(outcomes_offset) FROM checkpoints GROUP BY `partition`
"""


class Late(SystemExit):
    """A stage does not go on."""


class Follower:
    """Public records of one replayed model.

    Args:
        warehouse: where they are.
        namespace: of the model.
        model: its name.
        check: called at every look; raises when a role is beyond help.
        told: called with the number of windows decided since the last call.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        namespace: str,
        model: str,
        *,
        check: Callable[[], None],
        told: Callable[[int], None],
    ) -> None:
        self._warehouse = warehouse
        self._names = {"namespace": namespace, "model": model}
        self._check = check
        self._told = told
        self._decided = 0

    def counted(self, ends: Offsets) -> None:
        """Wait until stage 1 has made durable everything below the offsets.

        Raises:
            Late: it does not go on.
        """

        def look() -> tuple[bool, object]:
            rows = self._warehouse.rows(_POSITIONS)
            found = {}
            for partition, predictions, outcomes in rows:
                found["predictions", partition], found["outcomes", partition] = int(predictions), int(outcomes)
            return all(found.get(place, 0) >= end for place, end in ends.items()), sorted(found.items())

        self._until(look, "aggregate")

    def decided(self, through: int) -> None:
        """Wait until stage 2 has decided every window that ends by ``through`` (ms).

        Raises:
            Late: it does not go on.
        """
        self._until(lambda: (self.reported() >= through, self._decided), "monitor")

    def reported(self) -> int:
        """End (ms) of the last window that was decided."""
        rows = self._warehouse.rows(
            "SELECT toUnixTimestamp64Milli(max(at)), uniqExact(at) FROM reports "
            "WHERE namespace = {namespace:String} AND model = {model:String}",
            self._names,
        )
        at, windows = rows[0]
        self._told(windows - self._decided)
        self._decided = windows
        return int(at) if windows else NEVER

    def _until(self, look: Callable[[], tuple[bool, object]], stage: str) -> None:
        """Look until it is so; what was seen must change within :data:`PATIENCE` seconds."""
        seen, since = object(), time.monotonic()
        while True:
            done, now = look()
            if done:
                return
            self._check()
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                raise Late(
                    f"the stage {stage} has not gone on for {PATIENCE:g} s: see its log, and that the roles aggregate "
                    "and monitor run (driftline status); then replay again"
                )
            time.sleep(LOOK_EVERY)
