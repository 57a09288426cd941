"""Whether a model's scores still mean what they meant in the reference: the label-free estimate is as good as that.

Matured labels are counted by group of scores, window by window, of the version that served. When they show a
calibration error beyond chance and above ``detectors.budget.CALIBRATION_LIMIT``, the estimate pages no more, and its
weight is the labelled loss's (``streams.monitor.promises``); nor is it stored.
"""

from typing import NamedTuple

import numpy as np

from detectors import budget, estimate
from detectors.sketch import SCORE_BINS
from schemas.lifecycle import PerformanceWindow
from streams.monitor.close import Metric, by_version, expected
from streams.monitor.generations import Generation
from streams.monitor.held import Held
from streams.monitor.observing import leading
from streams.monitor.state import Matured, Scored, State


class Meant(NamedTuple):
    """What a model's scores mean at a tick.

    Attributes:
        matured: the labels that say so.
        error: calibration error of these; None: not known.
        scored: whose scores the reference has calibrated.
        expected: what they let one expect of the window that closes; nothing while labels contradict it.
    """

    matured: Matured | None
    error: float | None
    scored: Scored | None
    expected: list[Metric]


def judge(
    before: State,
    held: Held,
    generation: Generation,
    window: int,
    *,
    tested: Generation,
    labelled: PerformanceWindow | None,
) -> Meant:
    """Take the window that was tested, then look at the one that closes.

    Args:
        before: the state of the tick before.
        held: partials of the model.
        generation: of the window that closes.
        window: its start.
        tested: generation of the window whose labels are mature.
        labelled: what was tested of the version that served that window; None: nothing was.
    """
    matured = count(before.matured, held, tested, labelled)
    found, whose = error(matured, generation), scored(before, held, generation, window)
    contradicted = found is not None and found > budget.CALIBRATION_LIMIT
    rows = [] if whose is None or contradicted else list(expected(held, generation, window, whose.version))
    return Meant(matured, found, whose, rows)


def count(
    before: Matured | None, held: Held, generation: Generation, window: PerformanceWindow | None
) -> Matured | None:
    """The labels counted so far, after another window was tested; another calibration or version begins anew.

    Args:
        before: what was counted.
        held: partials of the model.
        generation: of the window.
        window: that was tested, of the version that served it; None: nothing was.
    """
    calibrated = generation.reference.calibrated if generation.reference else None
    name = next((name for name, watched in generation.watches if watched.stream == "estimate"), None)
    if window is None or calibrated is None or name is None:
        return before
    pairs = by_version(held.merged(window.window_start, "matured")).get(window.version)
    if pairs is None:
        return before
    by_label = np.array(pairs.counts, np.int64).reshape(SCORE_BINS, 2)
    grouped = np.add.reduceat(by_label, np.array(calibrated.starts), axis=0)
    rows, positives = grouped.sum(axis=1), grouped[:, 1]
    if before is not None and (before.calibration, before.version) == (name, window.version):
        rows, positives = rows + before.rows, positives + before.positives
    return Matured(name, window.version, rows.tolist(), positives.tolist())


def error(matured: Matured | None, generation: Generation) -> float | None:
    """Calibration error of the labels counted so far, beyond chance, in [0, 1]; None while they are too few."""
    calibrated = generation.reference.calibrated if generation.reference else None
    names = [name for name, watched in generation.watches if watched.stream == "estimate"]
    if matured is None or calibrated is None or names != [matured.calibration]:
        return None
    return estimate.excess_error(calibrated.positives, matured.rows, matured.positives)


def scored(before: State, held: Held, generation: Generation, window: int) -> Scored | None:
    """Whose scores the reference has calibrated: the first to lead in a window with enough rows since it is in force.

    It stays so while others serve: what its scores mean says nothing of theirs.

    Args:
        before: the state of the tick before.
        held: partials of the model.
        generation: of the window.
        window: start of the window that closes.
    """
    name = generation.calibrated
    if not name:
        return None
    if before.scored is not None and before.scored.calibrated == name:
        return before.scored
    # A state of an older driftline knows it of the stream alone.
    entry = before.watched.get("estimate")
    if entry is not None and entry.version and (entry.watch, "estimate") in _streams(generation):
        return Scored(name, entry.version)
    version = leading(held.served(window), before.leading)
    sketch = by_version(held.merged(window, "score")).get(version) if version is not None else None
    if version is None or sketch is None or sketch.n - sketch.nulls < generation.spec.alerts.min_rows:
        return None
    return Scored(name, version)


def _streams(generation: Generation) -> set[tuple[str, str]]:
    return {(name, watched.stream) for name, watched in generation.watches}
