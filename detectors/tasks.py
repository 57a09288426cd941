"""Metrics of a model's task by their plain names, from the sketch of a window's labelled pairs."""

from detectors import multiclass, performance, regression
from detectors.sketch import Sketch
from schemas.spec import ModelSpec
from schemas.tasks import METRICS


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
            counts = {name: float(getattr(confusion, name)) for name in ("tp", "fp", "fn", "tn")}
            return {name: counts.get(name, getattr(binary, name, None)) for name in METRICS["binary"]}
        case "multiclass":
            several = multiclass.summarise(pairs)
            found = {name: getattr(several, name) for name in METRICS["multiclass"]}
            enough = max(spec.alerts.min_rows, spec.alerts.min_coverage * several.n)
            return found if several.scored >= enough else found | {"log_loss": None}
        case "regression":
            number = regression.summarise(pairs)
            return {name: getattr(number, name) for name in METRICS["regression"]} | {"clipped": float(number.clipped)}
