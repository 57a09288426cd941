"""What a model owner may declare; errors say what is wrong and what to do."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.spec import ModelSpec

FEATURES = [{"name": "x", "kind": "number"}]
HEAVY = [{"name": "x", "kind": "number", "importance": 3}]


def spec(**parts: Any) -> ModelSpec:
    return ModelSpec.model_validate({"positive_class": "late", "features": FEATURES} | parts)


def test_segments_are_tags() -> None:
    assert spec().segments == ()
    assert spec(segments=["origin", "carrier"]).segments == ("origin", "carrier")


def of_task(**parts: Any) -> ModelSpec:
    return ModelSpec.model_validate({"features": FEATURES} | parts)


def test_every_task_has_what_it_needs() -> None:
    assert of_task(positive_class="late").retraining.enabled
    several = of_task(task="multiclass", classes=["cat", "dog"], retraining={"seed": 3})
    assert (several.classes, several.retraining.enabled, several.retraining.seed) == (("cat", "dog"), False, 3)
    number = of_task(task="regression", unit="min")
    assert (number.unit, number.retraining.enabled) == ("min", False)
    for model in (several, number):
        assert ModelSpec.model_validate(model.model_dump(mode="json")) == model


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({}, "positive_class is missing: task binary needs"),
        ({"task": "regression", "positive_class": "late"}, "positive_class is for task binary, but the task is regr"),
        ({"positive_class": "late", "classes": ["late", "not"]}, "classes is for task multiclass, but the task is bin"),
        ({"task": "multiclass"}, "classes: none; task multiclass needs two or more"),
        ({"task": "multiclass", "classes": ["cat"]}, "classes: cat; task multiclass needs two or more"),
        ({"task": "multiclass", "classes": ["a", "b", "a"]}, "classes: a, b, a; .* each named once"),
        ({"task": "multiclass", "classes": [str(n) for n in range(65)]}, "at most 64"),
        ({"task": "ranking"}, "'binary', 'multiclass' or 'regression'"),
        ({"task": "regression", "retraining": {"enabled": True}}, "write retraining: {enabled: false}, or leave it"),
    ],
)
def test_a_task_without_what_it_needs_is_refused(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        of_task(**parts)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"segments": ["o", "o", "p"]}, "segments declared twice: o; name each of them once"),
        ({"features": FEATURES * 2}, "features declared twice: x; name each of them once"),
        ({"segments": ["origin=JFK"]}, "segments with '=': origin=JFK; name the tag alone"),
        ({"segments": [""]}, "segments.0"),
        ({"features": [*HEAVY, {"name": "y", "kind": "string"}]}, "features without importance: y; .* of all .* or of"),
        ({"features": [{"name": "x", "kind": "number", "importance": -1}]}, "greater than or equal to 0"),
        ({"features": [{"name": "x", "kind": "number", "importance": float("inf")}]}, "finite number"),
    ],
    ids=["a segment twice", "a feature twice", "a value", "no name", "some importances", "below 0", "infinite"],
)
def test_what_cannot_be_is_refused(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        spec(**parts)


def test_an_importance_that_nobody_says_is_not_stored() -> None:
    """Records of specs without it, and what is named by their content, are the same bytes as before there was one."""
    assert spec().model_dump(mode="json")["features"] == FEATURES
    assert spec(features=HEAVY).model_dump(mode="json")["features"] == HEAVY
