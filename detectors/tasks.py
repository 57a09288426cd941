"""Metrics of a model's task by their plain names, from the sketch of a window's labelled pairs."""

from detectors import multiclass, performance, regression
from detectors.sketch import Sketch
from schemas.spec import Loss, ModelSpec, Task

METRICS: dict[Task, tuple[str, ...]] = {
    "binary": (
        "tp", "fp", "fn", "tn", "auc", "log_loss", "brier", "ece", "base_rate", "accuracy", "precision", "recall",
    ),
    "multiclass": ("accuracy", "error_rate", "log_loss", "f1_macro", "precision_macro", "recall_macro"),
    "regression": ("mae", "rmse", "bias", "r2", "mean_label", "clipped"),
}  # fmt: skip
"""Names of all metrics of a task."""

IN_SEGMENTS: dict[Task, tuple[str, ...]] = {
    "binary": ("log_loss", "brier", "auc"),
    "multiclass": ("accuracy", "error_rate", "log_loss", "f1_macro"),
    "regression": ("mae", "rmse", "bias"),
}
"""Metrics that are shown per segment too."""

HEADLINES: dict[Task, tuple[str, ...]] = {
    "binary": ("log_loss", "brier", "auc"),
    "multiclass": ("accuracy", "f1_macro", "log_loss"),
    "regression": ("mae", "rmse", "bias", "r2"),
}
"""Metrics that stand in a report."""

USUAL_LOSS: dict[Task, Loss] = {"binary": "log_loss", "multiclass": "error_rate", "regression": "mae"}
"""Labelled loss of a task while no reference says which."""


def metrics(spec: ModelSpec, pairs: Sketch) -> dict[str, float | None]:
    """Every metric of the task; None where it is undefined.

    The log-loss of a model of several classes is of the pairs that have probabilities, and is undefined unless those
    are as many as a test needs (``alerts.min_rows``, ``alerts.min_coverage``).
    """
    found: dict[str, float | None]
    match spec.task:
        case "binary":
            binary = performance.summarise(pairs)
            confusion = binary.confusion
            found = {name: float(getattr(confusion, name)) for name in ("tp", "fp", "fn", "tn")}
            return found | {name: getattr(binary, name) for name in METRICS["binary"] if name not in found}
        case "multiclass":
            several = multiclass.summarise(pairs)
            found = {name: getattr(several, name) for name in METRICS["multiclass"]}
            enough = max(spec.alerts.min_rows, spec.alerts.min_coverage * several.n)
            return found if several.scored >= enough else found | {"log_loss": None}
        case "regression":
            number = regression.summarise(pairs)
            return {name: getattr(number, name) for name in METRICS["regression"]} | {"clipped": float(number.clipped)}
