"""What each watched quantity may spend of the model's budget of false pages, and what may be claimed of it."""

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import NamedTuple

from detectors import budget, watch
from schemas.lifecycle import Claim
from schemas.models import FEATURE_STREAM, Watch
from schemas.partials import ALL
from streams.monitor.generations import Generation
from streams.monitor.newcomers import OF_A_VERSION
from streams.monitor.state import Newcomer, named

WORST_FIRST: tuple[Claim, ...] = ("estimated, dependence high", "within budget on held-out reference")
"""Claims of what may page."""

MISCALIBRATED = "matured labels say that scores do not mean what they meant in the reference"

NO_BUDGET = "the team accepts no false page (falseAlarmBudget), so nothing pages by evidence"

NOT_SEEN = "no window has had rows enough of it yet"

Weights = Mapping[str, float]
"""Stream -> its part of the model's budget."""


class Promise(NamedTuple):
    """One stream of a generation.

    Attributes:
        calibration: name of its calibration; another begins anew.
        watch: the calibration.
        threshold: evidence that pages: A / weight, raised where the reference shows dependence; infinite: never.
        claim: that may be made of its false pages, and ``reason`` for it.
        beside: version whose it is, if that is live beside the one that leads; else empty.
    """

    calibration: str
    watch: Watch
    threshold: float
    claim: Claim
    reason: str
    beside: str = ""

    @property
    def key(self) -> str:
        """Name of what is watched."""
        return named(self.watch.stream, self.watch.segment, self.beside)


def promised(
    generation: Generation,
    pages: float,
    estimate_error: float | None = None,
    newcomers: Iterable[Newcomer] = (),
    *,
    tested: Generation | None = None,
) -> list[Promise]:
    """Every stream that a tick watches; nothing without a reference, or with one of an older driftline.

    Args:
        generation: whose reference watches.
        pages: false pages in 30 days that the model may have, >= 0.
        estimate_error: calibration error of the scores on matured labels; None: not known.
        newcomers: segments and versions with a place in the reserve; a segment without one cannot page yet.
        tested: generation of the window whose labels are mature, which watches the labelled loss; None: the same.
    """
    of_loss, seated = tested or generation, list(newcomers)
    weights = _weights(generation, estimate_error)
    in_force = [
        _InForce(generation, *one) for one in generation.watches if one[1].stream != "loss" or of_loss is generation
    ]
    if of_loss is not generation:
        # What is watched of a segment or version shares one place, whichever generation it is of.
        weights.pop("loss", None)
        weights |= {stream: w for stream, w in _weights(of_loss, estimate_error).items() if stream == "loss"}
        in_force += [_InForce(of_loss, *one) for one in of_loss.watches if one[1].stream == "loss"]
    streams: dict[str, list[str]] = {}
    for one in in_force:
        streams.setdefault(one.watch.segment, []).append(one.watch.stream)
    parts = {
        one.segment: budget.of_newcomer(one.place, streams.get(one.segment, ()), weights)
        for one in seated
        if one.segment != ALL
    }
    promises = []
    for owner, name, watched in in_force:
        stream, segment = watched.stream, watched.segment
        if stream == "estimate" and stream not in weights:
            reason = f"{MISCALIBRATED} (calibration error {estimate_error:.3f}): the labelled loss has its weight"
            promises.append(Promise(name, watched, float("inf"), "not enough data", reason))
        elif stream in weights and segment == ALL:
            promises.append(_promise(name, watched, weights[stream], owner, pages))
        elif stream in weights:
            promises.append(_promise(name, watched, parts.get(segment, {}).get(stream), owner, pages))
    return [*promises, *_beside(in_force, pages, weights, seated)]


def worst(promises: Iterable[Promise]) -> Claim:
    """What a report may claim of all that pages together."""
    found = {promise.claim for promise in promises if isfinite(promise.threshold)}
    return next((claim for claim in WORST_FIRST if claim in found), "not enough data")


class _InForce(NamedTuple):
    """A calibration that a tick goes by, and the generation whose it is."""

    owner: Generation
    name: str
    watch: Watch


def _beside(
    in_force: Iterable[_InForce], pages: float, weights: Weights, newcomers: Iterable[Newcomer]
) -> Iterator[Promise]:
    """Streams of the versions that are live beside the one that leads."""
    known = {one.watch.stream: one for one in in_force if one.watch.stream in OF_A_VERSION and one.watch.segment == ALL}
    for one in newcomers:
        if one.version:
            for stream, weight in budget.of_newcomer(one.place, known, weights).items():
                owner, name, watched = known[stream]
                yield _promise(name, watched, weight, owner, pages)._replace(beside=one.version)


def _promise(name: str, watched: Watch, weight: float | None, generation: Generation, pages: float) -> Promise:
    """A stream of this weight; None: it has none yet."""
    if not pages > 0:
        return Promise(name, watched, float("inf"), "not enough data", NO_BUDGET)
    if weight is None:
        # Whatever cannot be calibrated says that first: no place would let it page.
        found = watch.examined(watched, 1.0)
        reason = NOT_SEEN if isfinite(found.threshold) else found.reason
        return Promise(name, watched, float("inf"), "not enough data", reason)
    found = watch.examined(watched, budget.Budget.of_width(pages, generation.width).of(weight))
    return Promise(name, watched, found.threshold, found.claim, found.reason)


def _weights(generation: Generation, estimate_error: float | None) -> dict[str, float]:
    streams = [watched.stream for _, watched in generation.watches if watched.segment == ALL]
    names = [stream.removeprefix(FEATURE_STREAM) for stream in streams if stream.startswith(FEATURE_STREAM)]
    features = {name: generation.importances.get(name, 0.0) for name in names}
    weights = budget.weights(features, estimate_error=estimate_error)
    if "prediction" in streams:
        # One share for what a model answers, as classes and as probabilities.
        weights["prediction"] = weights["score"] / (2 if "score" in streams else 1)
        weights["score"] -= weights["prediction"]
    if not generation.spec.alerts.labelled_loss:
        del weights["loss"]
    return {stream: weight for stream, weight in weights.items() if weight > 0}
