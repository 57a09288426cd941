"""What other tools would have said of the same windows: their rules, re-implemented, with their defaults and tuned.

Defaults are as documented by each project (see docs/scoreboard.md); a *tuned* setting is one number changed so that
independent windows of 1,000 rows give at most about a page a month, as an owner would do who was paged every night.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kstwobign

from benchmarks.scoreboard.worlds import MIDDLES, MONTH, Counts, Floats
from detectors import held_out

Alarms = NDArray[np.bool_]


class Reference:
    """What a rule may learn of the reference.

    Args:
        windows: counts of its windows, shape (windows, streams, bins).
    """

    def __init__(self, windows: Counts) -> None:
        self.windows = windows
        self.total: Counts = windows.sum(axis=0)


Rule = Callable[[Reference, Counts], Alarms]
"""Alarms per window and stream, both given as counts (windows, streams, bins)."""


def _distances(reference: Reference, counts: Counts) -> tuple[Floats, Floats]:
    return held_out.shares(reference.total), held_out.shares(counts)


def _p_values(reference: Reference, counts: Counts) -> Floats:
    n, m = counts.sum(axis=-1), reference.total.sum(axis=-1)
    p: Floats = kstwobign.sf(held_out.ks(*_distances(reference, counts)) * np.sqrt(n * m / (n + m)))
    return p


def ks_p(level: float) -> Rule:
    """Kolmogorov-Smirnov test of every feature at a fixed level."""
    return lambda reference, counts: _p_values(reference, counts) < level


def ks_bonferroni(level: float) -> Rule:
    """The same with the level divided by the number of features: Alibi Detect's ``KSDrift``."""
    return lambda reference, counts: _p_values(reference, counts) < level / counts.shape[1]


def wasserstein(limit: float) -> Rule:
    """Evidently, references above 1,000 rows: Wasserstein distance over the reference's sd of a numeric column."""
    return lambda reference, counts: held_out.wasserstein(*_distances(reference, counts), MIDDLES, 1.0) >= limit


def dataset(column: Rule, share: float) -> Rule:
    """Evidently's dataset drift: a share of the columns drifted; every column alarms together, or none."""

    def rule(reference: Reference, counts: Counts) -> Alarms:
        drifted = column(reference, counts).mean(axis=1) >= share
        return np.repeat(drifted[:, None], counts.shape[1], axis=1)

    return rule


def jensen_shannon(limit: float) -> Rule:
    """NannyML's default for columns: Jensen-Shannon distance (base 2) above a constant."""

    def rule(reference: Reference, counts: Counts) -> Alarms:
        p, q = _distances(reference, counts)
        middle = (p + q) / 2
        divergence = (_entropy(p, middle) + _entropy(q, middle)) / 2
        alarms: Alarms = np.sqrt(np.maximum(divergence, 0)) > limit
        return alarms

    return rule


def _entropy(p: Floats, q: Floats) -> Floats:
    terms: Floats = np.where(p > 0, p * np.log2(np.where(p > 0, p, 1) / q), 0).sum(axis=-1)
    return terms


def ks_three_sigma(multiple: float) -> Rule:
    """NannyML's threshold for KS: mean + 3 standard deviations of the reference's own chunks."""

    def rule(reference: Reference, counts: Counts) -> Alarms:
        own = held_out.ks(*_distances(reference, reference.windows))
        alarms: Alarms = held_out.ks(*_distances(reference, counts)) > own.mean(axis=0) + multiple * own.std(axis=0)
        return alarms

    return rule


def psi(limit: float) -> Rule:
    """Population stability index above the folklore's cut-off."""

    def rule(reference: Reference, counts: Counts) -> Alarms:
        p, q = (np.maximum(shares, 1e-4) for shares in _distances(reference, counts))
        alarms: Alarms = ((q - p) * np.log(q / p)).sum(axis=-1) > limit
        return alarms

    return rule


BONFERRONI: Mapping[str, float] = {
    "Alibi Detect KSDrift (p < .05, Bonferroni)": 0.05,
    "Alibi Detect KSDrift, tuned (p < 1 / windows a month)": 1 / MONTH,
}
"""Level that the features of a model share."""

RULES: Mapping[str, Rule] = {
    "KS test, p < .05": ks_p(0.05),
    **{name: ks_bonferroni(level) for name, level in BONFERRONI.items()},
    "Evidently, any column (W1 >= .1 sd)": wasserstein(0.1),
    "Evidently, any column, tuned (W1 >= .2 sd)": wasserstein(0.2),
    "Evidently, dataset drift (half of the columns)": dataset(wasserstein(0.1), 0.5),
    "NannyML, JS > .1": jensen_shannon(0.1),
    "NannyML, JS, tuned (> .2)": jensen_shannon(0.2),
    "NannyML, KS > mean + 3 sd": ks_three_sigma(3.0),
    "NannyML, KS, tuned (> mean + 7 sd)": ks_three_sigma(7.0),
    "PSI > .1": psi(0.1),
}


def incidents(alarms: Alarms) -> int:
    """Pages of a rule that does not reset: runs of windows in which any stream alarms count once."""
    any_stream: Alarms = np.asarray(alarms.any(axis=1))
    return int((any_stream & ~np.concatenate([[False], any_stream[:-1]])).sum())
