"""What a table's model predicts: a class of two, a class of several, or a number."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.columns import classes, numbers, probabilities, texts
from app.table import Reader, TableError
from schemas.spec import MOST_CLASSES

SCORE = "score_"


@dataclass(frozen=True, slots=True)
class Task:
    """The task, and why.

    Attributes:
        positive_class: of a binary task, else None.
        classes: of a multiclass task, sorted, else ().
        score_columns: columns of probabilities; they are no features.
        reason: for a comment.
        notes: what a person should look at.
    """

    name: Literal["binary", "multiclass", "regression"]
    positive_class: str | None
    classes: tuple[str, ...]
    score_columns: tuple[str, ...]
    reason: str
    notes: tuple[str, ...] = ()


def infer(reader: Reader) -> Task:
    """The task of a table's model.

    Raises:
        TableError: it has neither scores nor predictions.
    """
    columns = reader.table.column_names
    by_class = tuple(name for name in columns if name.startswith(SCORE) and len(name) > len(SCORE))
    scored = tuple(name.removeprefix(SCORE) for name in by_class)
    if len(scored) > 2:
        return Task("multiclass", None, tuple(sorted(scored)), by_class, f"{len(scored)} columns score_<class>")
    if scored:
        positive = _rarer(reader, scored) if len(scored) == 2 else scored[0]
        return Task("binary", positive, (), by_class, f"column {SCORE}{positive} is its probability")
    names = _names(reader)
    if "score" in columns and (names is None or len(names) <= 2):
        return _binary(reader, names or [])
    if "prediction" not in columns:
        raise TableError(
            f"{reader.path}: no column 'score', 'score_<class>' or 'prediction': what did the model answer? It has: "
            f"{', '.join(columns)}; another name is told by --column score=NAME or --column prediction=NAME"
        )
    if names is None:
        return Task("regression", None, (), (), "prediction is a number")
    if len(names) > MOST_CLASSES:
        raise TableError(
            f"{reader.path}: prediction and label name {len(names):,} classes, at most {MOST_CLASSES} are watched; "
            "put rare ones together"
        )
    if len(names) < 2:
        raise TableError(
            f"{reader.path}: prediction and label hold one class only ({names[0]}), and there is no column 'score'; "
            "give it rows of two classes at least, or the probability: --column score=NAME"
        )
    note = "there is no probability per class (columns score_<class>): the loss is the share of wrong answers"
    return Task("multiclass", None, tuple(names), ("score",), f"{len(names)} classes in prediction and label", (note,))


def _binary(reader: Reader, names: list[str]) -> Task:
    scores = reader.needed("score", probabilities)
    for column in ("label", "prediction"):
        values, kinds = _text(reader, column), set(names)
        if values is None or not kinds:
            continue
        for numeric, positive in (({"0", "1"}, "1"), ({"true", "false"}, "true")):
            if kinds <= numeric:
                return Task("binary", positive, (), ("score",), f"score is the probability of {column} {positive}")
        means = {name: pc.mean(scores.filter(pc.equal(values, name))).as_py() for name in sorted(kinds)}
        means = {name: mean for name, mean in means.items() if mean is not None}
        if len(means) < 2:
            continue
        positive = max(means, key=lambda name: means[name])
        why = " and ".join(f"{mean:.3f} where {column} is {name}" for name, mean in means.items())
        return Task("binary", positive, (), ("score",), f"score is on average {why}")
    note = "no label and no prediction says which class score is the probability of: mend positive_class"
    return Task("binary", "positive", (), ("score",), "score is in [0, 1]", (note,))


def _names(reader: Reader) -> list[str] | None:
    """Names of the classes in label and prediction, sorted; None: they are numbers, or there are none."""
    found: set[str] = set()
    for column in ("label", "prediction"):
        if reader.has(column):
            if _measured(reader, column):
                return None
            values = _text(reader, column)
            found |= set() if values is None else set(pc.unique(values.drop_null()).to_pylist())
    return sorted(found) or None


def _measured(reader: Reader, column: str) -> bool:
    """Whether a column holds amounts: numbers with fractions, or more different ones than there are classes."""
    kind = reader.table[column].type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return False
    values = reader.column(column, numbers).drop_null().to_numpy()
    different = np.unique(values)
    return len(different) > MOST_CLASSES or bool((different != np.round(different)).any())


def _text(reader: Reader, column: str) -> pa.Array | None:
    return texts(reader.column(column, classes)) if reader.has(column) else None


def _rarer(reader: Reader, scored: tuple[str, ...]) -> str:
    """The class of two that is rarer, by the labels or by the scores: it is mostly what a model is there for."""
    labels = _text(reader, "label")
    if labels is not None and labels.null_count < len(labels):
        return min(scored, key=lambda name: (pc.sum(pc.equal(labels, name)).as_py() or 0, name))
    return min(scored, key=lambda name: (pc.mean(reader.column(SCORE + name, probabilities)).as_py(), name))
