"""What each watched quantity may spend of the model's budget of false pages, and what may be claimed of it."""

from collections.abc import Iterable
from math import isfinite
from typing import NamedTuple

from detectors import budget, watch
from schemas.lifecycle import Claim
from schemas.models import FEATURE_STREAM, Watch
from streams.monitor.generations import Generation

WORST_FIRST: tuple[Claim, ...] = ("estimated, dependence high", "within budget on held-out reference")
"""Claims of what may page."""

MISCALIBRATED = "matured labels say that scores do not mean what they meant in the reference"

NO_BUDGET = "the team accepts no false page (falseAlarmBudget), so nothing pages by evidence"


class Promise(NamedTuple):
    """One stream of a generation.

    Attributes:
        calibration: name of its calibration; another begins anew.
        watch: the calibration.
        threshold: evidence that pages: A / weight, raised where the reference shows dependence; infinite: never.
        claim: that may be made of its false pages, and ``reason`` for it.
    """

    calibration: str
    watch: Watch
    threshold: float
    claim: Claim
    reason: str


def promised(generation: Generation, pages: float, estimate_error: float | None = None) -> list[Promise]:
    """Every stream of a generation; nothing without a reference, or with one of an older driftline.

    Args:
        generation: whose reference watches.
        pages: false pages in 30 days that the model may have, >= 0.
        estimate_error: calibration error of the scores on matured labels; None: not known.
    """
    weights = _weights(generation, estimate_error)
    promises = []
    for name, watched in generation.watches:
        weight = weights.get(watched.stream)
        if weight is None and watched.stream == "estimate":
            reason = f"{MISCALIBRATED} (calibration error {estimate_error:.3f}): the labelled loss has its weight"
            promises.append(Promise(name, watched, float("inf"), "not enough data", reason))
        if weight is None:
            continue
        if pages > 0:
            threshold = budget.Budget.of_width(pages, generation.width).of(weight)
            claim, reason, threshold = watch.examined(watched, threshold)
        else:
            claim, reason, threshold = "not enough data", NO_BUDGET, float("inf")
        promises.append(Promise(name, watched, threshold, claim, reason))
    return promises


def worst(promises: Iterable[Promise]) -> Claim:
    """What a report may claim of all that pages together."""
    found = {promise.claim for promise in promises if isfinite(promise.threshold)}
    return next((claim for claim in WORST_FIRST if claim in found), "not enough data")


def _weights(generation: Generation, estimate_error: float | None) -> dict[str, float]:
    streams = [watched.stream for _, watched in generation.watches]
    # Nobody has said which feature matters more: all alike.
    features = {s.removeprefix(FEATURE_STREAM): 1.0 for s in streams if s.startswith(FEATURE_STREAM)}
    weights = budget.weights(features, estimate_error=estimate_error)
    if "prediction" in streams:
        # One share for what a model answers, as classes and as probabilities.
        weights["prediction"] = weights["score"] / (2 if "score" in streams else 1)
        weights["score"] -= weights["prediction"]
    if not generation.spec.alerts.labelled_loss:
        del weights["loss"]
    return {stream: weight for stream, weight in weights.items() if weight > 0}
