"""Performance of several classes from a confusion matrix and two sums, against scikit-learn on the raw pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from detectors.multiclass import MulticlassPerformance, class_losses, group_confusion, summarise
from detectors.sketch import merge

CLASSES = 5


@pytest.mark.parametrize("used", [CLASSES, 3])
def test_agrees_with_scikit_learn(used: int) -> None:
    """``used``: classes that occur; a macro average is over those, in scikit-learn as well."""
    rng = np.random.default_rng(5)
    probabilities = np.zeros((4_000, CLASSES))
    probabilities[:, :used] = rng.dirichlet(np.full(used, 0.5), 4_000)
    labels = np.array([rng.choice(CLASSES, p=row) for row in probabilities])
    labels[:500] = rng.integers(0, used, 500)
    predicted = probabilities.argmax(axis=1)
    log_losses = class_losses(probabilities, labels)
    got = summarise(group_confusion(predicted, labels, log_losses, np.zeros(4_000, int), 1, classes=CLASSES)[0])
    assert (got.n, got.scored) == (4_000, 4_000)
    assert got.accuracy == metrics.accuracy_score(labels, predicted)
    assert got.error_rate == pytest.approx(1 - metrics.accuracy_score(labels, predicted))
    assert got.f1_macro == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert got.recall_macro == pytest.approx(metrics.recall_score(labels, predicted, average="macro"))
    assert got.precision_macro == pytest.approx(metrics.precision_score(labels, predicted, average="macro"))
    exact = metrics.log_loss(labels, np.clip(probabilities, 1e-6, 1), labels=list(range(CLASSES)))
    assert got.log_loss == pytest.approx(exact, abs=2e-5)


def test_a_class_that_is_never_predicted_has_no_precision_and_counts_as_zero() -> None:
    got = summarise(group_confusion([0, 0, 0], [0, 0, 1], [np.nan] * 3, [0] * 3, 1, classes=3)[0])
    assert (got.n, got.scored, got.log_loss, got.accuracy, got.recall_macro) == (3, 0, None, 2 / 3, 0.5)
    assert (got.f1_macro, got.precision_macro) == pytest.approx((0.4, 1 / 3))


def test_pairs_without_probabilities_count_in_everything_but_the_log_loss() -> None:
    got = summarise(group_confusion([0, 1, 1], [0, 1, 0], [0.5, np.nan, 1.5], [0] * 3, 1, classes=2)[0])
    assert (got.n, got.scored, got.log_loss, got.accuracy) == (3, 2, 1.0, 2 / 3)


def test_nothing_is_none_not_zero() -> None:
    got = summarise(group_confusion([], [], [], [], 1, classes=2)[0])
    assert got == MulticlassPerformance(0, 0, None, None, None, None, None, None)


def test_refuses_a_class_that_there_is_not() -> None:
    with pytest.raises(ValueError, match=r"classes must be in \[0, 2\), got 0 to 2"):
        group_confusion([0, 2], [0, 1], [0.0, 0.0], [0, 0], 1, classes=2)


PAIRS = st.tuples(st.integers(0, 2), st.integers(0, 2), st.one_of(st.none(), st.floats(0, 13.8)))


@given(st.lists(PAIRS, max_size=30), st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_however_pairs_are_cut_the_sum_is_the_same(pairs: list[tuple[int, int, float | None]], cut: list[int]) -> None:
    columns = list(zip(*pairs, strict=True)) or [(), (), ()]
    losses = [np.nan if loss is None else loss for loss in columns[2]]
    (whole,) = group_confusion(columns[0], columns[1], losses, [0] * len(pairs), 1, classes=3)
    a, b, c, d = group_confusion(columns[0], columns[1], losses, cut[: len(pairs)], 4, classes=3)
    assert merge(merge(a, b), merge(c, d)) == whole == merge(d, merge(c, merge(b, a)))
