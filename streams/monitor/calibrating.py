"""Whether a model's scores still mean what they meant in the reference: the label-free estimate is as good as that.

Matured labels are counted by group of scores, window by window, of the version that served. When they show a
calibration error beyond chance and above ``detectors.budget.CALIBRATION_LIMIT``, the estimate pages no more, and its
weight is the labelled loss's (``streams.monitor.promises``).
"""

import numpy as np

from detectors import estimate
from detectors.sketch import SCORE_BINS
from schemas.lifecycle import PerformanceWindow
from streams.monitor.close import by_version
from streams.monitor.generations import Generation
from streams.monitor.held import Held
from streams.monitor.state import Matured


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
