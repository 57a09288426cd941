"""Under which name a table is replayed, by which spec, and against which reference."""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from msgspec.structs import replace as changed

from app.reference import of_rows
from app.replay.events import Labels, labels
from app.table import Predictions, TableError
from schemas.ids import content_id
from schemas.models import ModelRecord, Reference
from schemas.spec import Model, ModelSpec, milliseconds
from schemas.windows import iso

MOST_WINDOWS = 20_000
"""More would keep a person waiting for hours, and show nothing that fewer do not show."""

_ANY_TIME = timedelta(days=365_000)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is published before the first event.

    Attributes:
        labels: when each label of the table was known.
        end: the event time (ms) that is promised at the end: every window is decided and tested by then.
        judged_from: start of the first window (ms) that has a reference.
        records: the model's generations, oldest first.
        reference_from: where the reference comes from, for a person.
    """

    namespace: str
    model: str
    spec: ModelSpec
    labels: Labels
    end: int
    reference: Reference
    reference_from: str
    judged_from: int
    records: tuple[ModelRecord, ...]

    def renamed(self, namespace: str, model: str, records: tuple[ModelRecord, ...]) -> "Plan":
        """The same for another name; ``records`` are its generations."""
        return replace(self, namespace=namespace, model=model, records=records)


def plan(document: Model, table: Predictions, own: Predictions | None, *, path: Path) -> Plan:
    """Decide how a table is replayed.

    Args:
        document: the owner's.
        table: what is replayed.
        own: rows of the owner's reference; None: the first rows of the table become one.
        path: of the table, for messages.

    Raises:
        TableError: the table has more windows than make sense, or is too short to have a reference.
    """
    spec = replayed(document.spec)
    grid = spec.grid()
    first, last = (grid.start(int(at)) for at in table.event_time[[0, -1]])
    windows = (last - first) // grid.width + 1
    if windows > MOST_WINDOWS:
        raise TableError(
            f"{path}: {iso(first)} to {iso(last)} are {windows:,} windows of {spec.windows.width}, at most "
            f"{MOST_WINDOWS:,} are replayed; make spec.windows.width wider, or replay a part of the table"
        )
    known = labels(table, spec)
    namespace, model = document.metadata.namespace, document.metadata.name
    record = ModelRecord(namespace, model, 0, 0, spec.model_dump(mode="json"), None, "")
    if own is not None:
        reference, start, where = of_rows(spec, own), first, f"{len(own):,} rows of the reference table"
        records: tuple[ModelRecord, ...] = (changed(record, reference=reference),)
    else:
        rows, start = collected(table, document.spec)
        if rows == len(table):
            raise TableError(_nothing_left(path, table, document.spec))
        reference, where = of_rows(spec, table, rows), f"the table's first {rows:,} rows"
        cause = content_id("replay", namespace, model)
        records = record, record.next(reference=reference, effective_from=start, cause_id=cause)
    return Plan(
        namespace=namespace,
        model=model,
        spec=spec,
        labels=known,
        end=last_tick(table, known, spec),
        reference=reference,
        reference_from=where,
        judged_from=start,
        records=records,
    )


def last_tick(table: Predictions, known: Labels, spec: ModelSpec) -> int:
    """End of the last window that must be decided: all windows are tested by then, and all labels have come."""
    grid = spec.grid()
    tested = grid.end(grid.start(int(table.event_time[-1]))) + milliseconds(spec.windows.label_maturity)
    last = max([tested - 1, *known.time[-1:].tolist()])
    return grid.end(grid.start(last))


def _nothing_left(path: Path, table: Predictions, spec: ModelSpec) -> str:
    return (
        f"{path}: nothing is left to judge: the reference takes the first {spec.reference.rows:,} rows or "
        f"{_days(spec.reference.collect)} (spec.reference), the table has {len(table):,} rows from "
        f"{iso(int(table.event_time[0]))} to {iso(int(table.event_time[-1]))}; make spec.reference.collect shorter, "
        "replay more rows, or give a reference of its own: --reference FILE"
    )


def replayed(spec: ModelSpec) -> ModelSpec:
    """The spec that a replay publishes.

    Nothing is trained, no topic of the owner's is read, and what is history to us is not from the future.
    """
    return spec.model_copy(
        update={
            "source": None,
            "retraining": spec.retraining.model_copy(update={"enabled": False}),
            "windows": spec.windows.model_copy(update={"future_skew": _ANY_TIME, "max_age": _ANY_TIME}),
        }
    )


def collected(table: Predictions, spec: ModelSpec) -> tuple[int, int]:
    """How many first rows become the reference, and the end (ms) of their last window.

    As of a model that runs: at the first end of a window with enough time or enough rows behind it.
    """
    grid, wanted = spec.grid(), spec.reference
    start = grid.start(int(table.event_time[0]))
    end = start + -(-milliseconds(wanted.collect) // grid.width) * grid.width
    if len(table) >= wanted.rows:
        end = min(end, grid.end(grid.start(int(table.event_time[wanted.rows - 1]))))
    return int(np.searchsorted(table.event_time, end)), end


def _days(duration: timedelta) -> str:
    return f"{duration / timedelta(days=1):g} days"
