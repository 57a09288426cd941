"""``driftline reference show``: what a reference can promise, per stream, as the monitor pages by it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from rich.table import Table as Grid

from app import table
from app.names import NotThere
from app.table import Predictions
from bus.generations import read_declared
from detectors import calibration
from retrain.baseline import build_reference
from schemas.models import ModelRecord, Reference
from schemas.partials import ALL, model_key
from schemas.settings import Settings
from schemas.spec import ModelSpec, TeamSpec
from streams.monitor.generations import Generation
from streams.monitor.models import Models
from streams.monitor.promises import Promise, promised
from streams.monitor.state import Newcomer

KEPT: calibration.Claim = "within budget on held-out reference"


class NoReference(NotThere):
    """There is nothing to show; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a reference says of one stream.

    Attributes:
        stream: ``loss``, ``estimate``, ``score``, ``prediction``, ``latency`` or ``feature.NAME``.
        segment: ``tag=value`` whose rows alone it is of; empty: all rows.
        claim: what a report may say of its false pages.
        reference: ``fixed`` or ``seasonal slots``.
        windows: held-out windows with rows enough.
        blocks: independent blocks of them: days, or weeks for slots.
        rows: of a window, on average.
        effective_rows: independent rows that these are worth; None: not known.
        autocorrelation: lag-1, of the score between neighbouring windows; None: not known.
        reached: evidence that the reference's own held-out windows reached; None: not known.
        threshold: evidence that pages; None: it never does.
        reason: of the claim, in plain words.
    """

    stream: str
    segment: str
    claim: str
    reference: str
    windows: int
    blocks: int
    rows: float
    effective_rows: float | None
    autocorrelation: float | None
    reached: float | None
    threshold: float | None
    reason: str

    @property
    def title(self) -> str:
        """The stream, and of which rows it is where not of all."""
        return f"{self.stream} [{self.segment}]" if self.segment else self.stream


def of_rows(spec: ModelSpec, rows: Predictions, first: int | None = None) -> Reference:
    """The reference that rows of a table make.

    Args:
        spec: of the model.
        rows: of the table.
        first: so many of them, from the beginning; None: all.

    Raises:
        ValueError: the rows do not say what the spec needs.
    """
    return build_reference(
        spec,
        event_time=rows.event_time[:first],
        features={name: column.slice(0, first) for name, column in rows.features.items()},
        segments={name: column.slice(0, first) for name, column in rows.segments.items()},
        prediction=None if rows.prediction is None else rows.prediction.slice(0, first),
        scores={name: column.slice(0, first) for name, column in rows.scores.items()},
        label=None if rows.label is None else rows.label.slice(0, first),
        latency_ms=None if rows.latency_ms is None else rows.latency_ms.slice(0, first),
    )


def of_file(path: Path, spec: ModelSpec, columns: dict[str, str], timezone: str | None) -> Reference:
    """The reference that a file would make.

    Raises:
        TableError: the file cannot be used.
    """
    return of_rows(spec, table.read(path, spec, columns, timezone=timezone))


def stored(settings: Settings, namespace: str, name: str) -> tuple[ModelRecord, Reference]:
    """The newest generation of a model, and the reference that it carries.

    Raises:
        NoReference: no such model, it has none yet, or one that an older driftline made.
        confluent_kafka.KafkaException: the brokers cannot be asked.
    """
    known = read_declared(settings)
    records = known.generations(namespace, name)
    who = f"model {model_key(namespace, name)}"
    if not records:
        raise NoReference(f"{who} is not declared; declared: {', '.join(known.models()) or 'none'}")
    newest = records[-1]
    if newest.reference is None:
        raise NoReference(f"{who} has no reference yet; driftline get models says how far it is, or make one: {_BUILD}")
    if not newest.reference.watched:
        raise NoReference(
            f"the reference of {who} (generation {newest.generation}) was made by an older driftline and holds no "
            f"calibration; make one anew: {_BUILD}"
        )
    return newest, newest.reference


_BUILD = "driftline reference build"


def accepted(settings: Settings, namespace: str, name: str) -> float:
    """False pages in 30 days that a model may have: its part of its team's budget, as the monitor takes it now.

    1, the budget of a team that says nothing, of a model that is not declared.

    Raises:
        confluent_kafka.KafkaException: the brokers cannot be asked.
    """
    models = Models(settings)
    try:
        models.read()
        found = models.of(namespace, name)
    finally:
        models.close()
    return TeamSpec().pages if found is None else found.pages


def shown(spec: ModelSpec, reference: Reference, pages: float) -> list[Shown]:
    """Every stream of a reference.

    Args:
        spec: of the model.
        reference: of the model.
        pages: false pages in 30 days that the model may have, >= 0.
    """
    # The largest segment comes first in a reference, and so will be the first to have a place in the reserve.
    segments = dict.fromkeys(watched.segment for watched in reference.watched if watched.segment != ALL)
    places = [Newcomer(segment, "", place, 0) for place, segment in enumerate(segments, 1)]
    return [_shown(promise) for promise in promised(Generation(0, 0, spec, reference), pages, newcomers=places)]


def _shown(promise: Promise) -> Shown:
    one = promise.watch
    known = bool(one.scales)
    return Shown(
        stream=one.stream,
        segment=one.segment,
        claim=promise.claim,
        reference="fixed" if one.slots is None else "seasonal slots",
        windows=one.windows,
        blocks=one.blocks,
        rows=one.rows,
        effective_rows=one.effective_rows if known else None,
        autocorrelation=one.autocorrelation if known else None,
        reached=one.reached if known else None,
        threshold=promise.threshold if isfinite(promise.threshold) else None,
        reason=promise.reason,
    )


def grid(found: Iterable[Shown]) -> Grid:
    """The streams for a person."""
    printed = Grid(
        "stream", "reference", "windows", "rows", "worth", "lag-1", "reached", "pages at", "may claim", box=None
    )
    for one in found:
        printed.add_row(
            one.title,
            one.reference,
            f"{one.windows:,}",
            f"{one.rows:,.0f}",
            *(
                "-" if number is None else text.format(number)
                for number, text in (
                    (one.effective_rows, "{:,.0f}"),
                    (one.autocorrelation, "{:.2f}"),
                    (one.reached, "{:,.1f}"),
                    (one.threshold, "{:,.0f}"),
                )
            ),
            one.claim,
        )
    return printed


def reasons(found: Iterable[Shown]) -> list[str]:
    """A line for each stream that cannot keep the budget, or may not page."""
    return [f"{one.title}: {one.reason}" for one in found if one.claim != KEPT]


def as_json(found: Iterable[Shown]) -> list[dict[str, Any]]:
    """The streams for a machine."""
    return [asdict(one) for one in found]
