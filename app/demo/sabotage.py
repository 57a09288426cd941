"""Bugs that a service may have, for ``make demo-faults``: what driftline has to notice.

The bugs are in the demo's service, where they would be in life; driftline's own processes run as they are.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

FAHRENHEIT = ("temp", "dewp")


@dataclass(frozen=True, slots=True)
class Sabotage:
    """Which bugs the service has.

    Attributes:
        celsius: the version whose features are prepared by a new pipeline, in °C instead of °F.
        upside_down: first and last day (of departure) on which the champion's score is one minus what it should be.
    """

    celsius: str = ""
    upside_down: tuple[date, date] | None = None

    def features(self, version: str, table: pa.Table) -> pa.Table:
        """What the model of a version gets to see."""
        if version != self.celsius:
            return table
        for name in FAHRENHEIT:
            degrees = pc.divide(pc.multiply(pc.subtract(table[name], 32.0), 5.0), 9.0)
            table = table.set_column(table.column_names.index(name), name, degrees)
        return table

    def scores(self, table: pa.Table, scores: NDArray[np.float64], *, champion: bool) -> NDArray[np.float64]:
        """What the service makes of the model's answers."""
        if self.upside_down is None or not champion or not len(scores):
            return scores
        first, last = self.upside_down
        day = table["departure"][0].as_py().date()
        return 1.0 - scores if first <= day <= last else scores


NONE = Sabotage()
