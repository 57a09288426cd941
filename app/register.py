"""``driftline model register``: a version that was trained elsewhere, and the rows that say what is normal for it."""

from collections.abc import Mapping
from pathlib import Path

from app import rebaseline
from app.declare import Applied, Owner, Refused
from bus.generations import read_declared
from schemas.partials import model_key
from schemas.settings import Settings
from schemas.spec import Metadata, Model


def place(name: str) -> tuple[str, str]:
    """(namespace, name) of a model as it is typed: ``namespace/name``, or its name alone in ``default``."""
    first, slash, second = name.partition("/")
    return (first, second) if slash else ("default", name)


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
    return rebaseline.make(owner, model, rebaseline.of_file(model, version, path, columns, timezone), start=start)[0]
