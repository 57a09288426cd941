"""``source:`` in a model's spec: where in a customer's own topics stands what driftline's events say.

The part is data, checked by pydantic: nothing in it is evaluated, and no address can be named in it. A *path* leads
to a value inside a record: names with dots between them, ``[0]`` (``[-1]``: the last) for an element of an array,
``['a.b']`` for a name with a dot in it, ``$.`` before it if you like (the part of JSONPath that names one value), and
``$`` alone for the whole record.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from schemas.events import SourceTopic

Step = str | int
TimeFormat = Literal["rfc3339", "epoch_s", "epoch_ms", "epoch_us"]
RecordFormat = Literal["json", "avro", "protobuf"]
Scalar = bool | int | float | str

_STEP = re.compile(r"""\.?([^.\[\]'"*?@\s]+)|\[(-?\d+)\]|\[(?:'([^']+)'|"([^"]+)")\]""")
_EXAMPLES = "a field (request.id), an element (items[0].price), a name with a dot in it (['a.b']), the whole record ($)"


def steps_of(path: str) -> tuple[Step, ...]:
    """The names and positions that a path goes through.

    Raises:
        ValueError: it is none; the message shows where it stops being one, and what is valid.
    """
    rest = re.sub(r"^\$(\.(?=.)|(?=\[)|$)", "", path)
    steps: list[Step] = []
    while rest:
        found = _STEP.match(rest)
        # Only a name after the first step has its dot before it.
        if found is None or (found[1] is not None and rest.startswith(".") != bool(steps)):
            raise ValueError(f"{path!r} is no path: cannot read {rest[:40]!r}; valid: {_EXAMPLES}")
        steps.append(int(found[2]) if found[2] is not None else found[1] or found[3] or found[4])
        rest = rest[found.end() :]
    return tuple(steps)


def _path(text: str) -> str:
    steps_of(text)
    return text


Path = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_path)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Constant(_Strict):
    """The same value for every record."""

    constant: Scalar


class Header(_Strict):
    """The text of a Kafka header."""

    header: Annotated[str, Field(min_length=1, max_length=200)]


def _where_kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "constant" if "constant" in value else "header" if "header" in value else ""
    return "path" if isinstance(value, str) else type(value).__name__.lower()


Where = Annotated[
    Annotated[Path, Tag("path")] | Annotated[Constant, Tag("constant")] | Annotated[Header, Tag("header")],
    Discriminator(
        _where_kind,
        custom_error_type="where",
        custom_error_message="where a value stands is a path (request.id), {header: NAME} or {constant: VALUE}",
    ),
]


class When(_Strict):
    """Which records of the topic are meant, by one value inside or by a header; without it, all of them."""

    path: Path | None = None
    header: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    equals: Annotated[
        tuple[Scalar, ...],
        Field(min_length=1, description="one value, or a list of which one must match"),
        BeforeValidator(lambda given: given if isinstance(given, list | tuple) else (given,)),
    ]

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.header is None):
            raise ValueError("say either `path` or `header`: where the value stands that must be equal")
        return self


class TimeSource(_Strict):
    """Where the event time stands, and how it is written."""

    path: Path | None = None
    header: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    format: Annotated[str, Field(max_length=100)] = Field(
        default="rfc3339", description="rfc3339, epoch_s, epoch_ms, epoch_us, or strptime directives: %d.%m.%Y %H:%M"
    )
    zone: str | None = Field(default=None, description="IANA time zone of times that do not say theirs: Europe/Berlin")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if (self.path is None) == (self.header is None):
            raise ValueError("say either `path` or `header`: where the time stands")
        if "%" not in self.format and self.format not in (known := get_args(TimeFormat)):
            valid = ", ".join(known)
            raise ValueError(f"format {self.format!r} is unknown; valid: {valid}, or strptime (%d.%m.%Y %H:%M:%S)")
        if "%" in self.format and "%z" not in self.format and self.zone is None:
            raise ValueError(
                f"format {self.format!r} has no %z, so nobody could say which instant is meant: "
                "name the zone of the times, e.g. zone: Europe/Berlin, or zone: UTC"
            )
        if self.format.startswith("epoch") and self.zone is not None:
            raise ValueError(f"{self.format} counts from 1970 in UTC and has no zone: remove `zone`")
        if self.zone is not None:
            try:
                ZoneInfo(self.zone)
            except (KeyError, ValueError, OSError) as error:
                raise ValueError(f"zone {self.zone!r} is unknown; name one of the IANA list: Europe/Berlin") from error
        return self


Time = Annotated[TimeSource, BeforeValidator(lambda given: {"path": given} if isinstance(given, str) else given)]


_OURS = frozenset(get_args(SourceTopic))


def _topic(name: str) -> str:
    if name.startswith("__"):
        raise ValueError(f"{name} is Kafka's own topic; name one of yours")
    if name in _OURS:
        # A dead letter is known by topic, partition and offset: it would be taken for one of driftline's own.
        raise ValueError(f"{name} is how driftline calls a topic of its own in its tables; name yours otherwise")
    return name


Topic = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$"), AfterValidator(_topic)]
Places = dict[Annotated[str, Field(min_length=1, max_length=100)], Where]


class PredictionSource(_Strict):
    """Where a prediction's fields stand (``schemas.events.Prediction``)."""

    topic: Topic
    format: RecordFormat = "json"
    when: When | None = None
    id: Where
    time: Time
    version: Where
    features: Path | Places = Field(description="a path: all of this object; or feature -> where it stands")
    prediction: Where | None = None
    scores: Path | Places | None = Field(default=None, description="a path: all of this object; or class -> where")
    latency_ms: Where | None = None
    segments: Places = {}
    role: Where | None = None


class OutcomeSource(_Strict):
    """Where an outcome's fields stand (``schemas.events.Outcome``)."""

    topic: Topic
    format: RecordFormat = "json"
    when: When | None = None
    id: Where
    time: Time
    label: Where


class SourceSpec(_Strict):
    """A model's events in a customer's own topics; the role ``ingest`` translates them."""

    start: Literal["earliest", "latest"] = Field(
        default="earliest", description="where a topic is begun that was never read before"
    )
    predictions: PredictionSource | None = None
    outcomes: OutcomeSource | None = None

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if self.predictions is None and self.outcomes is None:
            raise ValueError("name at least one of `predictions` and `outcomes`, or leave `source` out")
        if self.predictions is not None and self.outcomes is not None:
            same = self.predictions.topic == self.outcomes.topic
            if same and self.predictions.format != self.outcomes.format:
                raise ValueError(f"topic {self.predictions.topic} cannot have two formats")
            if same and (self.predictions.when is None or self.outcomes.when is None):
                raise ValueError(
                    f"predictions and outcomes both come from {self.predictions.topic}: say with `when` on each which "
                    "records are meant, e.g. when: {path: type, equals: scored}"
                )
        return self

    def parts(self) -> list[PredictionSource | OutcomeSource]:
        """The declared parts."""
        return [part for part in (self.predictions, self.outcomes) if part is not None]
