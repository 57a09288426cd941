"""Owners' documents (``kind: Model``, ``kind: Team``) from YAML files, and what is wrong with them, all at once.

A problem names the file, the line, the path, the value, what is valid, and what was perhaps meant.
"""

import difflib
import sys
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.spec import NAME_PATTERN, Model, Team, iso

KINDS: dict[str, type[Model] | type[Team]] = {"Model": Model, "Team": Team}
MAX_BYTES = 1_000_000
_SHOWN = 80
_ISO = "write a duration as ISO-8601 says it: P7D, PT1H, PT30S"

Resource = Model | Team
Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a document. ``path`` is empty when it is about the whole; ``line`` counts from 1."""

    file: str
    line: int
    path: str
    text: str

    def __str__(self) -> str:
        return ": ".join(part for part in (f"{self.file}:{self.line}", self.path, self.text) if part)


@dataclass(frozen=True, slots=True)
class Document:
    """A document that can be used, and where it stands."""

    file: str
    line: int
    resource: Resource

    @property
    def name(self) -> str:
        """``kind namespace/name``."""
        metadata = self.resource.metadata
        return f"{self.resource.kind} {metadata.namespace}/{metadata.name}"


class Unreadable(Exception):
    """A file that cannot be read at all."""


def read(files: Sequence[Path]) -> tuple[list[Document], list[Problem]]:
    """All documents of all files (``-`` is standard input), in order, and all that is wrong with the others.

    Raises:
        Unreadable: a file does not exist, or is no text of at most 1 MB.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    for file in files:
        for found in _of_file(str(file), _text(file)):
            (documents if isinstance(found, Document) else problems).append(found)  # type: ignore[arg-type]
    first: dict[str, Document] = {}
    for document in documents:
        before = first.setdefault(document.name, document)
        if before is not document:
            text = f"{document.name} is declared twice, first at {before.file}:{before.line}; keep one of them"
            problems.append(Problem(document.file, document.line, "metadata.name", text))
    return documents, problems


def model_of(file: Path) -> Model:
    """The one model that a file declares.

    Raises:
        SystemExit: with every problem of the file, or when it declares none or several.
    """
    try:
        found, problems = read([file])
    except Unreadable as error:
        raise SystemExit(str(error)) from None
    if problems:
        raise SystemExit("\n".join(map(str, problems)))
    models = [document.resource for document in found if isinstance(document.resource, Model)]
    if len(models) != 1:
        raise SystemExit(f"{file}: {len(models)} documents of kind Model; give a file with exactly one")
    return models[0]


def _text(file: Path) -> str:
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1) if str(file) == "-" else file.read_bytes()
        if len(data) > MAX_BYTES:
            raise Unreadable(f"{file}: more than {MAX_BYTES:,} bytes, which no document needs; is it the right file?")
        return data.decode()
    except OSError as error:
        raise Unreadable(f"{file}: {error.strerror}; name a YAML file, or - for standard input") from None
    except UnicodeDecodeError as error:
        raise Unreadable(f"{file}: byte {error.start} is no UTF-8; documents are YAML text") from None


def _of_file(file: str, text: str) -> Iterator[Document | Problem]:
    empty = True
    try:
        loader = yaml.SafeLoader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                break
            twice = list(_twice(file, node, set()))
            value = loader.construct_document(node)
            if value is None:
                continue
            empty = False
            yield from twice
            if not twice:
                yield from _of_node(file, node, value)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        yield Problem(file, mark.line + 1 if mark else 1, "", f"not YAML: {what}")
        return
    except yaml.YAMLError as error:
        yield Problem(file, 1, "", f"not YAML: {str(error).splitlines()[0]}")
        return
    if empty:
        yield Problem(file, 1, "", f"no document in it; a document begins with apiVersion and kind ({_one_of(KINDS)})")


