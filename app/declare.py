"""``driftline apply`` and ``delete``: bring what is declared to what the documents say, and tell what that means.

A changed spec becomes the next generation. It takes effect at a window of which nothing can have been counted, so that
each window is wholly of one generation (docs/evolution.md): no event may be further than ``future_skew`` ahead of the
broker's clock, so this is the first window that starts after now + ``future_skew``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from bus import generations
from bus.teams import publish_team, read_teams
from detectors import enough
from schemas.lifecycle import AuditRow, Report
from schemas.models import ModelRecord, Reference, TeamRecord
from schemas.partials import ALL, model_key
from schemas.settings import Settings
from schemas.spec import Model, ModelSpec, Team, milliseconds
from schemas.tables import AUDIT
from schemas.windows import iso
from warehouse.client import Warehouse

_COUNTED = """
SELECT count(), toUnixTimestamp64Milli(max(window_start)), max(generation) FROM partials
WHERE namespace = {namespace:String} AND model = {model:String} AND view = 'tally'
"""

_LAST_REPORT = """
SELECT body FROM reports FINAL WHERE namespace = {namespace:String} AND model = {model:String}
ORDER BY `at` DESC LIMIT 1
"""


class Refused(Exception):
    """A document is valid and yet cannot be applied; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a document.

    Attributes:
        name: ``kind namespace/name``, as kubectl would say it.
        action: created, configured or unchanged.
        generation: that stands now; None for a team.
        effective_from: start of the first window that it is for, 0 for all; None for a team.
        notes: what its owner should know.
    """

    name: str
    action: str
    generation: int | None = None
    effective_from: int | None = None
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.name} {self.action}"
        if self.generation is not None and self.effective_from is not None:
            since = f"windows from {iso(self.effective_from)} on" if self.effective_from else "all windows"
            text += f" (generation {self.generation}, {since})"
        return "\n".join([text, *(f"  {note}" for note in self.notes)])


@dataclass(frozen=True, slots=True)
class Counted:
    """What stage 1 and 2 have made of a model so far; ``newest`` is the start of the newest window, None without one.

    ``generation`` is the largest that anything was counted under; it outlives a deletion of the model.
    """

    newest: int | None
    generation: int
    report: Report | None


class Owner:
    """Applies documents, as of one instant."""

    def __init__(self, settings: Settings, warehouse: Warehouse, now: int, *, dry_run: bool = False) -> None:
        """Publish nothing if ``dry_run``; ``now`` is milliseconds since the epoch."""
        self._settings = settings
        self._warehouse = warehouse
        self._now = now
        self._dry_run = dry_run
        self._teams = read_teams(settings)

    def team(self, team: Team) -> Applied:
        """Make a team what its document says."""
        record = TeamRecord.of(team)
        key = f"{record.namespace}/{record.team}"
        before = self._teams.get(key)
        self._teams[key] = record
        name = f"team {key}"
        if before is not None and before.parsed() == record.parsed():
            return Applied(name, "unchanged")
        if not self._dry_run:
            publish_team(self._settings, record.key(), record)
        return Applied(name, "configured" if before else "created")

    def model(
        self, model: Model, *, start: int | None = None, reference: Reference | None = None, cause_id: str = ""
    ) -> Applied:
        """Make a model what its document says; arguments and refusals as for :meth:`generation`."""
        return self.generation(model, start=start, reference=reference, cause_id=cause_id)[0]

    def generation(
        self, model: Model, *, start: int | None = None, reference: Reference | None = None, cause_id: str = ""
    ) -> tuple[Applied, ModelRecord]:
        """Make a model what its document says, and tell the generation that stands then.

        Args:
            model: the document.
            start: event time (ms) from which on it is to take effect; None: as soon as no window is cut in two.
            reference: the new one; None keeps what still fits of the one that there is.
            cause_id: of whoever brings a reference.

        Raises:
            Refused: what is counted already forbids the change, another model reads its topic in another format, or it
                is larger than a message may be.
            confluent_kafka.KafkaException: the brokers cannot be asked, or refuse.
        """
        namespace, name = model.metadata.namespace, model.metadata.name
        self._refuse_formats(model)
        counted = self.counted(namespace, name)
        before: list[ModelRecord] = []

        def make(known: list[ModelRecord]) -> ModelRecord | None:
            before[:] = known
            if known and reference is None and known[-1].parsed() == model.spec:
                return known[-1]
            if known and cause_id and known[-1].cause_id == cause_id:
                return known[-1]
            _refuse(model.spec, known, counted)
            if not known:
                number = counted.generation + 1 if counted.newest is not None else 0
                first = ModelRecord.first(model)
                return msgspec.structs.replace(first, generation=number, reference=reference, cause_id=cause_id)
            return known[-1].next(
                spec=model.spec,
                reference=known[-1].reference if reference is None else reference,
                effective_from=self._start(model.spec, known[-1].parsed(), counted, start),
                cause_id=cause_id,
            )

        try:
            if self._dry_run:
                record = make([*generations.read_declared(self._settings).generations(namespace, name)])
                if record is not None:
                    generations.encoded(record)
            else:
                record = generations.append(self._settings, namespace, name, make)
        except generations.TooLarge as large:
            raise Refused(str(large)) from None
        if record is None:
            raise AssertionError("a document always has something to say")
        old = before[-1] if before else None
        action = "created" if old is None else "unchanged" if record in before else "configured"
        self.record(record.audit())
        spec = record.parsed()
        gaps = enough.not_judged(spec, record.reference) if record.reference else enough.foreseen(spec)
        notes = (
            *self._unknown_team(model),
            *changes(old, record),
            *self._simulated(record, counted),
            *(f"warning: {gap}" for gap in gaps),
        )
        who = f"model {model_key(namespace, name)}"
        return Applied(who, action, record.generation, record.effective_from, notes), record

    def record(self, row: AuditRow) -> None:
        """Write a row of the audit log, unless nothing is to be changed; it may be written again."""
        if not self._dry_run:
            self._warehouse.insert(AUDIT, [row.row()])

    def counted(self, namespace: str, model: str) -> Counted:
        """What has been counted and reported of a model."""
        who = {"namespace": namespace, "model": model}
        ((rows, newest, generation),) = self._warehouse.rows(_COUNTED, who)
        reports = self._warehouse.rows(_LAST_REPORT, who)
        report = msgspec.json.decode(reports[0][0], type=Report) if reports else None
        return Counted(int(newest) if rows else None, int(generation), report)

    def _start(self, new: ModelSpec, old: ModelSpec, counted: Counted, asked: int | None) -> int:
        """Start of the first window for a changed spec, in milliseconds."""
        if counted.newest is None:
            return 0
        grid = new.grid()
        earliest = counted.newest + grid.width
        if asked is not None and asked < earliest:
            raise Refused(
                f"it cannot take effect at {iso(asked)}: events up to {iso(earliest)} are counted already, by the spec "
                f"before; give --from {iso(earliest)} or later, or leave it out"
            )
        skew = max(milliseconds(new.windows.future_skew), milliseconds(old.windows.future_skew))
        reached = max(self._now + skew, earliest - 1) if asked is None else asked - 1
        return grid.end(grid.start(reached))

    def _refuse_formats(self, model: Model) -> None:
        """A topic has one format: two models that disagree on it would stop each other's events."""
        own = model_key(model.metadata.namespace, model.metadata.name)
        parts = {part.topic: part.format for part in model.spec.source.parts()} if model.spec.source else {}
        known = generations.read_declared(self._settings) if parts else generations.Declared()
        for other in known.models():
            source = known.generations(*other.split("/", 1))[-1].parsed().source
            for part in source.parts() if source is not None and other != own else ():
                if parts.get(part.topic, part.format) != part.format:
                    raise Refused(
                        f"source: topic {part.topic} is {part.format} by model {other}, and {parts[part.topic]} by "
                        f"this document: a topic has one format. Write {part.format}; or, if all of it is another one "
                        f"now, take `source` out of {other} first, and put it back as {parts[part.topic]} afterwards"
                    )

    def _unknown_team(self, model: Model) -> list[str]:
        key = f"{model.metadata.namespace}/{model.spec.team}"
        if model.spec.team == "default" or key in self._teams:
            return []
        known = ", ".join(sorted(self._teams)) or "none"
        return [
            f"warning: team {key} is not declared, so only the operator's default channels are called, if there are "
            f"any; apply a document of kind Team (declared: {known})"
        ]

    def _simulated(self, record: ModelRecord, counted: Counted) -> list[str]:
        """A source whose time is not ours may never reach what is "now" to us."""
        grid = record.parsed().grid()
        if counted.newest is None or record.effective_from <= counted.newest + 366 * 86_400_000:
            return []
        newest = iso(counted.newest + grid.width)
        return [f"warning: the newest event so far is before {newest}; for a simulated time give --from {newest}"]


