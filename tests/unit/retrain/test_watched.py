"""What a reference says may page: every stream of a task, calibrated on the windows that the reference is made of."""

import gzip
from collections.abc import Mapping
from math import log
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from detectors import evidence, watch
from detectors.sketch import Ints
from retrain.baseline import build_reference
from schemas.models import ModelRecord, Reference, Watch
from schemas.spec import Metadata, Model, ModelSpec
from schemas.topics import MAX_MESSAGE_BYTES

HOUR = 3_600_000
MONDAY = 1_704_067_200_000
"""2024-01-01, 0:00 UTC."""
DAYS, HOURLY = 28, 150
HOURS = np.repeat(np.arange(DAYS * 24), HOURLY)
N = len(HOURS)
DAILY = 0.8 * np.sin(2 * np.pi * (HOURS % 24) / 24)
FEATURES = {"steady": "number", "daily": "number", "weather": "number", "plan": "string", "wet": "boolean"}


def spec(**parts: Any) -> ModelSpec:
    features = [{"name": name, "kind": kind} for name, kind in FEATURES.items()]
    given = {"features": features, "windows": {"width": "PT1H"}, "retraining": {"enabled": False}}
    return ModelSpec.model_validate(given | parts)


BINARY = spec(positive_class="yes", reference={"timezone": "Europe/Berlin", "holidays": ["2024-01-06"]})


@pytest.fixture(scope="module")
def columns() -> dict[str, Any]:
    """Four weeks of independent rows, but for a season (daily) and for one value an hour (weather)."""
    rng = np.random.default_rng(4)
    plan = rng.choice(["basic", "plus", "pro"], N, p=[0.6, 0.3, 0.1])
    return {
        "event_time": MONDAY + HOURS * HOUR + rng.integers(0, HOUR, N),
        "features": {
            "steady": pa.array(rng.normal(size=N), mask=rng.random(N) < 0.1),
            "daily": pa.array(rng.normal(size=N) + DAILY),
            "weather": pa.array(rng.normal(size=DAYS * 24)[HOURS]),
            "plan": pa.array(plan, mask=rng.random(N) < 0.1),
            "wet": pa.array(rng.random(N) < 0.3),
        },
        "score": rng.beta(2, 5, N),
        "latency": rng.gamma(4, 3, N),
        "labels": rng.random(N),
    }


def reference(of: ModelSpec, columns: Mapping[str, Any], rows: Any = slice(None), **answers: Any) -> Reference:
    return build_reference(
        of,
        event_time=columns["event_time"][rows],
        features={
            name: pa.array(column.to_pandas()[rows], type=column.type) for name, column in columns["features"].items()
        },
        segments={},
        **answers,
    )


def binary(columns: Mapping[str, Any], rows: Any = slice(None)) -> Reference:
    score = columns["score"][rows]
    return reference(
        BINARY,
        columns,
        rows,
        scores={"yes": pa.array(score)},
        label=pa.array(columns["labels"][rows] < score),
        latency_ms=pa.array(columns["latency"][rows]),
    )


@pytest.fixture(scope="module")
def whole(columns: dict[str, Any]) -> Reference:
    return binary(columns)


@pytest.fixture(scope="module")
def found(whole: Reference) -> dict[str, Watch]:
    return {one.stream: one for one in whole.watched}


def test_a_binary_model_is_watched_by_all_that_its_rows_say(found: dict[str, Watch]) -> None:
    assert list(found) == ["loss", "estimate", "score", "latency", *(f"feature.{name}" for name in FEATURES)]
    assert [one.kind for one in found.values()] == [
        "change", "change", "number", "change", "number", "number", "number", "categories", "categories",
    ]  # fmt: skip
    for name in ("loss", "estimate", "score", "latency", "feature.steady", "feature.plan", "feature.wet"):
        one = found[name]
        assert (one.windows, one.blocks, one.variable, one.insufficient, one.slots) == (
            DAYS * 24,
            DAYS,
            False,
            "",
            None,
        )
        assert watch.examined(one, 10_000).claim == "within budget on held-out reference"
        assert 100 < one.effective_rows <= one.rows + 1e-9


def test_usual_values_are_those_of_the_rows(found: dict[str, Watch], columns: dict[str, Any]) -> None:
    score = columns["score"]
    happened = columns["labels"] < score
    assert found["loss"].usual == pytest.approx(-np.log(np.where(happened, score, 1 - score)).mean())
    assert found["estimate"].usual == pytest.approx(np.minimum(score, 1 - score).mean(), abs=0.01)
    assert found["latency"].usual == pytest.approx(log(np.quantile(columns["latency"], 0.99)), abs=0.1)
    assert found["score"].sd == pytest.approx(score.std(), rel=0.01)


