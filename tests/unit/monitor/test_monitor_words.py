"""Words for the loss of every task, for segments, and for how long something lasted."""

import pytest

from schemas.spec import FeatureSpec, ModelSpec
from schemas.tasks import Loss
from streams.monitor import words
from streams.monitor.context import Part, Parts
from streams.monitor.state import Run

RUN = Run("3", 0, 0, 3, value=0.25, limit=0.2, normal=0.1, n=1234)


def spec(task: str, **parts: object) -> ModelSpec:
    features = (FeatureSpec(name="x", kind="number"),)
    return ModelSpec.model_validate({"task": task, "features": features, **parts})


@pytest.mark.parametrize(
    ("model", "loss", "summary", "text"),
    [
        (
            spec("binary", positive_class="late"),
            "log_loss",
            "version 3 predicts worse than usual: loss 0.2500, usually about 0.1000",
            "log-loss of version 3 (lower is better) rose from 0.1000 nats (mean of the reference's 10 windows) to "
            "0.2500 nats, above their band, which ends at 0.2000 nats, in 3 windows in a row; 1,234 labelled rows in "
            "the newest window",
        ),
        (
            spec("multiclass", classes=["a", "b"]),
            "error_rate",
            "version 3 predicts worse than usual: 25.00% of its answers are wrong, usually about 10.00%",
            "share of wrong classes of version 3 (lower is better) rose from 10.00% (mean of the reference's 10 "
            "windows) to 25.00%, above their band, which ends at 20.00%, in 3 windows in a row; 1,234 labelled rows "
            "in the newest window",
        ),
        (
            spec("regression", unit="min"),
            "mae",
            "version 3 predicts worse than usual: it is off by 0.25 min on average, usually by about 0.1 min",
            "mean absolute error of version 3 (lower is better) rose from 0.1 min (mean of the reference's 10 windows) "
            "to 0.25 min, above their band, which ends at 0.2 min, in 3 windows in a row; 1,234 labelled rows in the "
            "newest window",
        ),
    ],
    ids=["binary", "multiclass", "regression"],
)
def test_a_worse_loss_in_the_words_of_its_task(model: ModelSpec, loss: Loss, summary: str, text: str) -> None:
    assert words.labelled(RUN, words.Measure.of(model, loss), 10) == (summary, text)


def test_segments_are_named_worst_first_or_said_to_be_alike() -> None:
    parts = (Part("origin=JFK", 0.5, 71), Part("origin=EWR", 0.2, 1000))
    assert (
        words.where_shares(Parts(3, parts))
        == "worst in origin=JFK (50.0% of 71 rows), origin=EWR (20.0% of 1,000 rows)"
    )
    assert words.where_shares(Parts(3, ())) == "about the same in all 3 segments with enough rows to tell"
    assert words.where_shares(Parts(1, ())) == "about the same in the one segment with enough rows to tell"
    assert words.where_shares(Parts(0, ())) == ""


@pytest.mark.parametrize(
    ("ms", "shown"),
    [(0, "1970-01-01 00:00 UTC"), (90_000, "1970-01-01 00:01:30 UTC"), (90_250, "1970-01-01 00:01:30 UTC")],
)
def test_instants_have_seconds_only_where_there_are_any(ms: int, shown: str) -> None:
    assert words.when(ms) == shown


def test_counts() -> None:
    assert [words.count(n, "window") for n in (1, 2, 1000)] == ["1 window", "2 windows", "1,000 windows"]
