"""Two files as columns of the same kinds, by a model's document or by what the reference looks like."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from app.propose import MEANT, features, plain, task
from app.table import CONVERT, TEXTS, Reader, TableError, answers, label, load, missing
from detectors.sketch import Ints
from retrain.baseline import segment_masks
from schemas.spec import FeatureKind, FeatureSpec, ModelSpec, RetrainingSpec

Role = Literal["feature", "prediction", "label"]

MOST_SEGMENTS = 50
"""More values of all segment columns together are refused: each has every column compared once more."""


class Column(NamedTuple):
    """A column that is compared; the model's answers and the labels are compared like features."""

    name: str
    kind: FeatureKind
    role: Role


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows of one file.

    Attributes:
        columns: name -> float64, string or bool array with nulls.
        masks: ``tag=value`` -> its rows.
        times: ms since the epoch; None without a column event_time.
        prediction: of the model, ``scores`` by class and ``label`` as :func:`retrain.baseline.answers` takes them.
    """

    path: Path
    rows: int
    columns: dict[str, pa.Array]
    masks: dict[str, NDArray[np.bool_]]
    times: Ints | None
    prediction: pa.Array | None
    scores: dict[str, pa.Array]
    label: pa.Array | None

    @property
    def span(self) -> int | None:
        """From the first row to the last, in ms."""
        return None if self.times is None else int(self.times.max() - self.times.min()) + 1


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is compared.

    Attributes:
        spec: of the model, its own or what the reference looks like; None when no column is the model's answer.
        notes: what a person should know about how the files were read.
    """

    reference: Sample
    current: Sample
    columns: tuple[Column, ...]
    spec: ModelSpec | None
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are to be read: what the options say."""

    columns: Mapping[str, str]
    timezone: str | None
    segments: Collection[str]
    ignored: Collection[str]


def read(reference: Path, current: Path, spec: ModelSpec | None, how: Reading) -> Inputs:
    """Read both files.

    Raises:
        TableError: one of them cannot be used, or they have no column in common.
    """
    segments = list(dict.fromkeys([*how.segments, *(spec.segments if spec else ())]))
    as_text = [*TEXTS, *segments, *(f.name for f in (spec.features if spec else ()) if f.kind == "string")]
    readers = [Reader(path, load(path, how.columns, as_text=as_text), how.timezone) for path in (reference, current)]
    notes: list[str] = []
    answered = spec is not None or _answered(readers[0])
    if spec is None:
        spec, notes = _guessed(readers, segments, how.ignored, answered=answered)
    elif segments:
        spec = spec.model_copy(update={"segments": tuple(segments)})
    kept = [feature for feature in spec.features if feature.name not in how.ignored]
    if not kept:
        raise TableError(f"{reference}: every feature is ignored; leave one to compare")
    spec = spec.model_copy(update={"features": tuple(kept)})
    answered = answered and all(_answered(reader) for reader in readers)
    before, after = (_sample(reader, spec, answered=answered) for reader in readers)
    found = [Column(feature.name, feature.kind, "feature") for feature in spec.features]
    found += _of_the_model(spec, before, after) if answered else []
    if not answered:
        notes.append("no column score, score_<class> or prediction in both files: only features are compared")
    for sample in (before, after):
        if len(sample.masks) > MOST_SEGMENTS:
            raise TableError(
                f"{sample.path}: {len(sample.masks):,} values in {', '.join(spec.segments)}, at most {MOST_SEGMENTS} "
                "are compared by themselves; name a segment with fewer values"
            )
    return Inputs(before, after, tuple(found), spec if answered else None, tuple(notes))


def _answered(reader: Reader) -> bool:
    names = reader.table.column_names
    return "prediction" in names or "score" in names or any(name.startswith(task.SCORE) for name in names)


def _guessed(
    readers: list[Reader], segments: list[str], ignored: Collection[str], *, answered: bool
) -> tuple[ModelSpec, list[str]]:
    """A spec by what the reference looks like, and what a person should know of it."""
    reference, current = readers
    parts: dict[str, Any] = {"task": "regression"}
    notes: list[str] = []
    theirs: tuple[str, ...] = ()
    if answered:
        found = task.infer(reference)
        parts, theirs, notes = {"task": found.name}, found.score_columns, [*found.notes]
        if found.name == "binary":
            parts["positive_class"] = found.positive_class
        elif found.name == "multiclass":
            also = task.infer(current).classes if _answered(current) else ()
            parts["classes"] = tuple(sorted({*found.classes, *also}))
    kinds = []
    for name in reference.table.column_names:
        if name in MEANT or name in theirs or name in ignored:
            continue
        if not current.has(name):
            raise TableError(
                f"{current.path}: column {name!r} of the reference: {missing(name, current.table.column_names)}; "
                f"rename it (--column {name}=NAME), or leave it out: --ignore {name}"
            )
        feature = features.infer(name, plain(reference.table, name))
        if feature.kind is None:
            notes.append(f"{name or features.NAMELESS} is left out: {feature.note}")
        else:
            kinds.append(FeatureSpec(name=name, kind=feature.kind))
    only_now = [
        name
        for name in current.table.column_names
        if name not in MEANT and name not in theirs and not reference.has(name)
    ]
    if only_now:
        notes.append(f"in the current file only, and so not compared: {', '.join(only_now)}")
    if not kinds:
        raise TableError(
            f"{reference.path}: no column can be compared; it has: {', '.join(reference.table.column_names)}"
        )
    retraining = RetrainingSpec(enabled=False)
    return ModelSpec(**parts, features=tuple(kinds), segments=tuple(segments), retraining=retraining), notes


def _sample(reader: Reader, spec: ModelSpec, *, answered: bool) -> Sample:
    columns = {f.name: reader.column(f.name, CONVERT[f.kind], "a feature") for f in spec.features}
    tags = {tag: reader.column(tag, CONVERT["string"], "a segment") for tag in spec.segments}
    prediction, scores = answers(reader, spec) if answered else (None, {})
    times = reader.needed("event_time", reader.times) if reader.has("event_time") else None
    return Sample(
        path=reader.path,
        rows=len(reader.table),
        columns=columns,
        masks=segment_masks(spec, tags),
        times=None if times is None else times.to_numpy(),
        prediction=prediction,
        scores=scores,
        label=label(reader, spec) if answered else None,
    )


def _of_the_model(spec: ModelSpec, before: Sample, after: Sample) -> list[Column]:
    """The model's answers and the labels, as columns of both samples under names that no feature has."""
    found = []
    taken = {feature.name for feature in spec.features}

    def add(name: str, kind: FeatureKind, role: Role, of: tuple[pa.Array, pa.Array]) -> None:
        shown = name if name not in taken else f"{name} of the model"
        for sample, column in zip((before, after), of, strict=True):
            sample.columns[shown] = column if kind == "number" else column.cast(pa.string())
        found.append(Column(shown, kind, role))

    kind: FeatureKind = "number" if spec.task == "regression" else "string"
    if spec.task == "binary":
        positive = spec.positive_class
        add("score", "number", "prediction", (before.scores[positive], after.scores[positive]))
    elif before.prediction is not None and after.prediction is not None:
        add("prediction", kind, "prediction", (before.prediction, after.prediction))
    if before.label is not None and after.label is not None:
        add("label", kind, "label", (before.label, after.label))
    return found
