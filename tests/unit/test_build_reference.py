"""A reference from columns, for every task: counts and losses that can be checked by hand."""

from math import log
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from retrain.baseline import build_reference
from schemas.models import Reference
from schemas.partials import ALL
from schemas.spec import ModelSpec

DAY = 86_400_000
FEATURES = [{"name": "x", "kind": "number"}, {"name": "wet", "kind": "boolean"}]


def spec(**parts: Any) -> ModelSpec:
    alerts = {"min_rows": 2, "min_coverage": 0.5}
    return ModelSpec.model_validate({"features": FEATURES, "segments": ["site"], "alerts": alerts} | parts)


def reference(of: ModelSpec, days: list[int], **answers: Any) -> Reference:
    rows = len(days)
    return build_reference(
        of,
        event_time=np.array([day * DAY + row for row, day in enumerate(days)], np.int64),
        features={
            "x": pa.array([float(row) if row else None for row in range(rows)], pa.float64()),
            "wet": pa.array([row % 2 == 0 for row in range(rows)]),
        },
        segments={"site": pa.array(["a" if row % 2 else None for row in range(rows)])},
        **answers,
    )


def test_binary_with_labels_in_words_and_numbers() -> None:
    of = spec(positive_class="late")
    scores = {"late": pa.array([0.5, 0.25, 0.5, 1.0])}
    found = reference(of, [3, 3, 4, 4], scores=scores, label=pa.array(["late", "on time", None, "late"]))
    assert (found.start, found.end, found.rows) == (3 * DAY, 5 * DAY, 4)
    assert (found.loss, found.score_edges, found.class_counts) == ("log_loss", [], [])
    assert (found.score_counts[32], found.score_counts[64], found.score_counts[127]) == (1, 2, 1)
    # Day 4 has one label, and a test needs two.
    assert found.window_losses == [pytest.approx((-log(0.5) - log(0.75)) / 2)]
    assert found.window_rows == [2]
    assert list(found.features) == [ALL, "site=a"]
    assert (found.features[ALL][0].nulls, found.features[ALL][0].n, found.features["site=a"][0].n) == (1, 4, 2)
    for labels in ([1, 0, None, 1], [True, False, None, True]):
        assert reference(of, [3, 3, 4, 4], scores=scores, label=pa.array(labels)) == found


def test_multiclass_is_tested_by_log_loss_where_all_labelled_rows_have_scores() -> None:
    of = spec(task="multiclass", classes=["cat", "dog", "1"])
    scores = {
        "cat": pa.array([0.5, 0.25, None, 0.0]),
        "dog": pa.array([0.25, 0.5, None, 0.0]),
        "1": pa.array([0.25, 0.25, None, 1.0]),
    }
    predicted = pa.array(["cat", "dog", "dog", "1"])
    found = reference(of, [0] * 4, prediction=predicted, scores=scores, label=pa.array(["cat", "cat", None, "dog"]))
    assert found.loss == "log_loss"
    assert found.window_losses == [pytest.approx((-log(0.5) - log(0.25) - log(1e-6)) / 3)]
    assert found.class_counts == [1, 2, 1]
    assert (found.score_counts[64], found.score_counts[127], sum(found.score_counts)) == (2, 1, 3)


def test_multiclass_without_scores_is_tested_by_its_errors() -> None:
    of = spec(task="multiclass", classes=["0", "1"])
    found = reference(of, [0] * 4, prediction=pa.array([0, 1, 1, 0]), label=pa.array([0, 0, 1, None]))
    assert (found.loss, found.window_losses, found.window_rows) == ("error_rate", [1 / 3], [3])
    assert found.class_counts == [2, 2]
    assert sum(found.score_counts) == 0


def test_regression_is_tested_by_absolute_error() -> None:
    of = spec(task="regression", unit="min")
    found = reference(
        of, [0, 0, 1, 1], prediction=pa.array([-5.0, 10.0, 20.0, 10.0]), label=pa.array([-3.0, 14.0, 20.5, 10.5])
    )
    assert (found.loss, found.window_losses, found.window_rows) == ("mae", [3.0, 0.5], [2, 2])
    assert found.score_edges == [10.0, 20.0]
    assert found.score_counts == [1, 2, 1]


def test_without_labels_there_is_no_loss() -> None:
    found = reference(spec(task="regression"), [0, 1], prediction=pa.array([1.0, 2.0]))
    assert (found.window_losses, found.window_rows) == ([], [])


@pytest.mark.parametrize(
    ("of", "answers", "says"),
    [
        ({"positive_class": "late"}, {}, "no scores of 'late'"),
        ({"task": "regression"}, {}, "no predictions: task regression needs"),
        ({"task": "multiclass", "classes": ["a", "b"]}, {}, "no predictions: task multiclass needs"),
        (
            {"task": "multiclass", "classes": ["a", "b"]},
            {"prediction": pa.array(["a", "c"])},
            "a prediction is 'c'; the spec's classes are a, b",
        ),
        (
            {"task": "multiclass", "classes": ["a", "b"]},
            {"prediction": pa.array(["a", "b"]), "scores": {"a": pa.array([0.5, 0.5])}},
            "no scores of b: give those of all classes, or none",
        ),
    ],
)
def test_what_is_missing_is_said(of: dict[str, Any], answers: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        reference(spec(**of), [0, 1], **answers)
