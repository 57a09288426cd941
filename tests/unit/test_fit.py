"""The model: deterministic, at home with missing and unknown values, and loaded from nothing but its own types."""

import io
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import skops.io
from sklearn.dummy import DummyClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from retrain.fit import LABEL, FeaturePlan, RefusedModelError, fit, importances, load_model, save_model, score
from schemas.spec import FeatureSpec

PLAN = FeaturePlan.of(
    [
        FeatureSpec(name="carrier", kind="string"),
        FeatureSpec(name="wind", kind="number"),
        FeatureSpec(name="noise", kind="number"),
        FeatureSpec(name="holiday", kind="boolean"),
    ]
)


def rows(n: int = 6_000, seed: int = 1) -> pa.Table:
    random = np.random.default_rng(seed)
    carrier, wind = random.choice(["AA", "B6", "UA"], n), random.normal(size=n)
    holiday = random.random(n) < 0.3
    odds = -1.5 + 1.2 * wind + (carrier == "B6") + holiday
    missing = random.random(n) < 0.1
    return pa.table(
        {
            "carrier": pa.array(carrier.tolist(), pa.string(), mask=random.random(n) < 0.05),
            "wind": pa.array(wind, mask=missing),
            "noise": random.normal(size=n),
            "holiday": pa.array(holiday, mask=missing),
            LABEL: random.random(n) < 1 / (1 + np.exp(-odds)),
        }
    )


@pytest.fixture(scope="module")
def model() -> Pipeline:
    return fit(rows(), PLAN, seed=7, threads=1)


def test_plan_keeps_kinds_apart() -> None:
    assert FeaturePlan(("carrier",), ("wind", "noise"), ("holiday",)) == PLAN
    assert PLAN.names == ("carrier", "wind", "noise", "holiday")


def test_it_learns(model: Pipeline) -> None:
    unseen = rows(seed=2)
    answers = score(model, unseen)
    assert answers.shape == (6_000,)
    assert ((answers > 0) & (answers < 1)).all()
    assert roc_auc_score(unseen[LABEL].to_numpy(), answers) > 0.75


@pytest.mark.parametrize("threads", [1, 2])
def test_same_rows_order_and_seed_give_the_same_bits(model: Pipeline, threads: int) -> None:
    again = fit(rows(), PLAN, seed=7, threads=threads)
    assert np.array_equal(score(again, rows(seed=2)), score(model, rows(seed=2)))


def test_an_answer_does_not_depend_on_its_batch(model: Pipeline) -> None:
    table = rows(200, seed=3)
    one_by_one = [score(model, table.slice(i, 1))[0] for i in range(0, 200, 20)]
    assert np.array_equal(one_by_one, score(model, table)[::20])


def test_unknown_categories_and_missing_values_are_answered_alike(model: Pipeline) -> None:
    table = rows(1, seed=3)
    unknown = table.set_column(0, "carrier", pa.array(["ZZ"]))
    missing = table.set_column(0, "carrier", pa.array([None], pa.string()))
    assert score(model, unknown) == score(model, missing)
    nothing = pa.table({field.name: pa.nulls(1, field.type) for field in table.schema})
    assert 0 < score(model, nothing)[0] < 1


def test_columns_may_come_in_any_order_and_number(model: Pipeline) -> None:
    table = rows(50, seed=3)
    turned = table.select(table.column_names[::-1]).append_column("other", pa.array(range(50)))
    assert np.array_equal(score(model, turned), score(model, table))


def test_no_rows_no_answers(model: Pipeline) -> None:
    assert score(model, rows(0)).shape == (0,)


def test_more_categories_than_bins() -> None:
    table = rows(3_000)
    many = table.set_column(0, "carrier", pa.array([f"C{i % 600}" for i in range(3_000)]))
    assert score(fit(many, PLAN, seed=7, threads=1), many).shape == (3_000,)


def test_importances_rank_causes_above_noise_and_repeat(model: Pipeline) -> None:
    held_out = rows(seed=4)
    found = importances(model, held_out, seed=5)
    assert list(found) == list(PLAN.names)
    assert found["wind"] > found["carrier"] > abs(found["noise"])
    assert found == importances(model, held_out, seed=5)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (rows(100).drop_columns([LABEL]), "no column 'label'"),
        (rows(100).drop_columns(["wind"]), "no column for wind"),
        (rows(100).filter(pa.array([False] * 100)), "single class"),
        (rows(2).set_column(4, LABEL, pa.array([True, None])), "1 of 2 rows have no label"),
    ],
)
def test_what_cannot_be_fitted_says_why(table: pa.Table, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(table, PLAN, seed=7, threads=1)


def test_a_saved_model_answers_the_same(model: Pipeline, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.skops")
    loaded = load_model((tmp_path / "model.skops").read_bytes())
    assert np.array_equal(score(loaded, rows(seed=2)), score(model, rows(seed=2)))


def test_a_flipped_or_missing_byte_is_refused(model: Pipeline, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.skops")
    data = bytearray((tmp_path / "model.skops").read_bytes())
    with pytest.raises(RefusedModelError, match="not a readable skops file"):
        load_model(bytes(data[:-30]))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(RefusedModelError):
        load_model(bytes(data))


def dump(thing: object) -> bytes:
    return bytes(skops.io.dumps(thing))


def harmful(rows: object) -> object:
    return io.StringIO(str(rows))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x04N.", "not a readable skops file"),
        (b"", "not a readable skops file"),
        (dump(Pipeline([("own", FunctionTransformer(harmful))])), "harmful"),
        (dump(DummyClassifier()), "holds a DummyClassifier"),
        (dump(OrderedDict(a=1)), "holds a OrderedDict"),
    ],
)
def test_files_of_others_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(RefusedModelError, match=message):
        load_model(data)
