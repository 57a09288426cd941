"""The offline judge: stop what is clearly bad before it may shadow. The shadow decides what is better.

A candidate and the champion score the same held-out rows, which neither was fitted on. One observation is one window
(events inside a window are far from independent): the mean paired difference of the Brier scores.
"""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from schemas.lifecycle import VerdictOutcome
from schemas.spec import GateSpec

MIN_WINDOWS = 3
"""Fewer windows with enough rows say nothing about the difference between windows."""

MIN_AUC = 0.55
"""A model that ranks no better than this has learned nothing; shuffled labels end near 0.5."""

MAX_BIAS = 0.15
"""Largest |mean score - share of positives|; base rates move between seasons, so only gross errors are meant."""

_WORST_FIRST: tuple[VerdictOutcome, ...] = ("error", "fail", "inconclusive", "pass")


class Finding(Struct, frozen=True):
    """What a comparison said, why, and the numbers behind it."""

    outcome: VerdictOutcome
    text: str
    numbers: dict[str, float]


def worst(outcomes: list[VerdictOutcome]) -> VerdictOutcome:
    """The worst of several outcomes: error, fail, inconclusive, pass; ``pass`` of none."""
    return min(outcomes, key=_WORST_FIRST.index, default="pass")


def judge(
    *,
    label: NDArray[np.float64],
    candidate: NDArray[np.float64],
    champion: NDArray[np.float64],
    window: NDArray[np.int64],
    segments: Mapping[str, NDArray[np.bool_]],
    gate: GateSpec,
) -> Finding:
    """Compare two versions on the held-out rows.

    Args:
        label: 0.0 or 1.0, shape (n,).
        candidate: its probabilities of the positive class, shape (n,).
        champion: likewise.
        window: start of each row's window, shape (n,).
        segments: ``tag=value`` -> mask of its rows, each of shape (n,).
        gate: ``judge_margin``, ``judge_segment_margin`` and ``min_pairs`` (rows that make a window an observation).

    Returns:
        The worst of: overall difference (mean over windows <= margin), each segment with enough windows, AUC,
        bias. Too few rows are *inconclusive*, scores that are no probabilities an *error*.
    """
    for name, scores in (("candidate", candidate), ("champion", champion)):
        if len(scores) != len(label) or not np.all((scores >= 0) & (scores <= 1)):
            return Finding("error", f"{name}: scores of the held-out rows are not all probabilities", {})
    difference = (candidate - label) ** 2 - (champion - label) ** 2
    means = _window_means(difference, window, gate.min_pairs)
    positives = float(label.sum())
    if len(means) < MIN_WINDOWS or not 0 < positives < len(label):
        return Finding(
            "inconclusive",
            f"{len(label)} held-out rows, {positives:.0f} of them positive, in {len(means)} windows of at least "
            f"{gate.min_pairs} rows; {MIN_WINDOWS} windows and both classes are needed",
            {"rows": float(len(label)), "windows": float(len(means))},
        )
    numbers = {
        "rows": float(len(label)),
        "windows": float(len(means)),
        "difference": _rounded(means.mean()),
        "auc": _rounded(roc_auc_score(label, candidate)),
        "auc_champion": _rounded(roc_auc_score(label, champion)),
        "bias": _rounded(candidate.mean() - label.mean()),
    }
    checks: list[tuple[VerdictOutcome, str]] = [
        _check("mean Brier difference to the champion", numbers["difference"], gate.judge_margin),
        _check("AUC", -numbers["auc"], -MIN_AUC),
        _check("mean score minus share of positives", abs(numbers["bias"]), MAX_BIAS),
    ]
    for name, mask in sorted(segments.items()):
        inside = _window_means(difference[mask], window[mask], gate.min_pairs)
        if len(inside) >= MIN_WINDOWS:
            numbers[f"difference[{name}]"] = _rounded(inside.mean())
            checks.append(
                _check(f"Brier difference in {name}", numbers[f"difference[{name}]"], gate.judge_segment_margin)
            )
    outcome = worst([found for found, _ in checks])
    said = [text for found, text in checks if found == outcome] if outcome != "pass" else [checks[0][1]]
    return Finding(outcome, "; ".join(said), numbers)


def _check(what: str, value: float, limit: float) -> tuple[VerdictOutcome, str]:
    """Pass iff ``value <= limit``; a floor is passed with both signs turned, and shown as a floor."""
    shown, bound, sign = (-value, -limit, ">=") if limit < 0 else (value, limit, "<=")
    if value <= limit:
        return "pass", f"{what} {shown:.4f} {sign} {bound:.4f}"
    return "fail", f"{what} {shown:.4f}, not {sign} {bound:.4f}"


def _window_means(values: NDArray[np.float64], window: NDArray[np.int64], least: int) -> NDArray[np.float64]:
    """Mean of ``values`` in each window that has at least ``least`` rows."""
    _, place, n = np.unique(window, return_inverse=True, return_counts=True)
    means: NDArray[np.float64] = np.bincount(place, weights=values, minlength=len(n)) / n
    return means[n >= least]


def _rounded(value: float) -> float:
    """Nine digits: what is recorded must not depend on the last bits of a library's sum."""
    return round(float(value), 9)