def test_counts_are_those_of_the_profiles(whole: Reference, found: dict[str, Watch]) -> None:
    for profile in whole.features[""]:
        shares = np.array(profile.counts) / sum(profile.counts)
        assert found[f"feature.{profile.name}"].shares == pytest.approx(shares, abs=1e-6)
    assert found["score"].shares == pytest.approx(np.array(whole.score_counts) / N, abs=1e-6)
    assert found["feature.steady"].rows == pytest.approx(0.9 * HOURLY, rel=0.01)


def test_a_season_has_slots_in_its_own_zone(found: dict[str, Watch]) -> None:
    daily = found["feature.daily"]
    assert daily.slots is not None
    assert (daily.slots.timezone, daily.slots.holidays) == ("Europe/Berlin", ["2024-01-06"])
    assert (daily.blocks, daily.variable) == (4, False)  # weeks
    means = np.array(daily.slots.shares) @ np.array(daily.positions)
    assert means[1 + 6] - means[1 + 18] > 1  # 6:00 and 18:00 UTC


def test_an_hour_of_one_value_is_structurally_variable(found: dict[str, Watch]) -> None:
    weather = found["feature.weather"]
    assert weather.variable
    assert weather.effective_rows < 3
    assert watch.examined(weather, 100).reason.startswith("structurally variable: a window of 150 rows is worth")


def pages(one: Watch, observed: list[Any], threshold: float) -> int | None:
    """After how many windows it pages."""
    state = evidence.start(watch.components(one))
    for window, value in enumerate(observed):
        done = evidence.step(state, watch.factors([watch.Seen(one, value, MONDAY + window * HOUR)])[0], threshold)
        if done.alarm:
            return window + 1
        state = done.evidence
    return None


def test_harm_pages_within_windows_and_more_of_the_same_does_not(whole: Reference, found: dict[str, Watch]) -> None:
    rng = np.random.default_rng(9)
    (steady, *_rest) = whole.features[""]

    def counts(shift: float) -> list[Ints]:
        drawn = [np.searchsorted(steady.edges, rng.normal(size=140) + shift, side="right") for _ in range(200)]
        return [np.bincount(bins, minlength=len(steady.counts)) for bins in drawn]

    one = found["feature.steady"]
    assert pages(one, counts(0), 10_000) is None
    assert (pages(one, counts(0.5), 10_000) or 99) <= 6
    for name, step in (("loss", 0.2), ("estimate", 0.1), ("latency", 1.0)):
        usual = found[name].usual
        assert pages(found[name], [usual] * 200, 10_000) is None
        assert (pages(found[name], [usual + step] * 20, 10_000) or 99) <= 6


def test_the_order_of_rows_does_not_matter(columns: dict[str, Any], found: dict[str, Watch]) -> None:
    mixed = np.random.default_rng(1).permutation(N)
    again = {one.stream: one for one in binary(columns, mixed).watched}
    assert again.keys() == found.keys()
    for name, one in found.items():
        if name != "loss":  # a sum of floats
            assert again[name] == one
    assert again["loss"].usual == pytest.approx(found["loss"].usual)


def test_few_days_say_what_is_missing(columns: dict[str, Any]) -> None:
    for one in binary(columns, HOURS < 48).watched:
        assert one.scales == []
        assert "2 days" in one.insufficient
        assert watch.examined(one, 10).claim == "not enough data"


def test_without_labels_there_is_no_estimate(columns: dict[str, Any]) -> None:
    score = {"yes": pa.array(columns["score"])}
    unlabelled = reference(BINARY, columns, scores=score)
    by_name = {one.stream: one for one in unlabelled.watched}
    assert unlabelled.calibrated is None
    assert "0 labelled pairs" in by_name["estimate"].insufficient
    assert "windows count that have 100 labels (alerts.min_rows)" in by_name["loss"].insufficient
    assert "latency" not in by_name
    assert by_name["score"].scales


