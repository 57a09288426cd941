"""Tables of predictions: what is read, and what a person is told about one that cannot be."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from app.table import NO_VERSION, TableError, load, parse_columns, read
from schemas.spec import FeatureSpec, ModelSpec

SPEC = ModelSpec(
    positive_class="churn",
    features=(
        FeatureSpec(name="age", kind="number"),
        FeatureSpec(name="plan", kind="string"),
        FeatureSpec(name="paid", kind="boolean"),
    ),
    segments=("plan",),
)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
NOON_MS = 1_714_564_800_000

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a small valid table, with columns changed or (None) left out."""

    def written(name: str = "predictions.parquet", **changes: Any) -> Path:
        columns = {
            "event_time": ["2024-05-01T12:00:00Z", "2024-05-01T14:00:00+02:00", "2024-05-01T11:59:59.999Z"],
            "score": [0.25, 0.5, 1.0],
            "age": [1.0, None, 3.5],
            "plan": ["a", "b", None],
            "paid": [True, False, None],
        } | changes
        table = pa.table({key: value for key, value in columns.items() if value is not None})
        path = tmp_path / name
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(table, path)
        else:
            pq.write_table(table, path)
        return path

    return written


@pytest.mark.parametrize("name", ["predictions.parquet", "predictions.csv"])
def test_rows_come_typed_and_in_the_order_of_event_time(write: Write, name: str) -> None:
    found = read(write(name, label=["churn", None, "stay"], label_time=[None, None, "2024-05-03T00:00:00Z"]), SPEC)
    assert found.event_time.tolist() == [NOON_MS - 1, NOON_MS, NOON_MS]
    assert found.prediction_id == ["row-3", "row-1", "row-2"]
    assert found.version == [NO_VERSION] * 3
    assert found.features["age"].to_pylist() == [3.5, 1.0, None]
    assert found.features["plan"].to_pylist() == [None, "a", "b"]
    assert found.features["paid"].to_pylist() == [None, True, False]
    assert found.segments["plan"].to_pylist() == [None, "a", "b"]
    assert found.scores["churn"].to_pylist() == [1.0, 0.25, 0.5]
    assert found.label is not None
    assert found.label.to_pylist() == ["stay", "churn", None]
    assert found.label_time is not None
    assert found.label_time.to_pylist() == [1_714_694_400_000, None, None]
    assert found.prediction is None
    assert "row-<number>" in found.notes[0]


def test_columns_are_renamed_and_a_column_in_the_way_is_left_out(write: Write) -> None:
    path = write(y_true=[1.0, None, 0.0], label=["x", "y", "z"], id=[7, 8, 9])
    found = read(path, SPEC, parse_columns(["label=y_true", "prediction_id=id"]))
    assert found.label is not None
    assert found.label.to_pylist() == [0, 1, None]
    assert found.prediction_id == ["9", "7", "8"]


def test_a_code_of_digits_stays_text_in_csv(write: Write) -> None:
    assert read(write("p.csv", plan=["02139", "1", "2"]), SPEC).features["plan"].to_pylist() == ["2", "02139", "1"]


def test_a_categorical_column_is_read_as_its_values(write: Write) -> None:
    found = read(write(plan=pa.array(["a", "b", "a"]).dictionary_encode()), SPEC)
    assert found.features["plan"].to_pylist() == ["a", "a", "b"]


