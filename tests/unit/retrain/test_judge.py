"""The judge stops what is clearly bad, and says when it cannot know."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from retrain.fit import FeaturePlan, fit, score
from retrain.judge import Finding, judge, worst
from schemas.spec import FeatureSpec, GateSpec

GATE = GateSpec()
N, WINDOWS = 4_000, 10


def world(seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(x, label): P(1) = logistic(2 x)."""
    random = np.random.default_rng(seed)
    x = random.normal(size=N)
    return x, (random.random(N) < 1 / (1 + np.exp(-2 * x))).astype(float)


X, LABEL = world()
GOOD = 1 / (1 + np.exp(-2 * X))
WINDOW = np.arange(N, dtype=np.int64) // (N // WINDOWS)
SEGMENTS = {"origin=EWR": np.arange(N) % 2 == 0, "origin=JFK": np.arange(N) % 2 == 1}


def verdict(candidate: NDArray[np.float64], champion: NDArray[np.float64] = GOOD, **changed: Any) -> Finding:
    given: dict[str, Any] = {"label": LABEL, "window": WINDOW, "segments": SEGMENTS, "gate": GATE} | changed
    return judge(candidate=candidate, champion=champion, **given)


def test_an_identical_model_is_not_inferior() -> None:
    found = verdict(GOOD)
    assert found.outcome == "pass"
    assert found.numbers["difference"] == 0.0
    assert found.numbers["windows"] == WINDOWS


def test_known_difference() -> None:
    found = verdict(np.clip(GOOD, 0.1, 0.9))
    expected = np.mean((np.clip(GOOD, 0.1, 0.9) - LABEL) ** 2 - (GOOD - LABEL) ** 2)
    assert found.numbers["difference"] == pytest.approx(expected, abs=1e-9)  # windows of equal size


def test_a_model_of_shuffled_labels_fails() -> None:
    features = (FeatureSpec(name="x", kind="number"),)
    plan = FeaturePlan.of(features)
    x, label = world(1)
    shuffled = np.random.default_rng(2).permutation(label)
    bad = fit(pa.table({"x": x, "label": shuffled.astype(bool)}), plan, seed=7, threads=1)
    honest = fit(pa.table({"x": x, "label": label.astype(bool)}), plan, seed=7, threads=1)
    rows = pa.table({"x": X})
    assert verdict(score(honest, rows)).outcome == "pass"
    found = verdict(score(bad, rows))
    assert found.outcome == "fail"
    assert "AUC" in found.text
    # Even against a champion that is no better itself.
    assert verdict(score(bad, rows), score(bad, rows)).outcome == "fail"


def test_one_bad_segment_fails_though_the_whole_passes() -> None:
    candidate = np.where(SEGMENTS["origin=JFK"], np.clip(GOOD, 0.3, 0.7), np.where(LABEL > 0, GOOD + 0.05, GOOD - 0.05))
    found = verdict(np.clip(candidate, 0, 1))
    assert found.numbers["difference[origin=EWR]"] < 0
    assert found.outcome == "fail"
    assert "origin=JFK" in found.text


def test_a_gross_bias_fails_against_a_champion_as_biased() -> None:
    biased = np.clip(GOOD + 0.3, 0, 1)
    found = verdict(biased, biased)
    assert found.outcome == "fail"
    assert "share of positives" in found.text


@pytest.mark.parametrize("rows", [0, 20, N // WINDOWS])
def test_too_few_rows_are_inconclusive(rows: int) -> None:
    part = {"label": LABEL[:rows], "window": WINDOW[:rows], "segments": {}}
    assert verdict(GOOD[:rows], GOOD[:rows], **part).outcome == "inconclusive"


def test_one_class_is_inconclusive() -> None:
    assert verdict(GOOD, label=np.zeros(N)).outcome == "inconclusive"


@pytest.mark.parametrize("value", [np.nan, 1.5, -0.1, np.inf])
def test_scores_that_are_no_probabilities_are_an_error(value: float) -> None:
    broken = GOOD.copy()
    broken[17] = value
    assert verdict(broken).outcome == "error"
    assert verdict(GOOD, broken).outcome == "error"


def test_the_worst_wins() -> None:
    assert worst([]) == "pass"
    assert worst(["pass", "inconclusive"]) == "inconclusive"
    assert worst(["inconclusive", "fail", "pass"]) == "fail"
    assert worst(["fail", "error"]) == "error"
