"""Evidence that accumulates over windows: an e-detector of Shiryaev-Roberts type with reset (e-SR).

A factor L >= 0 per window with E[L | past] <= 1 while nothing is wrong gives M_t = (M_{t-1} + 1) L_t (Shin, Ramdas and
Rinaldo 2024, "E-detectors: a nonparametric framework for sequential change detection"). It alarms at M >= A, and M
starts again at 0. Before the reset E[M_t | past] <= M_{t-1} + 1, and an alarm removes at least A; hence by window T
E[M_T + A * alarms] <= T, so **the expected number of alarms is at most T / A for every T**. With thresholds A / w_i and
Σ w_i <= 1 it is at most T / A over all streams together, however they depend on each other.

A mean of such M is one as well: a stream averages over several scores and bets, its *components*.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, log
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.sketch import Floats

_LEAST = 1e-300
"""Of a factor whose logarithm is taken: 0 would make all later sums of logarithms meaningless."""

_MOST = 100 * log(10)
"""Of the logarithm of M where it is only shown: far above any threshold, and no overflow."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """State of one stream.

    Attributes:
        values: M of each component since the last alarm, >= 0.
        runs: e-CUSUM of each component, max(C, 1) L: it falls back to 1 when what came before speaks for no change.
        lengths: windows since each run was last at or below 1; what a change-point estimate needs.
        n: windows observed.
        alarms: how many alarms so far.
    """

    values: tuple[float, ...]
    runs: tuple[float, ...]
    lengths: tuple[int, ...]
    n: int = 0
    alarms: int = 0

    @property
    def value(self) -> float:
        """M, the mean over components."""
        return float(np.add.reduce(self.values)) / len(self.values)

    @property
    def since(self) -> int:
        """Windows, up to and with the last, in which the change has lasted by the strongest run; 0: no sign of one.

        The maximum-likelihood estimate of the change point that belongs to CUSUM (Page 1954).
        """
        strongest = max(range(len(self.runs)), key=self.runs.__getitem__)
        return self.lengths[strongest]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, which writes a Python float so that reading gives back the same bits."""
        return {
            "values": list(self.values),
            "runs": list(self.runs),
            "lengths": list(self.lengths),
            "n": self.n,
            "alarms": self.alarms,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "Evidence":
        """Inverse of :meth:`to_dict`."""
        return cls(tuple(state["values"]), tuple(state["runs"]), tuple(state["lengths"]), state["n"], state["alarms"])


@dataclass(frozen=True, slots=True)
class Step:
    """One window's result.

    Attributes:
        evidence: the state after the window, M reset if it alarmed.
        alarm: whether M reached the threshold.
        reached: M before a reset.
        since: the change-point estimate before a reset, see :attr:`Evidence.since`.
    """

    evidence: Evidence
    alarm: bool
    reached: float
    since: int


def reached(state: Mapping[str, Any]) -> float:
    """M of a state as :meth:`Evidence.to_dict` has it."""
    return float(np.add.reduce(state["values"])) / len(state["values"])


def start(components: int) -> Evidence:
    """Nothing observed.

    Raises:
        ValueError: there is no component.
    """
    if components < 1:
        raise ValueError("a stream needs at least one component, see calibration.Scale.factors")
    return Evidence((0.0,) * components, (1.0,) * components, (0,) * components)


def step(evidence: Evidence, factors: ArrayLike, threshold: float) -> Step:
    """The state after one window. A window without enough rows is no observation: leave it out.

    Args:
        evidence: state before.
        factors: L of each component, finite and >= 0, shape (components,).
        threshold: A / w of this stream, see :mod:`detectors.budget`; positive.

    Raises:
        ValueError: a factor is negative or not finite, or they are not as many as components.
    """
    # A dozen numbers: arrays and generators would take longer to begin than to be done.
    by: list[float] = np.asarray(factors, np.float64).tolist()
    if not isinstance(by, list) or len(by) != len(evidence.values) or not all(0 <= one < inf for one in by):
        raise ValueError(f"factors must be {len(evidence.values)} finite numbers >= 0, got {by}")
    values = tuple([(value + 1) * one for value, one in zip(evidence.values, by, strict=True)])
    runs = tuple([(run if run > 1 else 1.0) * one for run, one in zip(evidence.runs, by, strict=True)])
    lengths = tuple([length + 1 if run > 1 else 0 for length, run in zip(evidence.lengths, runs, strict=True)])
    found = Evidence(values, runs, lengths, evidence.n + 1, evidence.alarms)
    most = found.value
    if most < threshold:
        return Step(found, False, most, found.since)
    after = replace(start(len(values)), n=found.n, alarms=found.alarms + 1)
    return Step(after, True, most, found.since)


def alarms(factors: Floats, thresholds: ArrayLike) -> NDArray[np.bool_]:
    """Alarms of many streams, window after window: the same decisions as :func:`step`, for simulations.

    Args:
        factors: shape (windows, streams, components).
        thresholds: per stream, shape (streams,), or one for all.

    Returns:
        Shape (windows, streams).
    """
    found, limits = np.zeros(factors.shape[:2], np.bool_), np.asarray(thresholds, np.float64)
    values = np.zeros(factors.shape[1:])
    for window, by in enumerate(factors):
        values = (values + 1) * by
        found[window] = values.mean(axis=-1) >= limits
        values[found[window]] = 0
    return found


def highest(factors: Floats) -> Floats:
    """The highest M each stream would have reached without a reset, shape (streams,); at most 1e100.

    Without a reset M_t is the sum over s <= t of L_s ... L_t. In logarithms that is two cumulative sums, which take a
    thirtieth of the time of a step per window: references are examined five times for each of hundreds of streams.

    Args:
        factors: shape (windows, streams, components).
    """
    grown = np.cumsum(np.log(np.maximum(factors, _LEAST)), axis=0)
    begun = np.concatenate([np.zeros((1, *factors.shape[1:])), -grown[:-1]])
    logs = grown + np.logaddexp.accumulate(begun, axis=0)
    most: Floats = np.exp(np.minimum(logs, _MOST)).mean(axis=-1).max(axis=0, initial=0.0)
    return most
