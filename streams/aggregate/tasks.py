"""What a valid prediction and a valid label are, and how they are counted: once per task, chosen per generation.

============  =============================  ==================================  =============================
task          watched score                  target (a label as a number)        prediction must be
============  =============================  ==================================  =============================
binary        probability of positive_class  1 when it is that class, else 0     anything
multiclass    probability of the predicted   place of the class in the spec's    a class of the spec
              class; none without scores     ``classes``
regression    the prediction                 the label                           a number
============  =============================  ==================================  =============================
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from detectors.multiclass import class_losses, group_confusion
from detectors.regression import group_errors
from detectors.sketch import FIXED_LIMIT, Sketches, group_categorical, group_numeric, group_performance, group_score
from schemas.events import Label, Prediction, class_name
from schemas.models import Reference
from schemas.partials import View
from schemas.spec import ModelSpec
from streams.aggregate import explain
from streams.aggregate.decode import Refused
from streams.aggregate.groups import Groups

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Probabilities = tuple[float, ...]
"""Those of all classes of a spec in their order, or none at all."""


class Choice(Struct, frozen=True, gc=False):
    """An answer of a model of several classes: the place of the one that it chose, and all probabilities or none."""

    predicted: int
    scores: Probabilities


class Answers(NamedTuple):
    """What predictions said, by column, wherever it is remembered.

    Attributes:
        scores: the watched ones; NaN where there is none.
        places: of the predicted classes; -1 where the task has none.
        probabilities: of all classes, where the task has several; empty when nobody asks for them.
    """

    scores: Floats
    places: Ints
    probabilities: Sequence[Probabilities | None] = ()


class Rules(Protocol):
    """A task."""

    def answer(self, event: Prediction) -> tuple[float | None, Choice | None]:
        """The watched score of a prediction, and its choice.

        Raises:
            Refused: there is none.
        """

    def restored(self, prediction: str, scores: str) -> Choice | None:
        """The choice of a stored prediction."""

    def target(self, label: Label) -> float:
        """A label as a number.

        Raises:
            Refused: it is none of the task's.
        """

    def count_answers(self, answers: Answers, groups: Groups) -> dict[View, Sketches]:
        """Sketches of predictions, one per group."""

    def count_pairs(self, answers: Answers, targets: Floats, groups: Groups) -> Sketches:
        """Sketches of predictions with their labels, one per group."""


class Binary:
    """One probability, and a label that is yes or no."""

    def __init__(self, positive_class: str) -> None:
        self._positive = positive_class

    def answer(self, event: Prediction) -> tuple[float | None, Choice | None]:
        """See :class:`Rules`."""
        score = event.scores.get(self._positive)
        if score is None:
            raise Refused("missing_score", explain.missing_score(event.scores, self._positive))
        return score, None

    def restored(self, prediction: str, scores: str) -> Choice | None:
        """See :class:`Rules`."""
        return None

    def target(self, label: Label) -> float:
        """See :class:`Rules`."""
        if isinstance(label, str):
            return float(label == self._positive)
        if label in (0, 1):
            return float(label)
        raise Refused("unknown_label", explain.unknown_label(label))

    def count_answers(self, answers: Answers, groups: Groups) -> dict[View, Sketches]:
        """See :class:`Rules`."""
        return {"score": group_score(answers.scores, groups.ids, len(groups))}

    def count_pairs(self, answers: Answers, targets: Floats, groups: Groups) -> Sketches:
        """See :class:`Rules`."""
        return group_performance(answers.scores, targets, groups.ids, len(groups))


class Multiclass:
    """One of several classes, with or without their probabilities."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._places = {name: place for place, name in enumerate(classes)}
        self._decoder = msgspec.json.Decoder(dict[str, float])

    def answer(self, event: Prediction) -> tuple[float | None, Choice | None]:
        """See :class:`Rules`."""
        place = None if event.prediction is None else self._places.get(class_name(event.prediction))
        if place is None:
            raise Refused("wrong_prediction", explain.no_class("prediction", event.prediction, self._classes))
        scores = self._probabilities(event.scores)
        if scores is None:
            raise Refused("missing_score", explain.missing_scores(event.scores, self._classes))
        return (scores[place] if scores else None), Choice(place, scores)

    def restored(self, prediction: str, scores: str) -> Choice | None:
        """See :class:`Rules`."""
        return Choice(self._places[prediction], self._probabilities(self._decoder.decode(scores)) or ())

    def target(self, label: Label) -> float:
        """See :class:`Rules`."""
        place = self._places.get(class_name(label))
        if place is None:
            raise Refused("unknown_label", explain.no_class("label", label, self._classes))
        return float(place)

    def count_answers(self, answers: Answers, groups: Groups) -> dict[View, Sketches]:
        """See :class:`Rules`."""
        return {
            "score": group_score(answers.scores, groups.ids, len(groups), optional=True),
            "prediction": group_categorical(answers.places, groups.ids, len(groups), len(self._classes)),
        }

    def count_pairs(self, answers: Answers, targets: Floats, groups: Groups) -> Sketches:
        """See :class:`Rules`."""
        unknown, labels = (np.nan,) * len(self._classes), targets.astype(np.int64)
        losses = class_losses(np.array([known or unknown for known in answers.probabilities]), labels)
        classes = len(self._classes)
        return group_confusion(answers.places, labels, losses, groups.ids, len(groups), classes=classes)

    def _probabilities(self, scores: dict[str, float]) -> Probabilities | None:
        """Those of all classes in their order; () when none is given, None when only some are."""
        if not scores:
            return ()
        found = [scores.get(name) for name in self._classes]
        return None if None in found else tuple(score for score in found if score is not None)


class Regression:
    """One number; its bins are the reference's, since numbers have no bounds."""

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = edges

    def answer(self, event: Prediction) -> tuple[float | None, Choice | None]:
        """See :class:`Rules`."""
        if not isinstance(event.prediction, float):
            raise Refused("wrong_prediction", explain.no_number("prediction", event.prediction))
        return event.prediction, None

    def restored(self, prediction: str, scores: str) -> Choice | None:
        """See :class:`Rules`."""
        return None

    def target(self, label: Label) -> float:
        """See :class:`Rules`."""
        if not isinstance(label, float):
            raise Refused("unknown_label", explain.no_number("label", label))
        return label

    def count_answers(self, answers: Answers, groups: Groups) -> dict[View, Sketches]:
        """See :class:`Rules`. What is clipped in the sum is *outside*."""
        counted = group_numeric(
            answers.scores, groups.ids, len(groups), self._edges, low=-FIXED_LIMIT, high=FIXED_LIMIT
        )
        return {"score": counted}

    def count_pairs(self, answers: Answers, targets: Floats, groups: Groups) -> Sketches:
        """See :class:`Rules`."""
        return group_errors(answers.scores, targets, groups.ids, len(groups))


def rules(spec: ModelSpec, reference: Reference | None) -> Rules:
    """The task of a generation."""
    match spec.task:
        case "binary":
            return Binary(spec.positive_class)
        case "multiclass":
            return Multiclass(spec.classes)
        case "regression":
            return Regression(reference.score_edges if reference else [])
