"""Performance without labels: right where scores are calibrated, and blind where they no longer are."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from detectors.budget import CALIBRATION_LIMIT
from detectors.estimate import (
    Calibrated,
    Estimate,
    calibrate,
    calibrate_counts,
    calibration_error,
    estimate,
    excess_error,
)
from detectors.performance import summarise
from detectors.sketch import EMPTY_PERFORMANCE, SCORE_BINS, Floats, Ints, group_performance, group_score
from detectors.verdict import Insufficient

SCORES = np.random.default_rng(1).beta(1.5, 3, 40_000)


def labels(scores: Floats, seed: int) -> Ints:
    """Drawn by a miscalibrated score: the truth is its square root's neighbour, rising all the same."""
    truth = 0.1 + 0.85 * scores**0.7
    drawn: Ints = (np.random.default_rng(seed).random(len(scores)) < truth).astype(np.int64)
    return drawn


def reference(groups: int = 32) -> Calibrated:
    pairs = group_performance(SCORES, labels(SCORES, 2), np.zeros(len(SCORES), np.int64), 1)[0]
    found = calibrate(pairs, groups)
    assert isinstance(found, Calibrated)
    return found


def estimated(scores: Floats) -> Estimate:
    counts = group_score(scores, np.zeros(len(scores), np.int64), 1)[0].counts
    found = estimate(reference(), counts)
    assert isinstance(found, Estimate)
    return found


@pytest.mark.parametrize("shape", [(1.5, 3), (3, 1.5), (0.5, 0.5), (8, 2)])
def test_the_estimate_is_near_the_truth_when_only_the_scores_move(shape: tuple[float, float]) -> None:
    scores = np.random.default_rng(5).beta(*shape, 50_000)
    truth, predicted = labels(scores, 6), (scores >= 0.5).astype(np.int64)
    found = estimated(scores)
    assert found.accuracy == pytest.approx(accuracy_score(truth, predicted), abs=0.015)
    assert found.precision == pytest.approx(precision_score(truth, predicted), abs=0.015)
    assert found.recall == pytest.approx(recall_score(truth, predicted), abs=0.015)
    assert found.f1 == pytest.approx(f1_score(truth, predicted), abs=0.015)
    assert found.auc == pytest.approx(roc_auc_score(truth, scores), abs=0.015)


def test_on_the_reference_itself_it_is_what_the_labels_say() -> None:
    """Isotonic regression keeps sums within its blocks; only groups that it pooled over 0.5 may differ a little."""
    pairs = group_performance(SCORES, labels(SCORES, 2), np.zeros(len(SCORES), np.int64), 1)[0]
    measured, found = summarise(pairs), estimated(SCORES)
    assert measured.accuracy == pytest.approx(found.accuracy, abs=1e-3)
    assert measured.auc == pytest.approx(found.auc, abs=2e-3)


def test_it_is_blind_to_concept_drift_and_the_calibration_error_is_not() -> None:
    counts = np.array(group_performance(SCORES, labels(SCORES, 2), np.zeros(40_000, np.int64), 1)[0].counts)
    by_label = counts.reshape(SCORE_BINS, 2)
    flipped = by_label[:, ::-1]
    calibrated = reference()
    right, wrong = calibration_error(calibrated, by_label), calibration_error(calibrated, flipped)
    assert right is not None
    assert wrong is not None
    assert right < 0.02 < wrong
    assert estimate(calibrated, by_label.sum(axis=1)) == estimate(calibrated, flipped.sum(axis=1))
    assert calibration_error(calibrated, np.zeros((SCORE_BINS, 2))) is None


def test_groups_rise_and_respect_the_threshold() -> None:
    calibrated = reference()
    assert len(calibrated.starts) <= 32
    assert calibrated.starts[0] == 0
    assert SCORE_BINS // 2 in calibrated.starts
    assert list(calibrated.starts) == sorted(set(calibrated.starts))
    assert list(calibrated.positives) == sorted(calibrated.positives)


def test_the_standard_deviation_is_that_of_drawing_labels() -> None:
    scores = SCORES[:2_000]
    found = estimated(scores)
    drawn = [accuracy_score(labels(scores, seed), scores >= 0.5) for seed in range(200)]
    assert found.accuracy_sd == pytest.approx(float(np.std(drawn)), rel=0.2)


def test_nothing_to_calibrate_on_is_insufficient() -> None:
    assert isinstance(calibrate(EMPTY_PERFORMANCE), Insufficient)
    one_class = np.zeros((SCORE_BINS, 2), np.int64)
    one_class[:, 0] = 100
    assert isinstance(calibrate_counts(one_class), Insufficient)
    assert isinstance(estimate(reference(), np.zeros(SCORE_BINS)), Insufficient)
    with pytest.raises(ValueError, match="group"):
        calibrate_counts(one_class, 1)


def test_scores_on_one_side_leave_precision_or_recall_undefined() -> None:
    low = estimated(np.full(1_000, 0.2))
    assert low.precision is None
    assert low.recall == 0
    assert low.auc == pytest.approx(0.5)


def test_chance_alone_is_no_calibration_error() -> None:
    """Labels drawn by the calibration itself: the plain error of few is far above the limit."""
    rng = np.random.default_rng(5)
    chances, rows = np.linspace(0.02, 0.98, 32), np.full(32, 20)
    found = [excess_error(chances, rows, rng.binomial(rows, chances)) for _ in range(200)]
    assert np.mean([error > CALIBRATION_LIMIT for error in found if error is not None]) < 0.01
    plain = np.abs(rng.binomial(rows, chances) - rows * chances).sum() / rows.sum()
    assert plain > CALIBRATION_LIMIT
    shifted = excess_error(chances, rows * 50, rng.binomial(rows * 50, chances * 0.8))
    assert shifted is not None
    assert shifted > CALIBRATION_LIMIT


def test_too_few_labels_say_nothing_of_a_calibration() -> None:
    assert excess_error([0.5], [499], [0]) is None
    by_chance = (2 * 125 / np.pi) ** 0.5 + 3 * (125 * (1 - 2 / np.pi)) ** 0.5
    assert excess_error([0.5], [500], [0]) == pytest.approx((250 - by_chance) / 500)