def test_times_without_a_zone_get_the_one_that_is_told(write: Write) -> None:
    bare = [datetime(2024, 5, 1, 14), datetime(2024, 1, 1), datetime(2024, 10, 27, 2, 30)]  # noqa: DTZ001
    path = write(event_time=bare)
    summer, winter = 2 * 3_600_000, 3_600_000
    expected = sorted(
        int(time.replace(tzinfo=UTC).timestamp() * 1000) - shift
        for time, shift in zip(bare, (summer, winter, summer), strict=True)
    )
    assert read(path, SPEC, timezone="Europe/Berlin").event_time.tolist() == expected
    as_text = write("p.csv", event_time=[time.isoformat() for time in bare])
    assert read(as_text, SPEC, timezone="Europe/Berlin").event_time.tolist() == expected


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(TableError) as error:
        read(path, SPEC, **options)
    return str(error.value).replace(str(path), "FILE")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"age": None, "ages": [1, 2, 3]},
            "FILE: column 'age' (a feature of the spec): not in the table; did you mean 'ages'? it has: event_time, "
            "score, plan, paid, ages; another name is told by --column age=NAME",
        ),
        (
            {"score": None, "p_churn": [0.1, 0.2, 0.3]},
            "FILE: no column 'score' or 'score_churn' with the probability of 'churn': not in the table; it has: "
            "event_time, age, plan, paid, p_churn; another name is told by --column score=NAME",
        ),
        (
            {"event_time": ["2024-05-01T12:00:00Z", "2024-05-01 13:00:00", "2024-05-01"]},
            "FILE: column 'event_time', row 2: '2024-05-01 13:00:00' has no time zone, but row 1: "
            "'2024-05-01T12:00:00Z' has one; write all with one, or say which one is meant where there is none: "
            "--tz UTC",
        ),
        (
            {"event_time": ["2024-05-01T12:00:00", "2024-05-01T13:00:00", "2024-05-01"]},
            "FILE: column 'event_time', row 1: '2024-05-01T12:00:00' has no time zone; say which one is meant: "
            "--tz UTC",
        ),
        (
            {"event_time": pa.array([0, 1, 2], pa.timestamp("us"))},
            "FILE: column 'event_time': timestamp[us] has no time zone; say which one is meant: --tz UTC",
        ),
        (
            {"event_time": [1714564800, 1714564801, 1714564802]},
            "FILE: column 'event_time': int64 is no time; write timestamps with a zone, or text like "
            "2024-05-01T12:00:00Z (numbers could be seconds or milliseconds)",
        ),
        (
            {"event_time": ["2024-05-01T12:00:00Z", "2024-13-01T12:00:00Z", "2024-05-01T12:00:00Z"]},
            "FILE: column 'event_time', row 2: '2024-13-01T12:00:00Z' is not a time like 2024-05-01T12:00:00Z",
        ),
        (
            {"event_time": ["2024-05-01T12:00:00Z", None, "2024-05-01T12:00:00Z"]},
            "FILE: column 'event_time', row 2: no value; every prediction needs one (1 of 3 rows have none: fill or "
            "remove them)",
        ),
        (
            {"score": [0.5, 1.5, 0.1]},
            "FILE: column 'score', row 2: 1.5 is not a probability in [0, 1]; a raw score must be turned into one "
            "first",
        ),
        (
            {"age": ["1", "2", "old"]},
            "FILE: column 'age', row 3: 'old' is not a number",
        ),
        (
            {"age": [1.0, float("inf"), 2.0]},
            "FILE: column 'age', row 2: inf is not a finite number; leave it empty if it is not known",
        ),
        (
            {"plan": [1.5, 2.5, 3.5]},
            "FILE: column 'plan': double, must be text; mend the column, or the kind in the spec",
        ),
        (
            {"paid": [0, 1, 1]},
            "FILE: column 'paid': int64, must be booleans; mend the column, or the kind in the spec",
        ),
        ({"label": [0.5, 1.0, 0.0]}, "FILE: column 'label', row 1: 0.5 is not the name of a class"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_its_value_and_a_way_out(
    write: Write, changes: dict[str, Any], message: str
) -> None:
    assert refused(write(**changes)) == message


def test_a_table_without_rows_is_told(tmp_path: Path) -> None:
    path = tmp_path / "empty.parquet"
    pq.write_table(pa.table({"event_time": pa.array([], pa.string()), "score": pa.array([], pa.float64())}), path)
    assert refused(path) == "FILE: 0 rows (columns: event_time, score); give it at least one prediction"
    (tmp_path / "empty.csv").write_text("event_time,score\n")
    assert refused(tmp_path / "empty.csv").startswith("FILE: 0 rows (columns: event_time, score)")


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    assert refused(tmp_path / "no.parquet") == "FILE: no such file; name a Parquet or CSV file of predictions"
    (tmp_path / "table.xlsx").write_text("x")
    assert refused(tmp_path / "table.xlsx") == "FILE: neither .parquet nor .csv; write the table as one of them"
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    assert refused(tmp_path / "broken.parquet").startswith("FILE: cannot be read: ")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2\n3\n")
    assert refused(tmp_path / "ragged.csv").startswith("FILE: cannot be read: CSV parse error: Expected 2 columns")


CLASSES = ModelSpec.model_validate(
    {"task": "multiclass", "classes": ["1", "2"], "features": [{"name": "age", "kind": "number"}]}
)
NUMBER = ModelSpec.model_validate({"task": "regression", "features": [{"name": "age", "kind": "number"}]})


def test_classes_are_named_alike_however_they_are_written(write: Write) -> None:
    found = read(write(prediction=[1, 2, 1], label=[1.0, None, 2.0]), CLASSES)
    assert found.prediction is not None
    assert found.label is not None
    assert (found.prediction.to_pylist(), found.label.to_pylist(), found.scores) == (
        ["1", "1", "2"],
        ["2", "1", None],
        {},
    )


def test_the_most_probable_class_is_what_was_predicted(write: Write) -> None:
    found = read(write(score_1=[0.4, 0.6, 0.9], score_2=[0.6, 0.4, 0.1]), CLASSES)
    assert found.prediction is not None
    assert found.prediction.to_pylist() == ["1", "2", "1"]
    assert found.scores["2"].to_pylist() == [0.1, 0.6, 0.4]


def test_numbers_are_predicted_and_happen(write: Write) -> None:
    found = read(write(prediction=[1.5, 2, 3], label=["4", None, "5.5"]), NUMBER)
    assert found.prediction is not None
    assert found.label is not None
    assert (found.prediction.to_pylist(), found.label.to_pylist()) == ([3.0, 1.5, 2.0], [5.5, 4.0, None])


@pytest.mark.parametrize(
    ("spec", "changes", "message"),
    [
        (CLASSES, {"prediction": [1, 3, 2]}, "column 'prediction', row 2: '3' is not one of spec.classes (1, 2)"),
        (CLASSES, {"prediction": [1, 1, 2], "label": ["1", "x", "2"]}, "column 'label', row 2: 'x' is not one of spec"),
        (CLASSES, {"score_1": [0.1] * 3}, "column 'score_2': not in the table; did you mean 'score_1'?"),
        (CLASSES, {}, "column 'prediction': not in the table;"),
        (NUMBER, {"prediction": [1.0, None, 2.0]}, "column 'prediction', row 2: no value; every prediction needs one"),
        (
            NUMBER,
            {"prediction": [1.0, 2.0, 3.0], "label": ["a", "b", "c"]},
            "column 'label', row 1: 'a' is not a number",
        ),
    ],
)
def test_answers_that_do_not_fit_the_task_are_told(
    write: Write, spec: ModelSpec, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TableError) as error:
        read(write(**changes), spec)
    assert message in str(error.value)


def test_a_zone_that_does_not_exist_is_told(write: Write) -> None:
    told = refused(write(), timezone="Mars/Base")
    assert told == "FILE: column 'event_time': --tz Mars/Base: no such time zone; e.g. UTC, Europe/Berlin"


def test_wrong_column_options_are_told(write: Write) -> None:
    path = write()
    with pytest.raises(TableError, match="write it as OURS=THEIRS"):
        parse_columns(["label"])
    with pytest.raises(TableError, match="named twice"):
        parse_columns(["label=a", "label=b"])
    with pytest.raises(TableError, match=r"--column label=y: not in the table; .*it has: event_time"):
        load(path, {"label": "y"})
