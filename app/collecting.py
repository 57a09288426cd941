"""What a model compares with: its reference, or how far it is with collecting one from its first rows."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from app.declare import unreferenced
from app.status import Name, rows_of
from detectors import enough
from schemas.models import ModelRecord
from schemas.partials import model_key
from schemas.spec import ModelSpec, milliseconds
from schemas.windows import iso
from warehouse.client import Warehouse

_DAY = 86_400_000

# Closed windows and the open one; late rows are in no window. A checkpoint is at most some seconds old.
_COUNTED = """
SELECT namespace, model, sumIf(n, name = 'predictions.served'),
    toUnixTimestamp64Milli(minIf(window_start, name = 'predictions.counted')),
    toUnixTimestamp64Milli(maxIf(window_start, name = 'predictions.counted')),
    countIf(name = 'predictions.counted')
FROM partials FINAL WHERE (namespace, model) IN {models:Array(Tuple(String, String))} AND view = 'tally'
GROUP BY namespace, model
"""

_NEWEST = """
SELECT namespace, model, argMax(body, JSONExtractInt(body, 'generation')) FROM audit_log
WHERE {which} AND kind = 'generation' GROUP BY namespace, model
"""


_NOTHING = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Progress:
    """How full a reference in the making is: the fuller of ``rows`` and ``days`` counts.

    Attributes:
        share: in [0, 1]; at 1 it waits for the tick that asks for the reference, and for its answer.
        foreseen: what the reference will be too small for if the rows go on coming as they do.
    """

    rows: int
    of_rows: int
    days: float
    of_days: float
    share: float
    foreseen: tuple[str, ...] = ()

    def __str__(self) -> str:
        return (
            f"collecting, {self.share:.0%}: {self.rows:,} of {self.of_rows:,} rows, "
            f"{self.days:.1f} of {self.of_days:g} days"
        )


def progress(warehouse: Warehouse, record: ModelRecord) -> Progress | None:
    """How far a model is that collects its reference; None for one that has a reference, or gets it by training."""
    if record.reference is not None or record.parsed().retraining.enabled:
        return None
    name = record.namespace, record.model
    return _progress(warehouse, {name: record.parsed()})[model_key(*name)]


def audited(warehouse: Warehouse, only: Name | None = None) -> dict[str, Progress]:
    """``namespace/model`` -> progress of every model that collects (or of one only), by the audit log alone."""
    specs = {}
    for namespace, model, body in rows_of(warehouse, _NEWEST, only):
        record = json.loads(body)
        spec = ModelSpec.model_validate(record["spec"])
        if record["reference"] is None and not spec.retraining.enabled:
            specs[namespace, model] = spec
    return _progress(warehouse, specs)


def _progress(warehouse: Warehouse, specs: Mapping[Name, ModelSpec]) -> dict[str, Progress]:
    if not specs:
        return {}
    rows = warehouse.rows(_COUNTED, {"models": list(specs)})
    counted = {(namespace, model): numbers for namespace, model, *numbers in rows}
    return {model_key(*name): _full(spec, *counted.get(name, _NOTHING)) for name, spec in specs.items()}


def _full(spec: ModelSpec, rows: int, first: int, last: int, windows: int) -> Progress:
    width, collect = spec.grid().width, milliseconds(spec.reference.collect)
    span = int(last) + width - int(first) if windows else 0
    closed = span // width - 1  # the open window is left out: a few rows too many rather than a warning too many
    return Progress(
        rows=int(rows),
        of_rows=spec.reference.rows,
        days=span / _DAY,
        of_days=collect / _DAY,
        share=min(1.0, max(int(rows) / spec.reference.rows, span / collect if collect else 1.0)),
        foreseen=tuple(enough.foreseen(spec, int(rows) / closed if closed > 0 else None)),
    )


def not_judged(warehouse: Warehouse, record: ModelRecord) -> list[str]:
    """What pages nobody, or will page nobody, for want of data in a model's reference, and what to do."""
    if record.reference is not None:
        spec, reference = record.parsed(), record.reference
        return [*enough.not_judged(spec, reference), *enough.uncalibrated(spec, reference)]
    collecting = progress(warehouse, record)
    return list(collecting.foreseen) if collecting else enough.foreseen(record.parsed())


def reference_state(warehouse: Warehouse, record: ModelRecord) -> str:
    """In a few words, what the newest generation of a model compares with."""
    if (collecting := progress(warehouse, record)) is not None:
        return str(collecting)
    if record.reference is None:
        return f"none before the first training ({record.parsed().retraining.collect.days} days of events)"
    of = record.reference
    text = f"{of.rows:,} rows from {iso(of.start)} to {iso(of.end)}"
    missing = unreferenced(record)
    return f"{text}; none for {', '.join(missing)}: register one" if missing else text
