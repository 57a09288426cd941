"""What each task is measured by: the plain names of its metrics, and its labelled loss."""

from typing import Literal

Task = Literal["binary", "multiclass", "regression"]

Loss = Literal["log_loss", "error_rate", "mae"]
"""Labelled loss that is tested: in nats, the share of wrong classes, the mean absolute error in the label's unit."""

METRICS: dict[Task, tuple[str, ...]] = {
    "binary": (
        "auc", "log_loss", "brier", "ece", "base_rate", "accuracy", "precision", "recall", "tp", "fp", "fn", "tn",
    ),
    "multiclass": ("accuracy", "error_rate", "log_loss", "f1_macro", "precision_macro", "recall_macro"),
    "regression": ("mae", "rmse", "bias", "r2", "mean_label", "clipped"),
}  # fmt: skip
"""Labelled performance of a window."""

IN_SEGMENTS: dict[Task, tuple[str, ...]] = {
    "binary": ("log_loss", "brier", "auc"),
    "multiclass": ("accuracy", "error_rate", "log_loss", "f1_macro"),
    "regression": ("mae", "rmse", "bias"),
}
"""Those that are shown per segment too."""

REPORTED: dict[Task, tuple[str, ...]] = {
    "binary": ("log_loss", "brier", "auc"),
    "multiclass": ("accuracy", "f1_macro", "log_loss"),
    "regression": ("mae", "rmse", "bias", "r2"),
}
"""Those that stand in a report."""

SCORE: dict[Task, tuple[str, ...]] = {
    "binary": ("mean", "psi"),
    "multiclass": ("mean", "psi", "prediction_psi"),
    "regression": ("mean", "psi", "minimum", "maximum", "clipped"),
}
"""Predictions of a window, before any label."""

ESTIMATED: dict[Task, tuple[str, ...]] = {
    "binary": ("accuracy", "precision", "recall", "f1", "auc"),
    "multiclass": (),
    "regression": (),
}
"""Performance that the scores of a window let one expect, before any label."""

USUAL_LOSS: dict[Task, Loss] = {"binary": "log_loss", "multiclass": "error_rate", "regression": "mae"}
"""Labelled loss of a task while no reference says which."""