def delete_model(settings: Settings, namespace: str, model: str) -> list[ModelRecord]:
    """Delete every generation of a model.

    Raises:
        Refused: there is no such model.
        confluent_kafka.KafkaException: the brokers cannot be asked, or refuse.
    """
    deleted = generations.delete(settings, namespace, model)
    if not deleted:
        known = ", ".join(generations.read_declared(settings).models()) or "none"
        raise Refused(f"model {model_key(namespace, model)} is not declared; declared: {known}")
    return deleted


def delete_team(settings: Settings, namespace: str, team: str) -> None:
    """Delete a team.

    Raises:
        Refused: there is no such team.
        confluent_kafka.KafkaException: the brokers cannot be asked, or refuse.
    """
    known = read_teams(settings)
    key = f"{namespace}/{team}"
    if key not in known:
        raise Refused(f"team {key} is not declared; declared: {', '.join(sorted(known)) or 'none'}")
    publish_team(settings, known[key].key(), None)


def changes(old: ModelRecord | None, new: ModelRecord) -> list[str]:
    """What is different from one generation to the next, and what it means for the reference."""
    spec = new.parsed()
    if old is None:
        return [] if new.reference else [_beginning(spec)]
    before, after = _kinds(old.parsed()), _kinds(spec)
    lines = [f"+ feature {name} ({after[name]})" for name in after if name not in before]
    lines += [f"- feature {name}" for name in before if name not in after]
    lines += [
        f"~ feature {name}: {before[name]} -> {kind}" for name, kind in after.items() if before.get(name, kind) != kind
    ]
    missing = unreferenced(new)
    if missing and (lines or old.reference != new.reference):
        lines.append(
            f"no reference for {', '.join(missing)}: counted, and not compared, until one is registered "
            "(driftline model register)"
        )
    return lines


