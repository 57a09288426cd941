"""``driftline model register``: a version that was trained elsewhere, and the rows that say what is normal for it."""

from collections.abc import Mapping
from pathlib import Path

from app import table
from app.declare import Applied, Owner, Refused
from bus.generations import read_declared
from retrain.baseline import build_reference
from schemas.ids import content_id, sha256_hex
from schemas.lifecycle import AuditRow
from schemas.partials import model_key
from schemas.settings import Settings
from schemas.spec import Metadata, Model
from schemas.windows import iso


def declared(settings: Settings, namespace: str, name: str) -> Model:
    """The document of a model that is declared already.

    Raises:
        Refused: it is not.
        confluent_kafka.KafkaException: the brokers cannot be asked.
    """
    known = read_declared(settings)
    generations = known.generations(namespace, name)
    if not generations:
        others = ", ".join(known.models()) or "none"
        raise Refused(
            f"model {model_key(namespace, name)} is not declared (declared: {others}); give its document with it: "
            "-f model.yaml"
        )
    return Model(metadata=Metadata(namespace=namespace, name=name), spec=generations[-1].parsed())


def register(
    owner: Owner,
    model: Model,
    *,
    version: str,
    path: Path,
    columns: Mapping[str, str],
    timezone: str | None,
    start: int | None = None,
) -> Applied:
    """Make the rows of a file the reference of a model: a generation, and the audit rows that say where it is from.

    Registering the same file for the same version again changes nothing.

    Args:
        owner: applies the generation.
        model: the document that the reference is for.
        version: of the model that answered the rows, as the services send it.
        path: Parquet or CSV, see :mod:`app.table`.
        columns: our name -> the file's.
        timezone: of times that have none.
        start: as for :meth:`app.declare.Owner.model`.

    Raises:
        TableError: the file cannot be used.
        Refused: what is counted already forbids the change.
        confluent_kafka.KafkaException: the brokers cannot be asked, or refuse.
    """
    namespace, name = model.metadata.namespace, model.metadata.name
    rows = table.read(path, model.spec, columns, timezone=timezone)
    reference = build_reference(
        model.spec,
        event_time=rows.event_time,
        features=rows.features,
        segments=rows.segments,
        prediction=rows.prediction,
        scores=rows.scores,
        label=rows.label,
        latency_ms=rows.latency_ms,
    )
    digest = sha256_hex(path.read_bytes())
    identity = content_id("registration", namespace, name, version, digest, dict(columns))
    applied = owner.model(model, start=start, reference=reference, cause_id=identity)
    body = {
        "version": version,
        "file": path.name,
        "sha256": digest,
        "columns": dict(columns),
        "rows": reference.rows,
        "start": reference.start,
        "end": reference.end,
    }
    owner.record(AuditRow(identity, "registration", "", namespace, name, version, reference.end, body))
    what = (
        f"reference of version {version}: {reference.rows:,} rows from {iso(reference.start)} to {iso(reference.end)}"
    )
    return Applied(
        applied.name, applied.action, applied.generation, applied.effective_from, (what, *rows.notes, *applied.notes)
    )
