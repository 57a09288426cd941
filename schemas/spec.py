"""What owners declare: a model (``kind: Model``) and the team that is called for it (``kind: Team``).

The spec is checked by pydantic: an error names the path, the value and the valid choices. Durations are ISO-8601.
"""

from datetime import date, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from schemas import rules
from schemas.rules import Rule, RuleError
from schemas.source import SourceSpec
from schemas.tasks import Task
from schemas.topics import SOURCE_DAYS
from schemas.windows import Windows

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
NamePart = Annotated[str, Field(pattern=NAME_PATTERN)]
FeatureKind = Literal["number", "string", "boolean"]
ClassName = Annotated[str, Field(min_length=1, max_length=200)]
_DAY = timedelta(days=1)

REPLAYS = "replay"
"""Namespace of the replays of tables (``driftline --stack ... replay``): nobody is called for a model in it."""

MOST_CLASSES = 64
"""A confusion matrix is kept per window, version and segment."""


def milliseconds(duration: timedelta) -> int:
    """A duration in whole milliseconds."""
    return duration // timedelta(milliseconds=1)


def iso(duration: timedelta) -> str:
    """A duration as documents say it: P1DT12H."""
    text: str = TypeAdapter(timedelta).dump_python(duration, mode="json")
    return text


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FeatureSpec(_Strict):
    """One input of the model; a value of another kind makes the event a dead letter."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    kind: FeatureKind
    # Left out of what is stored while nobody says it, so that a spec without it is the same bytes as ever.
    importance: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        exclude_if=lambda said: said is None,
        description="how much the model's answers depend on it, relative to the others; preferred over what a training "
        "here measured, and said of all features or of none",
    )


class WindowSpec(_Strict):
    """How event time is cut, and how long what is waited for."""

    width: timedelta = Field(default=_DAY, description="width of the tumbling windows")
    offset: timedelta = Field(default=timedelta(0), description="where in the day (UTC) windows start")
    allowed_lateness: timedelta = Field(default=timedelta(hours=1), description="watermark = newest event time - this")
    future_skew: timedelta = Field(
        default=timedelta(hours=1), description="an event this far ahead of its record's timestamp is dead"
    )
    max_age: timedelta = Field(
        default=7300 * _DAY,
        gt=timedelta(0),
        description="an event this far behind its record's timestamp is dead; a back-fill may need more",
    )
    dedupe_horizon: timedelta = Field(
        default=timedelta(days=7), description="how long (broker time) an id is remembered"
    )
    label_maturity: timedelta = Field(default=_DAY, description="after its end a window's performance is tested, once")
    label_horizon: timedelta = Field(default=timedelta(days=30), description="a label further away is not paired")

    @model_validator(mode="after")
    def _sane(self) -> Self:
        if self.width <= timedelta(0) or self.label_maturity < timedelta(0):
            raise ValueError("width must be positive and label_maturity not negative")
        if milliseconds(self.label_maturity) % milliseconds(self.width):
            raise ValueError(
                f"label_maturity ({iso(self.label_maturity)}) must be a multiple of width ({iso(self.width)})"
            )
        return self


class AlertSpec(_Strict):
    """Hard rules; everything else is stored and shown."""

    latency_p99_ms: float | None = Field(
        default=None, gt=0, description="objective; a window above it raises an incident"
    )
    min_rows: int = Field(default=100, ge=1, description="fewer rows in a window: insufficient data, its own verdict")
    min_coverage: float = Field(default=0.5, ge=0, le=1, description="share of rows with a label that a test needs")
    labelled_loss: bool = Field(default=True, description="raise when it is above the reference band")
    consecutive: int = Field(default=2, ge=1, description="windows in a row outside the band before it is raised")
    rules: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        default=(), description='limits of the owner\'s own, e.g. "labelled.auc < 0.75 for 2 windows"'
    )


class ReferenceSpec(_Strict):
    """What becomes the reference of a model that is not trained here and came without one (whichever is full first).

    And when its windows are alike: where hours and weekdays explain how they differ, a window is held against its hour.
    """

    collect: timedelta = Field(default=7 * _DAY, description="event time")
    rows: int = Field(default=20_000, ge=100, description="counted predictions")
    timezone: str = Field(
        default="UTC", description="IANA name of the zone in which an hour of a weekday is like that of other weeks"
    )
    holidays: tuple[date, ...] = Field(
        default=(), max_length=1000, description="days of that zone that are like Sundays"
    )

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{name!r} is no time zone; write an IANA name, e.g. Europe/Berlin or UTC") from None
        return name


class RawSpec(_Strict):
    """Raw rows in ClickHouse.

    Duplicates and labels look back at them, and so does a training, whose history ends where they end. At most ten
    years: ClickHouse's dates end in 2106.
    """

    ttl: timedelta = Field(
        default=90 * _DAY, ge=_DAY, le=3650 * _DAY, description="raw rows are deleted this long after they came"
    )
    features: bool = Field(
        default=True,
        description="false: ids, verdicts, scores and labels only; nothing can be trained of them",
    )

    @property
    def days(self) -> int:
        """Whole days that a row is kept, rounded up."""
        return -(-self.ttl // _DAY)


class RetrainingSpec(_Strict):
    """When a retraining is asked for, and what the trainer may use."""

    enabled: bool = Field(default=True, description="false: the model is trained elsewhere; nothing is asked for")
    collect: timedelta = Field(default=30 * _DAY, description="history before the first training and reference")
    schedule: timedelta | None = Field(default=28 * _DAY, description="a request at least this often; null: never")
    cooldown: timedelta = Field(default=14 * _DAY, description="no request this soon after the previous one")
    candidate_delay: timedelta = Field(default=_DAY, description="event time charged for a training")
    history: timedelta = Field(default=365 * _DAY, description="how far back training rows go")
    holdout: timedelta = Field(default=14 * _DAY, description="newest rows kept from the fit, for the judge")
    budget: int = Field(default=12, ge=0, description="requests in any 365 days")
    max_runtime: timedelta = Field(default=timedelta(minutes=10), description="wall time of the fit; more is an error")
    max_memory_mb: int = Field(default=4096, ge=256, description="address space of the fit")
    seed: int = 7


class GateSpec(_Strict):
    """The gate's numbers; losses are Brier scores. One observation is one window, never one event."""

    alpha: float = Field(default=0.05, gt=0, lt=1, description="chance of a wrong promotion, however long it looks")
    bound: float = Field(
        default=0.02, gt=0, le=1, description="a window's mean paired difference is clipped to margin ± this"
    )
    bets: tuple[float, ...] = Field(
        default=(0.1, 0.2, 0.4, 0.8), description="grid, each in (0, 1), in units of 1/bound"
    )
    margin_schedule: float = Field(default=0.005, ge=0, description="non-inferiority margin for scheduled requests")
    margin_cause: float = Field(default=0.0, le=0, description="superiority margin for drift and performance requests")
    judge_margin: float = Field(
        default=0.005, description="mean paired difference on the held-out rows that still passes"
    )
    judge_segment_margin: float = Field(default=0.02, description="the same for every segment")
    shadow_max: timedelta = Field(default=28 * _DAY, description="then the shadow ends as inconclusive")
    guard: timedelta = Field(default=14 * _DAY, description="after a promotion the former champion shadows the new one")
    min_pairs: int = Field(default=50, ge=1, description="pairs that make a window an observation")