def unreferenced(record: ModelRecord) -> list[str]:
    """Features that a model's reference says nothing of; none while there is no reference at all."""
    if record.reference is None:
        return []
    known = {feature.name for feature in record.reference.features.get(ALL, [])}
    return [feature.name for feature in record.parsed().features if feature.name not in known]


def _beginning(spec: ModelSpec) -> str:
    if spec.retraining.enabled:
        return f"its reference comes with the first training, after {spec.retraining.collect.days} days of events"
    days = spec.reference.collect.total_seconds() / 86_400
    return (
        f"collecting its reference: the first {days:g} days or {spec.reference.rows:,} predictions, whichever is full "
        "first"
    )


def _kinds(spec: ModelSpec) -> dict[str, str]:
    return {feature.name: feature.kind for feature in spec.features}


def _refuse(spec: ModelSpec, known: Sequence[ModelRecord], counted: Counted) -> None:
    """Hold what cannot change once events are counted: where windows are cut, and what the scores mean.

    Raises:
        Refused: it would change.
    """
    if counted.newest is None:
        return
    grid = spec.grid()
    places = [
        (f"windows of {width / 3_600_000:g} h that start {start % width / 3_600_000:g} h after midnight", width, start)
        for width, start in _cuts(known, counted)
    ]
    for what, width, start in places:
        if width != grid.width or (start - grid.offset) % grid.width:
            raise Refused(
                f"spec.windows: this model is counted in {what}; width and offset cannot change any more, because "
                "windows in flight would be cut in two. Keep them, or declare a model of another name"
            )
    if known:
        old = known[-1].parsed()
        for name in ("task", "positive_class", "classes"):
            was, wanted = getattr(old, name, None), getattr(spec, name, None)
            if was != wanted:
                raise Refused(
                    f"spec.{name}: {was!r} cannot become {wanted!r} once events are counted: scores and labels would "
                    "mean something else. Keep it, or declare a model of another name"
                )
        if old.windows.label_maturity != spec.windows.label_maturity:
            was, wanted = (of.windows.model_dump(mode="json")["label_maturity"] for of in (old, spec))
            raise Refused(
                f"spec.windows.label_maturity: {was} cannot become {wanted} once events are counted: windows would be "
                "tested twice, or never. Keep it, or declare a model of another name"
            )


def _cuts(known: Sequence[ModelRecord], counted: Counted) -> list[tuple[int, int]]:
    """(width, a start) of the windows that were counted, in milliseconds."""
    cuts = [(record.parsed().grid().width, record.parsed().grid().offset) for record in known[-1:]]
    if counted.report is not None:
        cuts.append((counted.report.at - counted.report.window_start, counted.report.window_start))
    return cuts
