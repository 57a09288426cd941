"""Under which name a table is replayed, by which spec, and against which reference."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from app.replay.reference import build
from app.table import Predictions, TableError
from schemas.ids import canonical_json, content_id
from schemas.models import ModelRecord, Reference
from schemas.spec import REPLAYS, Model, ModelSpec, milliseconds
from schemas.windows import iso

MOST_WINDOWS = 20_000
"""More would keep a person waiting for hours, and show nothing that fewer do not show."""

_ANY_TIME = timedelta(days=365_000)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is published before the first event.

    Attributes:
        judged_from: start of the first window (ms) that has a reference.
        records: the model's generations, oldest first.
        reference_from: where the reference comes from, for a person.
    """

    namespace: str
    model: str
    spec: ModelSpec
    reference: Reference
    reference_from: str
    judged_from: int
    records: tuple[ModelRecord, ...]


def plan(document: Model, table: Predictions, own: Predictions | None, *, path: Path, named: tuple[str, str]) -> Plan:
    """Decide how a table is replayed.

    Args:
        document: the owner's.
        table: what is replayed.
        own: rows of the owner's reference; None: the first rows of the table become one.
        path: of the table, for messages.
        named: (namespace, model) to replay under.

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
    namespace, model = named
    record = ModelRecord(namespace, model, 0, 0, spec.model_dump(mode="json"), None, "")
    if own is not None:
        reference = build(spec, own, len(own))
        with_reference = replace(record, reference=reference)
        return Plan(
            namespace, model, spec, reference, f"{len(own):,} rows of the reference table", first, (with_reference,)
        )
    rows, end = collected(table, document.spec)
    if rows == len(table):
        raise TableError(
            f"{path}: nothing is left to judge: the reference takes the first {spec.reference.rows:,} rows or "
            f"{_days(spec.reference.collect)} (spec.reference), the table has {len(table):,} rows from "
            f"{iso(int(table.event_time[0]))} to {iso(int(table.event_time[-1]))}; make spec.reference.collect "
            "shorter, replay more rows, or give a reference of its own: --reference FILE"
        )
    reference = build(spec, table, rows)
    where = f"the table's first {rows:,} rows"
    second = record.next(reference=reference, effective_from=end, cause_id=content_id("replay", namespace, model))
    return Plan(namespace, model, spec, reference, where, end, (record, second))


def replayed(spec: ModelSpec) -> ModelSpec:
    """The spec that a replay publishes.

    Nothing is trained, no topic of the owner's is read, and what is history to us is not from the future.
    """
    return spec.model_copy(
        update={
            "source": None,
            "retraining": spec.retraining.model_copy(update={"enabled": False}),
            "windows": spec.windows.model_copy(update={"future_skew": _ANY_TIME}),
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


def shared_name(document: Model, files: Sequence[Path], told: object) -> tuple[str, str]:
    """(namespace, model) of a replay on an installation that others use: a name for its content.

    Two replays of the same thing have the same name, and so the same answer; others never meet.
    """
    digest = hashlib.sha256(canonical_json([document.model_dump(mode="json"), told]))
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return REPLAYS, f"{document.metadata.name[:80]}.{digest.hexdigest()[:12]}"


def _days(duration: timedelta) -> str:
    return f"{duration / timedelta(days=1):g} days"
