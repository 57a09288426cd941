"""What a reference is too small to judge is said with the numbers that the rules themselves go by, and the way out."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from detectors.bands import leave_one_out_band
from detectors.enough import foreseen, not_judged, uncalibrated
from detectors.quality import check_rate
from detectors.reference import profile_number
from detectors.verdict import Insufficient
from schemas.models import Reference, Watch
from schemas.spec import ModelSpec


def spec(**parts: Any) -> ModelSpec:
    base = {
        "positive_class": "late",
        "features": [{"name": "temp", "kind": "number"}],
        "retraining": {"enabled": False},
    }
    return ModelSpec.model_validate(base | parts)


def reference(rows: list[int], losses: list[float]) -> Reference:
    windows = np.repeat(np.arange(len(rows)), rows)
    profile = profile_number("temp", np.linspace(0, 1, len(windows)), windows)
    return Reference(0, 1, len(windows), {"": [profile]}, [], [], [], "log_loss", losses, [100] * len(losses))


@given(
    rows=st.lists(st.integers(1, 200), min_size=1, max_size=8),
    losses=st.lists(st.floats(0, 1), max_size=8),
    watched=st.booleans(),
)
def test_it_is_said_exactly_when_a_rule_cannot_fire(rows: list[int], losses: list[float], watched: bool) -> None:
    known = reference(rows, losses)
    found = not_judged(spec(alerts={"labelled_loss": watched}), known)
    (profile,) = known.features[""]
    quality = check_rate("nulls", 1.0, 10_000, profile.window_nulls, profile.window_n)
    assert any("missing" in gap for gap in found) is isinstance(quality, Insufficient)
    unbanded = isinstance(leave_one_out_band(losses), Insufficient)
    assert any("labelled loss pages nobody" in gap for gap in found) is (watched and unbanded)


def test_the_way_out_is_said() -> None:
    quality, loss = not_judged(spec(), reference([99, 40, 120], [0.1]))
    assert quality == (
        "not enough data: 1 of the reference's 3 windows have 100 rows, 2 are needed, so a feature that is missing, "
        "out of range or never seen before pages nobody. Give it wider windows than P1D (windows.width, under another "
        "name if events are counted already), or a limit of your own with a small alerts.min_rows: alerts.rules: "
        "[feature.temp.null_rate > 0.2]"
    )
    assert loss.startswith("not enough data: 1 reference windows have labels enough")
    assert loss.endswith("set a limit of your own: alerts.rules: [labelled.auc < 0.7]")


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_rules_that_are_proposed_are_valid(task: str) -> None:
    parts: dict[str, Any] = {"binary": {}, "multiclass": {"classes": ["a", "b"]}, "regression": {}}[task]
    positive = {"positive_class": "late" if task == "binary" else ""}
    gaps = not_judged(spec(task=task, **positive, **parts), reference([1], []))
    rules = [gap.rpartition("alerts.rules: [")[2].removesuffix("]") for gap in gaps]
    assert len(spec(task=task, **positive, **parts, alerts={"rules": rules}).rules()) == 2


@pytest.mark.parametrize(
    ("parts", "rows", "said"),
    [
        ({}, None, []),
        ({}, 500.0, []),
        ({}, 99.0, ["about 99 rows a window, 100 are needed"]),
        ({"alerts": {"min_rows": 10}}, None, ["alerts.min_rows is 10, but features are judged in windows of 100 rows"]),
        ({"reference": {"collect": "P3D"}}, None, ["reference.collect (P3D) will hold 3 windows of P1D, 5 are needed"]),
        ({"reference": {"collect": "P1D"}}, None, ["1 windows of P1D, 2 are", "1 windows of P1D, 5 are"]),
        ({}, 6_000.0, ["reference.rows (20,000) will hold 3 windows of P1D, 5 are needed"]),
        ({"reference": {"collect": "P3D"}, "alerts": {"labelled_loss": False}}, None, []),
        ({"retraining": {"collect": "P4D"}}, None, ["P1D, 5 are", "will hold 4 windows of P1D, 28 are"]),
        ({"retraining": {"collect": "P27D"}}, None, ["retraining.collect (P27D) will hold 27 windows of P1D, 28 are"]),
        ({"retraining": {"collect": "P28D"}}, None, []),
        ({"windows": {"width": "P7D", "label_maturity": "P7D"}, "reference": {"collect": "P63D"}}, None, ["P203D"]),
    ],
)
def test_what_a_document_and_its_traffic_foretell(parts: dict[str, Any], rows: float | None, said: list[str]) -> None:
    found = foreseen(spec(**parts), rows)
    assert len(found) == len(said)
    assert all(part in gap for part, gap in zip(said, found, strict=True))


LONG: dict[str, Any] = {"windows": {"label_maturity": "P20D"}}


@pytest.mark.parametrize(
    ("days", "parts", "said"),
    [
        (7, {}, "is made anew by itself, once, of its first P28D"),
        (7, LONG | {"reference": {"collect": "P70D"}}, "is made anew by itself, once, of its first P70D"),
        (7, LONG | {"reference": {"collect": "P71D"}}, "is not made anew by itself: the labels of its first P71D are"),
        (28, {}, ""),  # it has been tried
        (7, {"retraining": {"enabled": True}}, ""),
    ],
)
def test_a_reference_is_made_anew_by_itself_only_where_that_can_be(days: int, parts: dict[str, Any], said: str) -> None:
    """Raw rows are kept for 90 days."""
    few = [Watch("loss", "change", insufficient="few")]
    of_days = replace(reference([200] * days, []), start=0, end=days * 86_400_000, watched=few)
    (gap,) = uncalibrated(spec(**parts), of_days)
    assert gap.startswith("not enough data: few, so nothing pages by evidence")
    assert "driftline reference build" in gap
    assert said in gap
    assert ("anew" in gap) is bool(said)
