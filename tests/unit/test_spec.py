"""What a model owner may declare; errors say what is wrong and what to do."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.spec import ModelSpec

FEATURES = [{"name": "x", "kind": "number"}]


def spec(**parts: Any) -> ModelSpec:
    return ModelSpec.model_validate({"positive_class": "late", "features": FEATURES} | parts)


def test_segments_are_tags() -> None:
    assert spec().segments == ()
    assert spec(segments=["origin", "carrier"]).segments == ("origin", "carrier")


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"segments": ["o", "o", "p"]}, "segments declared twice: o; name each of them once"),
        ({"features": FEATURES * 2}, "features declared twice: x; name each of them once"),
        ({"segments": ["origin=JFK"]}, "segments with '=': origin=JFK; name the tag alone"),
        ({"segments": [""]}, "segments.0"),
    ],
    ids=["a segment twice", "a feature twice", "a value", "no name"],
)
def test_what_cannot_be_is_refused(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        spec(**parts)
