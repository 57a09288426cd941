"""The least change worth a page, in each quantity's own unit, and which feature to look at first."""

from collections.abc import Mapping
from math import isfinite, log
from typing import NamedTuple

from schemas.tasks import Loss

KS_EFFECT = 0.02
"""Of a number's distribution: share of rows that moved, about 0.05 standard deviations of a normal feature."""

WASSERSTEIN_EFFECT = 0.05
"""Of a number's distribution, in standard deviations of the reference."""

CATEGORY_EFFECT = 0.02
"""Of categories: share of rows, of all together (total variation) and of one."""

RANKED = 5
"""Features that a page names."""

LATENCY_EFFECT = log(1.2)
"""Of the logarithm of a latency: a fifth longer."""

_LOSS_ABSOLUTE, _LOSS_RELATIVE = 0.005, 0.05


def loss_effect(reference: float, loss: Loss = "log_loss") -> float:
    """Of a labelled loss or error rate: half a point (0.005), or 5% of the reference's mean if that is more.

    A mean absolute error (``mae``) has the unit of its labels, of which half a hundredth may be much or nothing: 5%.
    """
    relative = _LOSS_RELATIVE * abs(reference)
    return relative if loss == "mae" and relative > 0 else max(_LOSS_ABSOLUTE, relative)


class Ranked(NamedTuple):
    """A feature in the order of a page.

    Attributes:
        name: of the feature.
        effect: how far it moved, in minimum effects.
        importance: its share of the importance of all that are ranked, in [0, 1].
    """

    name: str
    effect: float
    importance: float


def ranking(moved: Mapping[str, float], importances: Mapping[str, float], most: int = RANKED) -> tuple[Ranked, ...]:
    """The features by effect times importance, largest first, ties by name: an order in which to look, no test.

    No false-discovery rate goes with it: evidence of an e-detector is up to t after t windows without any change, so
    it is no e-value, and e-BH on it would promise what does not hold.

    Args:
        moved: name -> how far it moved, in minimum effects of its own quantity, >= 0.
        importances: name -> importance, >= 0, in any one unit; who is missing has none. If nobody has any, all are
            equal.
        most: so many are named.

    Raises:
        ValueError: an effect or an importance is negative or not finite.
    """
    weights = {name: importances.get(name, 0.0) for name in moved}
    for what, values in (("effects", moved), ("importances", weights)):
        if not all(isfinite(value) and value >= 0 for value in values.values()):
            raise ValueError(f"{what} must be finite and >= 0, got {dict(values)}")
    total = sum(weights.values())
    shares = {name: weight / total if total else 1 / len(weights) for name, weight in weights.items()}
    found = (Ranked(name, effect, shares[name]) for name, effect in moved.items())
    return tuple(sorted(found, key=lambda one: (-one.effect * one.importance, one.name))[:most])
