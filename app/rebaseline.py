"""``driftline reference build``: rows that were normal become a model's next reference, and its audit says from what.

The rows are those of a file, or those that were counted between two instants. What the reference can promise is stored
with it: a registration in the audit log holds the diagnostics of every stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import reference as diagnostics
from app import table
from app.declare import Applied, Owner, Refused
from retrain import collecting
from schemas.ids import content_id, sha256_hex
from schemas.lifecycle import AuditRow, Request
from schemas.models import Reference
from schemas.partials import model_key
from schemas.spec import Model, milliseconds
from schemas.windows import iso
from warehouse.client import Warehouse

_OFFSETS = """
SELECT
    `partition`,
    toUInt64(maxIf(`offset` + 1, topic = 'predictions')),
    toUInt64(maxIf(`offset` + 1, topic = 'outcomes'))
FROM
(
    SELECT `partition`, `offset`, 'predictions' AS topic FROM raw_predictions
    WHERE namespace = {namespace:String} AND model = {model:String}
    UNION ALL
    SELECT `partition`, `offset`, 'outcomes' AS topic FROM raw_outcomes
    WHERE namespace = {namespace:String} AND model = {model:String}
)
GROUP BY `partition` ORDER BY `partition`
"""


@dataclass(frozen=True, slots=True)
class Built:
    """A reference that is not a model's yet.

    Attributes:
        reference: what the rows say.
        identity: of these rows for this model: building it again changes nothing.
        version: that answered the rows; empty: several, or not known.
        source: for the audit log, where the rows are from.
        notes: what a person should know about how they were read.
    """

    reference: Reference
    identity: str
    version: str
    source: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def of_file(model: Model, version: str, path: Path, columns: Mapping[str, str], timezone: str | None) -> Built:
    """From a file of rows that were normal.

    Args:
        model: the document that the reference is for.
        version: of the model that answered the rows, as the services send it.
        path: Parquet or CSV, see :mod:`app.table`.
        columns: our name -> the file's.
        timezone: of times that have none.

    Raises:
        TableError: the file cannot be used.
    """
    rows = table.read(path, model.spec, columns, timezone=timezone)
    digest = sha256_hex(path.read_bytes())
    who = model.metadata.namespace, model.metadata.name
    identity = content_id("registration", *who, version, digest, dict(columns))
    source = {"file": path.name, "sha256": digest, "columns": dict(columns)}
    return Built(diagnostics.of_rows(model.spec, rows), identity, version, source, rows.notes)


def of_counted(warehouse: Warehouse, model: Model, start: int, end: int, decided: int | None) -> Built:
    """From the rows that windows counted of event time in [``start``, ``end``).

    Args:
        warehouse: with the raw rows.
        model: whose.
        start: event time in ms; of windows that begin before, no row is taken.
        end: event time in ms; of windows that end after, no row is taken.
        decided: end of the newest window that stage 2 has reported; None: none yet. Labels count of windows that were
            mature then.

    Raises:
        Refused: there are no such rows, or they cannot make a reference.
    """
    namespace, name = model.metadata.namespace, model.metadata.name
    who, grid = f"model {model_key(namespace, name)}", model.spec.grid()
    start, end = -(-(start - grid.offset) // grid.width) * grid.width + grid.offset, grid.start(end)
    if start >= end:
        raise Refused(f"no whole window ({grid.width / 3_600_000:g} h) lies between these instants: give it more time")
    if decided is not None and end > decided:
        raise Refused(f"{who} is decided up to {iso(decided)}: later windows are still counted; give an end until then")
    offsets = warehouse.rows(_OFFSETS, {"namespace": namespace, "model": name})
    as_of = {str(partition): (int(predictions), int(outcomes)) for partition, predictions, outcomes in offsets}
    at = end if decided is None else decided
    cause = content_id("rebaseline", namespace, name, start, end, at)
    request = Request(
        id=cause, namespace=namespace, model=name, ordinal=0, reason="reference", cause_id="", evidence="",
        at=at, due=at, as_of=as_of, history_from=start, holdout_from=end, generation=0,
    )  # fmt: skip
    try:
        rows, counted = collecting.read(warehouse, request, model.spec)
        reference = collecting.build(rows, model.spec, request)
    except collecting.NoRows:
        raise Refused(
            f"no prediction of {who} was counted from {iso(start)} to {iso(end)}, or its raw rows have expired "
            f"(raw.ttl: {model.spec.raw.days} days)"
        ) from None
    except ValueError as error:
        raise Refused(f"{who}: {error}") from None
    versions = sorted({str(version) for version in rows["version"].unique().to_pylist()})
    mature = at - milliseconds(model.spec.windows.label_maturity)
    notes = [] if mature >= end else [f"labels count of windows up to {iso(mature)}: later ones are not mature yet"]
    if len(rows) < counted:
        notes.append(f"{len(rows):,} of {counted:,} rows were taken, by the hash of their ids")
    source = {"counted_from": start, "counted_to": end, "as_of": as_of, "versions": versions}
    return Built(reference, cause, versions[0] if len(versions) == 1 else "", source, tuple(notes))


def make(
    owner: Owner, model: Model, built: Built, *, start: int | None = None, pages: float = 1.0
) -> tuple[Applied, list[diagnostics.Shown]]:
    """Make it the reference of a model: a generation, and the audit row that says where it is from.

    The same file again changes nothing; of the same time, labels may have matured since.

    Args:
        owner: applies the generation.
        model: the document that the reference is for.
        built: of it.
        start: as for :meth:`app.declare.Owner.model`.
        pages: false pages in 30 days that the stored diagnostics are for.

    Returns:
        What became of it, and the stored diagnostics: of the reference as it stands, which has the importances of
        features that the one before knew.

    Raises:
        Refused: what is counted already forbids the change.
        confluent_kafka.KafkaException: the brokers cannot be asked, or refuse.
    """
    namespace, name = model.metadata.namespace, model.metadata.name
    applied, record = owner.generation(model, start=start, reference=built.reference, cause_id=built.identity)
    reference = record.reference or built.reference
    streams = diagnostics.shown(model.spec, reference, pages)
    body = {
        "version": built.version,
        **built.source,
        "rows": reference.rows,
        "start": reference.start,
        "end": reference.end,
        "pages": pages,
        "streams": diagnostics.as_json(streams),
    }
    owner.record(AuditRow(built.identity, "registration", "", namespace, name, built.version, reference.end, body))
    of = f" of version {built.version}" if built.version else ""
    what = f"reference{of}: {reference.rows:,} rows from {iso(reference.start)} to {iso(reference.end)}"
    notes = (what, *built.notes, *applied.notes)
    return Applied(applied.name, applied.action, applied.generation, applied.effective_from, notes), streams