class ModelSpec(_Strict):
    """The ``spec`` part of a model's YAML."""

    task: Task = "binary"
    positive_class: Annotated[str, Field(max_length=200)] = Field(
        default="", description="binary: the class whose score is the probability that is tested"
    )
    classes: Annotated[tuple[ClassName, ...], Field(max_length=MOST_CLASSES)] = Field(
        default=(), description="multiclass: every class that is predicted or happens"
    )
    unit: Annotated[str, Field(max_length=20)] = Field(
        default="", description="regression: what predictions and labels are measured in, for texts"
    )
    features: Annotated[tuple[FeatureSpec, ...], Field(min_length=1)]
    segments: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(
        default=(), description="tags of an event; each of their values is watched by itself, as tag=value"
    )
    team: NamePart = Field(default="default", description="who is called; a document of kind Team, same namespace")
    source: SourceSpec | None = Field(
        default=None, description="where events come from that are not in driftline's own form and topics"
    )
    windows: WindowSpec = WindowSpec()
    reference: ReferenceSpec = ReferenceSpec()
    raw: RawSpec = RawSpec()
    alerts: AlertSpec = AlertSpec()
    retraining: RetrainingSpec = RetrainingSpec()
    gate: GateSpec = GateSpec()

    @model_validator(mode="before")
    @classmethod
    def _trained_elsewhere(cls, data: Any) -> Any:
        """Only binary models are trained here: for the others ``retraining.enabled`` is false unless it is said."""
        if isinstance(data, dict) and data.get("task", "binary") != "binary":
            retraining = data.get("retraining", {})
            if isinstance(retraining, dict):
                return data | {"retraining": {"enabled": False} | retraining}
        return data

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        for name, task in _OF_ONE_TASK.items():
            if getattr(self, name) and self.task != task:
                raise ValueError(f"{name} is for task {task}, but the task is {self.task}; remove it, or change task")
        if self.task == "binary" and not self.positive_class:
            raise ValueError(
                "positive_class is missing: task binary needs the name of the class whose score is tested; write e.g. "
                "positive_class: fraud"
            )
        if self.task == "multiclass" and len(set(self.classes)) < max(2, len(self.classes)):
            raise ValueError(
                f"classes: {', '.join(self.classes) or 'none'}; task multiclass needs two or more, each named once; "
                "write e.g. classes: [cat, dog, other]"
            )
        if self.task != "binary" and self.retraining.enabled:
            raise ValueError(
                f"retraining.enabled is true, but only models of task binary are trained here, and the task is "
                f"{self.task}; write retraining: {{enabled: false}}, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for part, names in (("features", [feature.name for feature in self.features]), ("segments", self.segments)):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{part} declared twice: {', '.join(twice)}; name each of them once")
        ambiguous = [tag for tag in self.segments if "=" in tag]
        if ambiguous:
            raise ValueError(
                f"segments with '=': {', '.join(ambiguous)}; name the tag alone (origin, not origin=JFK): each of its "
                "values becomes a segment tag=value"
            )
        return self

    @model_validator(mode="after")
    def _importance_of_all_or_none(self) -> Self:
        silent = [feature.name for feature in self.features if feature.importance is None]
        if silent and len(silent) < len(self.features):
            raise ValueError(
                f"features without importance: {', '.join(silent)}; it is relative to the other features, so say it of "
                "all (0: the least), or of none"
            )
        return self

    @model_validator(mode="after")
    def _kept_what_is_trained_of(self) -> Self:
        if self.retraining.enabled and not self.raw.features:
            raise ValueError(
                "raw.features is false, but retraining.enabled is true, and a training needs the features; write "
                "retraining: {enabled: false}, or leave raw.features out"
            )
        return self

    @model_validator(mode="after")
    def _kept_long_enough(self) -> Self:
        windows, need = self.windows, dict[str, timedelta]()
        behind = windows.width + timedelta(days=SOURCE_DAYS)
        for name in ("dedupe_horizon", "label_horizon"):
            need[f"windows.{name}"] = getattr(windows, name) + behind
        if self.retraining.enabled:
            matured = windows.label_maturity + behind
            need["retraining.collect"] = self.retraining.collect + matured
            need["gate.shadow_max"] = self.gate.shadow_max + matured
        reason, least = max(need.items(), key=lambda item: item[1])
        if self.raw.ttl < least:
            days = -(-least // _DAY)
            raise ValueError(
                f"raw.ttl (P{self.raw.days}D) is too short for {reason}: rows that are still needed would be gone. "
                f"It must be at least P{days}D, that is {reason} with a window, and the {SOURCE_DAYS} days that Kafka "
                f"keeps events which are not counted yet. Set raw.ttl: P{days}D, or shorten {reason}"
            )
        return self

    def notes(self) -> list[str]:
        """What is valid, but perhaps not what its owner expects."""
        found = []
        if not self.raw.features:
            found.append(
                "raw.features is false: a reference cannot be collected from raw rows; give the model one with "
                "driftline model register, or no feature of it is compared with anything"
            )
        if self.retraining.enabled and self.retraining.history > self.raw.ttl:
            found.append(
                f"retraining.history is {self.retraining.history.days} days, but raw rows are kept for "
                f"{self.raw.days} (raw.ttl): a training sees at most those. Lengthen raw.ttl if it shall see more"
            )
        return found

    @model_validator(mode="after")
    def _source_has_all_features(self) -> Self:
        places = self.source.predictions.features if self.source and self.source.predictions else ""
        if isinstance(places, str):
            return self
        declared = {feature.name for feature in self.features}
        for names, what in (
            (sorted(places.keys() - declared), "are not declared in spec.features"),
            (sorted(declared - places.keys()), "are declared in spec.features and stand nowhere"),
        ):
            if names:
                raise ValueError(f"source.predictions.features: {', '.join(names)} {what}; name the same in both")
        return self

    @model_validator(mode="after")
    def _rules(self) -> Self:
        problems = []
        found: set[str] = set()
        for index, text in enumerate(self.alerts.rules):
            try:
                rule = self._rule(text)
            except RuleError as error:
                problems.append(f"alerts.rules[{index}]: {error}")
                continue
            if rule.text in found:
                problems.append(f"alerts.rules[{index}]: {rule.text!r} is there already; write it once")
            found.add(rule.text)
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def rules(self) -> tuple[Rule, ...]:
        """The owner's own limits, read."""
        return tuple(self._rule(text) for text in self.alerts.rules)

    def _rule(self, text: str) -> Rule:
        known = rules.metrics(self.task, ((feature.name, feature.kind) for feature in self.features))
        return rules.parse(text, known, self.segments)

    def grid(self) -> Windows:
        """The windows of event time that this model is watched in."""
        return Windows(milliseconds(self.windows.width), milliseconds(self.windows.offset))


_OF_ONE_TASK: dict[str, Task] = {"positive_class": "binary", "classes": "multiclass", "unit": "regression"}


class Metadata(_Strict):
    """Who the model is."""

    namespace: NamePart = "default"
    name: NamePart


class Model(_Strict):
    """A model owner's document: ``apiVersion: driftline/v1``, ``kind: Model``."""

    apiVersion: Literal["driftline/v1"] = "driftline/v1"
    kind: Literal["Model"] = "Model"
    metadata: Metadata
    spec: ModelSpec


class TeamSpec(_Strict):
    """How often, and by which channels, the people of a team are called.

    A channel is a name; what it is, its address and its secret are the operator's (``DRIFTLINE_CHANNELS``), so that a
    document can neither hold a secret nor make driftline call an address.
    """

    falseAlarmBudget: Annotated[str, Field(pattern=r"^[0-9]{1,6} per P.+$")] = Field(
        default="1 per P30D", description="how many false pages the team accepts"
    )
    channels: tuple[NamePart, ...] = Field(default=(), description="names of channels that critical incidents go to")
    warnings: tuple[NamePart, ...] = Field(default=(), description="names of channels that warnings go to as well")

    @model_validator(mode="after")
    def _budget_of_a_time(self) -> Self:
        try:
            positive = TypeAdapter(timedelta).validate_python(self._per) > timedelta(0)
        except ValueError:
            positive = False
        if not positive:
            raise ValueError(
                f"falseAlarmBudget: {self._per!r} is no time; write a number per ISO-8601 duration, e.g. 1 per P30D"
            )
        return self

    @property
    def _per(self) -> str:
        return self.falseAlarmBudget.partition(" per ")[2]

    @property
    def pages(self) -> float:
        """False pages that the team accepts of all its models together, in 30 days; 0: nothing pages by evidence."""
        pages = int(self.falseAlarmBudget.partition(" per ")[0])
        return pages * (30 * _DAY / TypeAdapter(timedelta).validate_python(self._per))


class Team(_Strict):
    """A team's document: ``apiVersion: driftline/v1``, ``kind: Team``."""

    apiVersion: Literal["driftline/v1"] = "driftline/v1"
    kind: Literal["Team"] = "Team"
    metadata: Metadata
    spec: TeamSpec = TeamSpec()
