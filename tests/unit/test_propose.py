"""``driftline init``: what is proposed for which table, and that it is a document that can be used."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

from app.demo import example
from app.propose import document, times
from app.table import TableError, parse_columns
from schemas.spec import Model

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = 400


def written(tmp_path: Path, columns: Mapping[str, Any], name: str = "churn model.parquet") -> Path:
    """A table of :data:`ROWS` rows, one an hour."""
    given = {"event_time": [START + timedelta(hours=row) for row in range(ROWS)]} | dict(columns)
    path = tmp_path / name
    table = pa.table({key: value for key, value in given.items() if value is not None})
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


def proposed(path: Path, *columns: str, segments: tuple[str, ...] = ()) -> tuple[dict[str, Any], list[str]]:
    text, notes = document(path, parse_columns(columns), segments)
    spec = yaml.safe_load(text)
    Model.model_validate(spec)
    return spec, notes


BINARY: dict[str, Any] = {
    "score": [0.9, 0.2] * (ROWS // 2),
    "label": ["left", "stayed"] * (ROWS // 2),
    "age": list(range(ROWS)),
}


def test_the_example_gets_a_document_with_the_reasons(tmp_path: Path) -> None:
    path = tmp_path / "predictions.parquet"
    pq.write_table(example.table(20_000), path)
    text, notes = document(path, {}, ["region"])
    assert notes == []
    assert "positive_class: left\n" in text
    assert "# 95% of the labels" in text.replace("then performance is tested; ", "")
    model = Model.model_validate(yaml.safe_load(text))
    assert model.metadata.name == "predictions"
    assert len(model.spec.features) == 16
    kinds = {feature.name: feature.kind for feature in model.spec.features}
    assert (kinds["tenure_months"], kinds["plan"], kinds["autopay"]) == ("number", "string", "boolean")
    assert model.spec.segments == ("region",)
    assert model.spec.windows.width == timedelta(days=1)
    assert model.spec.windows.label_maturity == timedelta(days=3)
    assert model.spec.reference.collect == timedelta(days=7)
    assert not model.spec.retraining.enabled


@pytest.mark.parametrize("name", ["table.parquet", "table.csv"])
def test_parquet_and_csv_get_the_same(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, BINARY | {"plan": ["a", "b"] * (ROWS // 2), "paid": [True, False] * (ROWS // 2)}, name)
    spec, _ = proposed(path)
    assert spec["spec"]["features"] == [
        {"name": "age", "kind": "number"},
        {"name": "plan", "kind": "string"},
        {"name": "paid", "kind": "boolean"},
    ]


@pytest.mark.parametrize(
    ("columns", "positive"),
    [
        (BINARY, "left"),
        (BINARY | {"label": [1, 0] * (ROWS // 2)}, "1"),
        (BINARY | {"label": [True, None] * (ROWS // 2)}, "true"),
        (BINARY | {"label": None, "prediction": ["no", "yes"] * (ROWS // 2)}, "no"),
        ({"score_yes": [0.2] * ROWS, "age": [1.0] * ROWS}, "yes"),
        ({"score_yes": [0.2] * ROWS, "score_no": [0.8] * ROWS, "age": [1.0] * ROWS}, "yes"),
    ],
)
def test_the_positive_class_is_the_one_that_the_score_is_of(
    tmp_path: Path, columns: dict[str, Any], positive: str
) -> None:
    spec, _ = proposed(written(tmp_path, columns))
    assert (spec["spec"]["task"], spec["spec"]["positive_class"]) == ("binary", positive)


def test_several_classes_with_and_without_probabilities(tmp_path: Path) -> None:
    names = ["cat", "dog", "owl", "dog"] * (ROWS // 4)
    scored = {f"score_{name}": [1 / 3] * ROWS for name in ("cat", "dog", "owl")}
    spec, notes = proposed(written(tmp_path, scored | {"label": names, "x": [1.5] * ROWS}))
    assert (spec["spec"]["task"], spec["spec"]["classes"]) == ("multiclass", ["cat", "dog", "owl"])
    assert [feature["name"] for feature in spec["spec"]["features"]] == ["x"]
    decided = {"prediction": names, "label": ["cat"] * ROWS, "x": [1.5] * ROWS}
    spec, notes = proposed(written(tmp_path, decided))
    assert (spec["spec"]["task"], spec["spec"]["classes"]) == ("multiclass", ["cat", "dog", "owl"])
    assert notes == [
        "there is no probability per class (columns score_<class>): the loss is the share of wrong answers"
    ]
    digits = {"prediction": [0, 1, 2, 9] * (ROWS // 4), "label": [0.0, None, 2.0, 9.0] * (ROWS // 4), "x": [1.5] * ROWS}
    spec, _ = proposed(written(tmp_path, digits))
    assert (spec["spec"]["task"], spec["spec"]["classes"]) == ("multiclass", ["0", "1", "2", "9"])


@pytest.mark.parametrize("prediction", [[row / 2 for row in range(ROWS)], list(range(ROWS))])
def test_amounts_are_a_regression(tmp_path: Path, prediction: list[float]) -> None:
    spec, _ = proposed(written(tmp_path, {"prediction": prediction, "label": prediction, "x": [1.5] * ROWS}))
    assert spec["spec"]["task"] == "regression"
    assert not {"classes", "positive_class"} & spec["spec"].keys()


def test_columns_are_renamed_and_names_that_yaml_would_read_otherwise_are_quoted(tmp_path: Path) -> None:
    halves = {"p": [0.9, 0.2] * (ROWS // 2), "y": ["no", "yes"] * (ROWS // 2)}
    path = written(tmp_path, halves | {"null": [1.5] * ROWS, "a: b": [2] * ROWS})
    spec, _ = proposed(path, "score=p", "label=y")
    assert spec["metadata"]["name"] == "churn-model"
    assert spec["spec"]["positive_class"] == "no"
    assert [feature["name"] for feature in spec["spec"]["features"]] == ["null", "a: b"]


def test_ids_free_text_and_columns_of_other_types_are_left_out_and_said(tmp_path: Path) -> None:
    others = {
        "customer_id": list(range(ROWS)),
        "comment": [f"row {row}" for row in range(ROWS)],
        "signed_up": [START] * ROWS,
        "empty": pa.nulls(ROWS),
        "": [1.0] * ROWS,
        "endless": [float("inf")] * ROWS,
    }
    path = written(tmp_path, BINARY | others)
    spec, notes = proposed(path)
    assert [feature["name"] for feature in spec["spec"]["features"]] == ["age"]
    assert notes[-6:] == [
        "customer_id is left out: an id: a different number in each of 400 rows",
        "comment is left out: an id or free text: 400 different values in 400 rows",
        "signed_up is left out: timestamp[us, tz=UTC] is neither number, text nor boolean; make it one of them to "
        "watch it",
        "empty is left out: no values, so that its kind is not known",
        "'' is left out: a column without a name, perhaps row numbers; name it to watch it",
        "endless is left out: no finite value",
    ]


@pytest.mark.parametrize(
    ("rows", "days", "width"),
    [
        (200_000, 56, timedelta(days=1)),
        (2_000, 56, timedelta(days=7)),
        (200_000, 10, timedelta(hours=6)),
        (200_000, 1, timedelta(hours=1)),
        (10_000, 0.2, timedelta(minutes=15)),
        (1_000, 10, timedelta(days=7)),
        (10, 0.0001, timedelta(days=7)),
    ],
)
def test_windows_are_wide_enough_for_rows_and_narrow_enough_to_be_several(
    rows: int, days: float, width: timedelta
) -> None:
    assert times.window(rows, timedelta(days=days)) == width


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"age": [1] * ROWS}, r"no column 'score', 'score_<class>' or 'prediction'.*--column score=NAME"),
        (
            {"prediction": [f"c{row}" for row in range(ROWS)], "x": [1] * ROWS},
            r"prediction and label name 400 classes, at most 64 are watched; put rare ones together",
        ),
        ({"score": [0.5] * ROWS}, r"no column can be a feature; it has: event_time, score"),
        ({"event_time": None, **BINARY}, r"column 'event_time': not in the table; it has: score, label, age"),
    ],
)
def test_a_table_that_says_too_little_is_told(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(TableError, match=message):
        proposed(written(tmp_path, columns))


def test_values_that_replay_would_not_take_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, BINARY | {"speed": [float("inf"), *range(1, ROWS)]})
    text, _ = document(path, {}, ())
    assert "# 1 to 399, and 1 infinite: leave those empty, replay takes none" in text


def test_a_name_that_no_model_can_have_is_told_and_a_segment_named_twice_is_one(tmp_path: Path) -> None:
    path = written(tmp_path, BINARY | {"region": ["a", "b"] * (ROWS // 2)})
    with pytest.raises(TableError, match="--name 'our model': no name of a model; valid: up to 100 letters"):
        document(path, {}, (), name="our model")
    spec, _ = proposed(path, segments=("region", "region"))
    assert spec["spec"]["segments"] == ["region"]


def test_a_segment_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"--segment ag: not in the table; did you mean 'age'\?"):
        proposed(written(tmp_path, BINARY), segments=("ag",))
