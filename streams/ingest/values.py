"""From a place in a record to a value of the type that an event needs; every refusal names path, value and way out."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from schemas.events import FeatureValue, Label
from schemas.source import Constant, Header, Step, TimeSource, Where, steps_of

Reason = Literal[
    "undecodable",  # not in the format that the spec says
    "too_large",  # more than a record may have
    "unmapped",  # a place that the spec names is not there, or its value is of another type
]
"""Why a record of a customer's topic is dead."""

_SHOWN = 80
_UNITS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MISSING: Final = object()


class Unmappable(Exception):
    """A record cannot become an event, for this reason."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


class Source:
    """One decoded record: what is in it, and its headers."""

    __slots__ = ("_headers", "document")

    def __init__(self, document: Any, headers: list[tuple[str, bytes | None]] | None) -> None:
        self.document = document
        self._headers = headers or []

    def header(self, name: str) -> str | None:
        """Text of a header (the last one of this name); None when there is none."""
        found = [value for key, value in self._headers if key == name]
        return None if not found or found[-1] is None else found[-1].decode(errors="replace")


class Place:
    """A place in a record, compiled.

    Args:
        where: as the spec says it.
        field: its path in the spec, for refusals: ``source.predictions.id``.
    """

    def __init__(self, where: Where, field: str) -> None:
        self.field = field
        self.header = where.header if isinstance(where, Header) else None
        self.constant: Any = where.constant if isinstance(where, Constant) else _MISSING
        self.steps = steps_of(where) if isinstance(where, str) else ()
        self.shown = f"header {self.header}" if self.header is not None else _shown_path(self.steps)

    def find(self, source: Source) -> Any:
        """The value there; None when there is none."""
        if self.constant is not _MISSING:
            return self.constant
        if self.header is not None:
            return source.header(self.header)
        value = source.document
        for step in self.steps:
            value = _step(value, step)
            if value is _MISSING:
                return None
        return value

    def need(self, source: Source) -> Any:
        """The value there.

        Raises:
            Unmappable: there is none; what stands on the way is shown.
        """
        if (value := self.find(source)) is not None:
            return value
        if self.header is not None:
            raise self.refuse("the record has no such header")
        value = source.document
        for number, step in enumerate(self.steps):
            inner = _step(value, step)
            if inner is _MISSING or inner is None:
                there = "null" if inner is None else _contents(value)
                raise self.refuse(f"{_shown_path(self.steps[: number + (inner is None)])} is {there}")
            value = inner
        raise self.refuse("nothing is there")

    def refuse(self, problem: str) -> Unmappable:
        """Say what is wrong with what stands here."""
        return Unmappable("unmapped", f"{self.shown}: {problem}; mend the producer or spec.{self.field}")


def _step(value: Any, step: Step) -> Any:
    if isinstance(step, str):
        return value.get(step, _MISSING) if isinstance(value, Mapping) else _MISSING
    if isinstance(value, list | tuple) and -len(value) <= step < len(value):
        return value[step]
    return _MISSING


def _shown_path(steps: tuple[Step, ...]) -> str:
    return "$" + "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" if "." not in step else f"['{step}']" for step in steps
    )


def _contents(value: Any) -> str:
    if isinstance(value, Mapping):
        return shown(f"an object with {', '.join(map(str, value)) or 'nothing in it'}")
    if isinstance(value, list | tuple):
        return f"an array of {len(value)}"
    return shown(value)


def shown(value: Any) -> str:
    """A value as a person may see it in a message, cut."""
    text = value if isinstance(value, str) and value.startswith("an ") else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def text(place: Place, source: Source) -> str:
    """A name or an id: text, a whole number or a UUID.

    Raises:
        Unmappable: nothing is there, or something else.
    """
    value = place.need(source)
    if isinstance(value, bool) or not isinstance(value, str | int | UUID):
        raise place.refuse(f"{shown(value)} is neither text nor a whole number")
    return str(value)


def scalar(place: Place, value: Any) -> FeatureValue:
    """A number, text, boolean or null.

    Raises:
        Unmappable: it is an object, an array, bytes or another thing.
    """
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, int | Decimal):
        return _double(place, value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise place.refuse(f"{_contents(value)} is neither a number nor text, boolean or null")


def label(place: Place, source: Source) -> Label:
    """A scalar that must be there.

    Raises:
        Unmappable: it is not.
    """
    value = scalar(place, place.need(source))
    assert value is not None  # noqa: S101  for the type checker: need() gives none
    return value


def number(place: Place, value: Any) -> float:
    """A number.

    Raises:
        Unmappable: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise place.refuse(f"{_contents(value)} is no number")
    return _double(place, value)


def _double(place: Place, value: float | Decimal) -> float:
    try:
        return float(value)
    except (OverflowError, ValueError):  # a whole number that is too large; a Decimal that signals NaN
        raise place.refuse(f"{shown(value)} does not fit a double") from None


class Instant:
    """The event time: a place, its format and its zone, compiled."""

    def __init__(self, spec: TimeSource, field: str) -> None:
        where: Where = spec.path if spec.path is not None else Header(header=spec.header or "")
        self._place = Place(where, field)
        self._format = spec.format
        self._zone = ZoneInfo(spec.zone) if spec.zone is not None else None
        self._read: Callable[[Any], datetime]
        if spec.format in _UNITS:
            self._read = self._epoch
        else:
            self._read = self._strptime if "%" in spec.format else self._rfc3339

    def find(self, source: Source) -> datetime:
        """The instant, with a zone.

        Raises:
            Unmappable: nothing is there, or no time of this format.
        """
        value = self._place.need(source)
        try:
            # Formats with logical types know it already.
            found = value if isinstance(value, datetime) else self._read(value)
            if found.tzinfo is None:
                if self._zone is None:
                    raise ValueError("it has no offset, and the spec names no zone")
                found = found.replace(tzinfo=self._zone)
            return found.astimezone(UTC)
        except (ValueError, TypeError, ArithmeticError) as error:
            zone = f", zone {self._zone}" if self._zone else ""
            raise self._place.refuse(
                f"{shown(value)} is no time of the format {self._format}{zone} ({error})"
            ) from None

    def _epoch(self, value: Any) -> datetime:
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise TypeError("expected a number")
        microseconds = Decimal(str(value)) * _UNITS[self._format]
        if not microseconds.is_finite():
            raise ValueError("expected a finite number")
        return _EPOCH + timedelta(microseconds=int(microseconds))

    def _strptime(self, value: Any) -> datetime:
        return datetime.strptime(value, self._format)  # noqa: DTZ007  the zone is given apart

    def _rfc3339(self, value: Any) -> datetime:
        return datetime.fromisoformat(value)
