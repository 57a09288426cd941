"""Performance from 256 counts and three sums, against scikit-learn and river on the raw pairs."""

from typing import Any

import numpy as np
import pytest
import river.metrics
from sklearn import metrics

from detectors.performance import Confusion, summarise
from detectors.sketch import EMPTY_PERFORMANCE, EMPTY_SCORE, group_performance, merge


@pytest.mark.parametrize(("a", "b"), [(2.0, 7.0), (0.7, 0.9), (1.5, 30.0)])
def test_agrees_with_scikit_learn_on_realistic_scores(a: float, b: float) -> None:
    rng = np.random.default_rng(11)
    scores = rng.beta(a, b, 20_000)
    labels = (rng.random(20_000) < np.clip(scores * 1.2, 0, 1)).astype(int)
    got = summarise(group_performance(scores, labels, np.zeros(20_000, int), 1)[0])
    predicted = scores >= 0.5
    assert got.n == 20_000
    assert got.base_rate == labels.mean()
    assert got.mean_score == pytest.approx(scores.mean(), abs=1e-6)
    assert got.auc == pytest.approx(metrics.roc_auc_score(labels, scores), abs=0.003)
    assert got.log_loss == pytest.approx(metrics.log_loss(labels, np.clip(scores, 1e-6, 1 - 1e-6)), abs=1e-6)
    assert got.brier == pytest.approx(metrics.brier_score_loss(labels, scores), abs=1e-6)
    tn, fp, fn, tp = metrics.confusion_matrix(labels, predicted, labels=[0, 1]).ravel().tolist()
    assert got.confusion == Confusion(tp, fp, fn, tn)
    assert got.accuracy == metrics.accuracy_score(labels, predicted)
    if predicted.any():
        assert got.precision == pytest.approx(metrics.precision_score(labels, predicted))
    assert got.recall == pytest.approx(metrics.recall_score(labels, predicted))


def test_windows_merged_agree_with_a_stream_seen_event_by_event() -> None:
    rng = np.random.default_rng(3)
    scores = rng.beta(2, 6, 4_000)
    labels = rng.random(4_000) < scores
    kinds: dict[str, Any] = {
        "log_loss": river.metrics.LogLoss,
        "accuracy": river.metrics.Accuracy,
        "recall": river.metrics.Recall,
    }
    stream = {name: kind() for name, kind in kinds.items()}
    for score, label in zip(scores.tolist(), labels.tolist(), strict=True):
        stream["log_loss"].update(label, {True: score, False: 1 - score})
        stream["accuracy"].update(label, score >= 0.5)
        stream["recall"].update(label, score >= 0.5)
    merged = EMPTY_PERFORMANCE
    for window in group_performance(scores, labels, np.arange(4_000) // 500, 8):
        merged = merge(merged, window)
    got = summarise(merged)
    assert got.log_loss == pytest.approx(stream["log_loss"].get(), abs=1e-6)
    assert got.accuracy == pytest.approx(stream["accuracy"].get())
    assert got.recall == pytest.approx(stream["recall"].get())


def test_calibration_error_is_the_textbook_one_up_to_half_a_bin() -> None:
    rng = np.random.default_rng(4)
    scores = rng.random(20_000)
    labels = (rng.random(20_000) < scores**2).astype(int)
    group = np.minimum((scores * 10).astype(int), 9)
    exact = sum(abs((labels[group == g] - scores[group == g]).sum()) for g in range(10)) / 20_000
    got = summarise(group_performance(scores, labels, np.zeros(20_000, int), 1)[0])
    assert got.ece == pytest.approx(exact, abs=1 / 256)
    assert exact > 0.1


def test_a_perfect_and_a_useless_ranking() -> None:
    perfect = summarise(group_performance([0.1, 0.2, 0.8], [0, 0, 1], [0, 0, 0], 1)[0])
    useless = summarise(group_performance([0.3, 0.3], [0, 1], [0, 0], 1)[0])
    assert (perfect.auc, perfect.precision, perfect.recall, perfect.accuracy) == (1.0, 1.0, 1.0, 1.0)
    assert useless.auc == 0.5
    assert useless.precision is None


def test_one_label_has_no_auc_and_no_recall() -> None:
    only = summarise(group_performance([0.1, 0.9], [0, 0], [0, 0], 1)[0])
    assert (only.auc, only.recall, only.base_rate) == (None, None, 0.0)


def test_nothing_is_none_not_zero() -> None:
    empty = summarise(EMPTY_PERFORMANCE)
    assert (empty.n, empty.auc, empty.log_loss, empty.brier, empty.ece, empty.accuracy) == (0, *[None] * 5)


def test_refuses_another_kind() -> None:
    with pytest.raises(ValueError, match="not a performance sketch: 128 bins"):
        summarise(EMPTY_SCORE)
