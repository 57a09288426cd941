"""From when on a change counts: where nothing can have been counted, on the grid, never before what stood before."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app import declare
from app.declare import Owner, Refused
from bus import generations
from bus.compacted import Entry
from schemas.lifecycle import Report
from schemas.models import ModelRecord
from schemas.settings import Settings
from schemas.spec import Metadata, Model, ModelSpec
from schemas.windows import iso

HOUR = 3_600_000
DAY = 24 * HOUR
NOW = 20_000 * DAY + 5 * HOUR
SPEC: dict[str, Any] = {"positive_class": "1", "features": [{"name": "x", "kind": "number"}]}


class Warehouse:
    """Counted up to the window ``newest``."""

    def __init__(self, newest: int | None, report: Report | None = None) -> None:
        self._newest = newest
        self._report = report

    def rows(self, sql: str, _parameters: object) -> list[tuple[Any, ...]]:
        if "reports" in sql:
            return []
        return [(0, 0, 0) if self._newest is None else (5, self._newest, 0)]

    def insert(self, _table: object, _rows: object) -> None:
        """The audit log."""


def model(**changes: Any) -> Model:
    return Model(metadata=Metadata(name="m"), spec=ModelSpec.model_validate(SPEC | changes))


def apply(
    monkeypatch: pytest.MonkeyPatch,
    changed: Model,
    *,
    newest: int | None,
    now: int = NOW,
    start: int | None = None,
    **known: Any,
) -> declare.Applied:
    """Apply a change to a model of one generation."""
    first = replace(ModelRecord.first(model()), **known)
    monkeypatch.setattr(declare, "read_teams", lambda _settings: {})
    monkeypatch.setattr("bus.generations.append", lambda _settings, _namespace, _model, make: make([first]))
    return Owner(Settings(), Warehouse(newest), now).model(changed, start=start)  # type: ignore[arg-type]


WIDER = model(features=[*SPEC["features"], {"name": "y", "kind": "string"}])


@given(now=st.integers(19_000 * DAY, 21_000 * DAY), back=st.integers(-3, 400), skew=st.integers(0, 100))
def test_nothing_of_its_first_window_can_be_counted(now: int, back: int, skew: int) -> None:
    newest = (now // DAY - back) * DAY
    changed = WIDER.model_copy(
        update={"spec": ModelSpec.model_validate(WIDER.spec.model_dump() | {"windows": {"future_skew": f"PT{skew}H"}})}
    )
    with pytest.MonkeyPatch.context() as patch:
        start = apply(patch, changed, newest=newest, now=now).effective_from
    assert start is not None
    assert start % DAY == 0
    reach = max(now + max(skew, 1) * HOUR, newest + DAY - 1)
    assert reach < start <= reach + DAY, "the first such window"


def test_before_anything_is_counted_it_is_for_all_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    applied = apply(monkeypatch, WIDER, newest=None)
    assert (applied.action, applied.generation, applied.effective_from) == ("configured", 1, 0)
    assert str(applied).splitlines()[0] == "model default/m configured (generation 1, all windows)"


def test_the_same_spec_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    assert apply(monkeypatch, model(), newest=NOW).action == "unchanged"


def test_a_time_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    newest = NOW // DAY * DAY - 30 * DAY
    applied = apply(monkeypatch, WIDER, newest=newest, start=newest + DAY)
    assert applied.effective_from == newest + DAY
    within = apply(monkeypatch, WIDER, newest=newest, start=newest + DAY + HOUR)
    assert within.effective_from == newest + 2 * DAY, "the window that is begun stays whole"
    with pytest.raises(Refused, match=f"give --from {iso(newest + DAY)} or later"):
        apply(monkeypatch, WIDER, newest=newest, start=newest)


def test_it_never_takes_effect_before_the_generation_that_it_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    later = NOW // DAY * DAY + 9 * DAY
    assert apply(monkeypatch, WIDER, newest=NOW // DAY * DAY, effective_from=later).effective_from == later


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"positive_class": "0"}, "spec.positive_class: '1' cannot become '0'"),
        ({"windows": {"width": "PT1H"}}, "spec.windows: this model is counted in windows of 24 h that start 0 h after"),
        ({"windows": {"offset": "PT5H"}}, "spec.windows: this model is counted in windows of 24 h"),
        ({"windows": {"label_maturity": "P2D"}}, "spec.windows.label_maturity: P1D cannot become P2D once"),
    ],
    ids=["class", "width", "offset", "maturity"],
)
def test_what_would_change_the_meaning_of_what_is_counted(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match=said) as raised:
        apply(monkeypatch, model(**changes), newest=NOW // DAY * DAY)
    assert "declare a model of another name" in str(raised.value)
    assert apply(monkeypatch, model(**changes), newest=None).action == "configured", "nothing is counted yet"


def test_what_is_larger_than_a_message_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: object) -> None:
        raise generations.TooLarge("generation 1 of default/m has 20,000,000 bytes")

    monkeypatch.setattr(declare, "read_teams", lambda _settings: {})
    monkeypatch.setattr(generations, "append", too_large)
    owner = Owner(Settings(), Warehouse(None), NOW)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="20,000,000 bytes"):
        owner.model(WIDER)


def sourced(name: str, topic: str, format_: str) -> Model:
    part = {
        "topic": topic,
        "format": format_,
        "id": "id",
        "version": {"constant": "7"},
        "time": {"path": "at", "format": "epoch_ms"},
        "features": {"x": "x"},
        "scores": {"1": "p"},
    }
    spec = ModelSpec.model_validate(SPEC | {"source": {"predictions": part}})
    return Model(metadata=Metadata(name=name), spec=spec)


@pytest.mark.parametrize(
    ("name", "topic", "format_", "refused"),
    [
        ("other", "shop", "avro", True),
        ("other", "shop", "json", False),
        ("other", "shop2", "avro", False),
        ("m", "shop", "avro", False),
    ],
    ids=["two formats", "one format", "another topic", "its own change"],
)
def test_a_topic_has_one_format_over_all_models(
    monkeypatch: pytest.MonkeyPatch, name: str, topic: str, format_: str, refused: bool
) -> None:
    declared = generations.Declared()
    first = ModelRecord.first(sourced("m", "shop", "json"))
    declared.learn([Entry(0, 0, msgspec.json.encode(first), first.key())])
    monkeypatch.setattr(declare, "read_teams", lambda _settings: {})
    monkeypatch.setattr("bus.generations.read_declared", lambda _settings: declared)
    monkeypatch.setattr("bus.generations.append", lambda _settings, _namespace, _model, make: make([]))
    owner = Owner(Settings(), Warehouse(None), NOW)  # type: ignore[arg-type]
    if refused:
        with pytest.raises(Refused, match="topic shop is json by model default/m, and avro by this document"):
            owner.model(sourced(name, topic, format_))
    else:
        assert owner.model(sourced(name, topic, format_)).action == "created"