def test_several_classes_have_their_predictions_watched(columns: dict[str, Any]) -> None:
    names = ["cat", "dog"]
    predicted = pa.array(np.where(columns["labels"] < 0.4, "cat", "dog"))
    of = spec(task="multiclass", classes=names)
    found = {one.stream: one for one in reference(of, columns, prediction=predicted).watched}
    assert list(found)[:2] == ["loss", "prediction"]
    assert found["prediction"].shares == [pytest.approx(0.4, abs=0.01), pytest.approx(0.6, abs=0.01)]
    scores = {
        name: pa.array(np.where(columns["labels"] < 0.4, share, 1 - share))
        for name, share in zip(names, (0.7, 0.3), strict=True)
    }
    assert [one.stream for one in reference(of, columns, prediction=predicted, scores=scores).watched[:3]] == [
        "loss", "score", "prediction",
    ]  # fmt: skip


def test_a_regression_has_its_predictions_watched(columns: dict[str, Any]) -> None:
    given = reference(spec(task="regression"), columns, prediction=pa.array(columns["latency"] * 10))
    score = next(one for one in given.watched if one.stream == "score")
    assert len(score.positions) == len(given.score_counts) == len(score.shares)
    assert score.sd == pytest.approx(columns["latency"].std() * 10, rel=0.1)


def test_a_dropped_feature_is_watched_no_more(whole: Reference) -> None:
    fewer = ModelSpec.model_validate(
        BINARY.model_dump(mode="json")
        | {"features": [{"name": "steady", "kind": "number"}, {"name": "plan", "kind": "boolean"}]}
    )
    assert [one.stream for one in whole.fitting(fewer).watched] == [
        "loss",
        "estimate",
        "score",
        "latency",
        "feature.steady",
    ]


def test_windows_of_few_rows_are_said_to_be_too_few_whatever_the_stream(columns: dict[str, Any]) -> None:
    """Ten rows an hour: not one window is full."""
    made = binary(columns, np.flatnonzero(np.arange(N) % HOURLY < 10))
    assert {one.stream for one in made.watched} >= {"score", "latency", "feature.steady"}
    assert all(one.insufficient for one in made.watched)


def test_a_record_of_fifty_seasonal_features_fits_into_a_message(columns: dict[str, Any]) -> None:
    names = [f"f{index}" for index in range(50)]
    of = ModelSpec.model_validate(
        {
            "positive_class": "yes",
            "features": [{"name": name, "kind": "number"} for name in names],
            "windows": {"width": "PT1H"},
        }
    )
    rng = np.random.default_rng(6)
    made = build_reference(
        of,
        event_time=columns["event_time"],
        features={name: pa.array(rng.normal(size=N) + DAILY) for name in names},
        segments={},
        scores={"yes": pa.array(columns["score"])},
        label=pa.array(columns["labels"] < columns["score"]),
    )
    assert sum(one.slots is not None for one in made.watched) == 50
    model = Model(metadata=Metadata(name="m"), spec=of)
    record = ModelRecord.first(model).next(reference=made, effective_from=0, cause_id="")
    sent = msgspec.json.encode(record)
    assert msgspec.json.decode(sent, type=ModelRecord) == record
    assert len(sent) < MAX_MESSAGE_BYTES // 4
    assert len(gzip.compress(sent)) < 1_000_000


def test_segments_are_calibrated_by_their_own_rows_the_largest_first(columns: dict[str, Any]) -> None:
    """A segment of few labels says that it cannot be judged; its features are left out, and have no slots."""
    shop = np.where(np.arange(N) % 10 < 7, "de", np.where(np.arange(N) % 1_000 == 999, "rare", "fr"))
    of = spec(positive_class="yes", segments=["shop"], alerts={"min_rows": 30})
    made = build_reference(
        of,
        event_time=columns["event_time"],
        features=columns["features"],
        segments={"shop": pa.array(shop)},
        scores={"yes": pa.array(columns["score"])},
        label=pa.array(columns["labels"] < columns["score"]),
        importances={"steady": 0.3, "plan": -0.01},
    )
    found = {(one.segment, one.stream): one for one in made.watched}
    assert list(dict.fromkeys(segment for segment, _ in found)) == ["", "shop=de", "shop=fr", "shop=rare"]
    assert {stream for segment, stream in found if segment == "shop=rare"} == {"loss"}
    assert found["shop=rare", "loss"].insufficient.startswith("the reference has 0 windows in 0 days")
    german, whole = found["shop=de", "loss"], found["", "loss"]
    assert german.scales
    assert german.rows == pytest.approx(0.7 * HOURLY)
    assert german.scales[0].width > whole.scales[0].width, "fewer rows, more noise"
    assert not any(one.slots for (segment, _), one in found.items() if segment)
    assert made.importances == {"steady": 0.3, "plan": 0.0}, "what a model loses by a feature is no importance"
    assert not made.fitting(spec(positive_class="yes")).watched[-1].segment, "a tag that is no longer declared"