def _of_node(file: str, node: yaml.Node, value: Any) -> Iterator[Document | Problem]:
    line = node.start_mark.line + 1
    if not isinstance(value, dict):
        yield Problem(file, line, "", f"{_shown(value)} is no document; one begins with apiVersion, kind and metadata")
        return
    kind = value.get("kind")
    if not isinstance(kind, Hashable) or kind not in KINDS:
        what = "is missing" if kind is None else f"{_shown(kind)} is not known{_meant(str(kind), KINDS)}"
        yield Problem(file, _line(node, ("kind",)), "kind", f"{what}; valid: {_one_of(KINDS)}")
        return
    model = KINDS[kind]
    problems = [
        Problem(file, _line(node, place), _path(place), f"{_shown(number)} has no unit; {_ISO}")
        for place, number in _unitless(model, value, ())
    ]
    try:
        resource = model.model_validate(value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems += [
            Problem(file, _line(node, detail["loc"]), _path(detail["loc"]), _said(model, detail, node))
            for detail in details
            if not _echo(detail, details)
        ]
    if problems:
        yield from sorted(problems, key=lambda problem: (problem.line, problem.path))
    else:
        yield Document(file, line, resource)


def _said(model: type[BaseModel], detail: ErrorDetails, node: yaml.Node) -> str:
    """What pydantic found in a document, for a person."""
    *above, last = detail["loc"]
    given, kind = detail["input"], detail["type"]
    value = _shown(given)
    text = f"{value}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"
    if kind == "extra_forbidden":
        valid = _keys(model, above)
        text = f"unknown key{_meant(str(last), valid)}; valid: {', '.join(valid)}"
    elif kind == "missing":
        text = "is missing"
    elif kind == "literal_error":
        choices = [part.strip("'") for part in detail["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        text = f"{value} is not known{_meant(str(given), choices)}; valid: {', '.join(choices)}"
    elif kind == "value_error":
        text = detail["msg"].removeprefix("Value error, ")
    elif kind == "string_pattern_mismatch" and detail["ctx"]["pattern"] == NAME_PATTERN:
        text = f"{value} is no name; valid: up to 100 letters, digits, _, . and -, the first a letter or a digit"
    elif kind.startswith("time_delta"):
        text = f"{text}; {_ISO}"
    elif kind == "string_type" and not isinstance(given, dict | list | None):
        text = f'{value} is no text to YAML; write it in quotes: "{_written(node, detail["loc"], given)}"'
    elif kind == "tuple_type":
        text = f"{value}: a list is needed here; write it in brackets: [{given}]"
    elif kind in ("model_type", "model_attributes_type", "dict_type"):
        text = f"{value}: a mapping is needed here, with the keys {', '.join(_keys(model, detail['loc']))}"
    return text


def _echo(detail: ErrorDetails, others: Sequence[ErrorDetails]) -> bool:
    """Whether it only says that a list is too short because its members are wrong, which is said already."""
    place = detail["loc"]
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in others
    )


def _keys(model: type[BaseModel], place: Iterable[str | int]) -> list[str]:
    """Keys that a document may have at a place."""
    found = _annotation(model, tuple(place))
    return [key for option in _options(found) if _is_model(option) for key in option.model_fields]


def _annotation(annotation: Any, place: Place) -> Any:
    """The type that is declared at a place; None when there is none."""
    if not place:
        return annotation
    first, *rest = place
    for option in _options(annotation):
        below = None
        if _is_model(option) and first in option.model_fields:
            below = option.model_fields[first].annotation
        elif isinstance(first, int) and get_origin(option) in (tuple, list):
            below = get_args(option)[0]
        elif get_origin(option) is dict:
            below = get_args(option)[1]
        if below is not None:
            return _annotation(below, tuple(rest))
    return None


def _options(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [option for part in get_args(annotation) for option in _options(part)]
    return [annotation]


def _is_model(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)


def _unitless(model: type[BaseModel], value: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    """Numbers where a duration is declared: pydantic would take them for seconds, and their owner means days."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _unitless(model, below, (*place, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from _unitless(model, below, (*place, index))
    elif isinstance(value, int | float) and timedelta in _options(_annotation(model, place)):
        yield place, value


def _twice(file: str, node: yaml.Node, seen: set[int]) -> Iterator[Problem]:
    """Keys that a mapping has twice, of which YAML would silently take the last."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, below in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and first.setdefault(key.value, line) != line:
                yield Problem(file, line, key.value, f"is given twice, first in line {first[key.value]}; keep one")
            yield from _twice(file, below, seen)
    elif isinstance(node, yaml.SequenceNode):
        for below in node.value:
            yield from _twice(file, below, seen)


def _line(node: yaml.Node, place: Iterable[str | int]) -> int:
    """Line of a place, or of the deepest part of it that the document has."""
    line = node.start_mark.line + 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, below) for key, below in node.value if key.value == str(part)), None)
            if found is None:
                continue
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _written(node: yaml.Node, place: Iterable[str | int], given: Any) -> str:
    """A value as its owner wrote it: YAML takes ``no`` for false, and 1.10 for 1.1."""
    for part in place:
        if isinstance(node, yaml.MappingNode):
            node = next((below for key, below in node.value if key.value == str(part)), node)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
    return str(node.value) if isinstance(node, yaml.ScalarNode) else str(given)


def _path(place: Iterable[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")


def _meant(given: str, valid: Iterable[str]) -> str:
    lower = {name.lower(): name for name in valid}
    close = difflib.get_close_matches(given.lower(), lower, n=1)
    return f" (did you mean {lower[close[0]]}?)" if close else ""


def _one_of(names: Iterable[str]) -> str:
    return ", ".join(names)


def _shown(value: Any) -> str:
    text = iso(value) if isinstance(value, timedelta) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
